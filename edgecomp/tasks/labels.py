"""Labels as they are found, as classes."""

import math
from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError

_LEAVE_OUT = "label them or take them out; leave a whole split out by naming only the others in data.files"


def encode_classes(
    found: Mapping[str, Sequence[object]], names: tuple[str, ...] | None, where: str
) -> tuple[dict[str, npt.NDArray[np.int64]], tuple[str, ...]]:
    """By split, int64 [N], and the classes: `names` if the labels are indices into it, else the distinct labels.

    found: by split, labels as they were read, integers or strings; where: what messages call the data.
    Distinct labels are sorted, of all splits together. Raises DataError where a label is missing, is a
    fraction, or lies outside `names`.
    """
    clean = {split: _clean(labels, f"{where}, {split} split") for split, labels in found.items()}
    distinct = {label for labels in clean.values() for label in labels}
    if len({type(label) for label in distinct}) > 1:
        kinds = ", ".join(f"{split}: {type(labels[0]).__name__}" for split, labels in clean.items() if labels)
        raise DataError(f"{where}: labels are integers in one split and strings in another ({kinds})")
    if names is not None and any(isinstance(label, str) for label in distinct):
        names = None  # the names are then in the file itself
    for split, labels in clean.items():
        _check_unlabelled(labels, names is not None or 0 in distinct, f"{where}, {split} split")
        if names is not None:
            _check_range(labels, names, f"{where}, {split} split")
    if names is None:
        order = sorted(distinct)
        index = {label: place for place, label in enumerate(order)}
        names = tuple(str(label) for label in order)
        clean = {split: [index[label] for label in labels] for split, labels in clean.items()}
    return {split: np.asarray(labels, np.int64) for split, labels in clean.items()}, names


def _clean(labels: Sequence[object], where: str) -> list[int | str]:
    """All as integers, or all as strings."""
    clean: list[int | str] = []
    for place, label in enumerate(labels):
        if is_missing(label):
            _refuse_missing(labels, place, where)
        if isinstance(label, bool):
            clean.append(str(label))
        elif isinstance(label, int | str):
            clean.append(label)
        elif isinstance(label, float) and label.is_integer():
            clean.append(int(label))
        elif isinstance(label, float):
            raise DataError(f"{where}: label {label} of example {place} (from 0) is not a whole number: "
                            "classes are integers or strings")  # fmt: skip
        else:
            raise DataError(f"{where}: label {label!r} of example {place} (from 0) is a {type(label).__name__}: "
                            "classes are integers or strings")  # fmt: skip
    strings = [isinstance(label, str) for label in clean]
    if any(strings) and not all(strings):
        place = strings.index(not strings[0])
        raise DataError(f"{where}: label {clean[place]!r} of example {place} (from 0) is a "
                        f"{type(clean[place]).__name__}, and {clean[0]!r} of example 0 is not: write all labels the "
                        "same way")  # fmt: skip
    return clean


def is_missing(label: object) -> bool:
    """Whether `label`, as it was read, is None, an empty string or NaN."""
    return label is None or label == "" or (isinstance(label, float) and math.isnan(label))


def _refuse_missing(labels: Sequence[object], place: int, where: str) -> NoReturn:
    count = sum(is_missing(label) for label in labels)
    raise DataError(f"{where}: {count} of {len(labels)} examples have no label, the first at {place} (from 0): it is "
                    f"{labels[place]!r}; {_LEAVE_OUT}")  # fmt: skip


def _check_unlabelled(labels: Sequence[int | str], from_zero: bool, where: str) -> None:
    """-1 is how hub data sets mark what has no label; labels of -1 and 1 are two classes."""
    count = sum(label == -1 for label in labels)
    if count and (from_zero or count == len(labels)):
        place = list(labels).index(-1)
        raise DataError(f"{where}: {count} of {len(labels)} examples have the label -1, the first at {place} (from 0): "
                        f"it marks examples without a label; {_LEAVE_OUT} (if it is a class, name classes by "
                        "strings)")  # fmt: skip


def _check_range(labels: Sequence[int | str], names: tuple[str, ...], where: str) -> None:
    for place, label in enumerate(labels):
        if not 0 <= int(label) < len(names):
            raise DataError(f"{where}: label {label} of example {place} (from 0) has no name: the file names "
                            f"{len(names)} classes, 0 to {len(names) - 1}")  # fmt: skip
