"""Labels and slices as the files hold them."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError
from edgecomp.tasks.labels import is_missing

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def as_written(found: Mapping[str, Sequence[object]]) -> dict[str, list[object]]:
    """Labels of texts, where nothing says what is a number: numbers if all of all splits are written as one.
    found: by split, as its file holds them.

    A code such as 01 is none: then 01 and 1 are two classes.
    """
    texts = [label for labels in found.values() for label in labels if isinstance(label, str)]
    if not all(_NUMBER.fullmatch(text) for text in texts):
        return {split: list(labels) for split, labels in found.items()}
    number = {text: int(text) if text.lstrip("-").isdigit() else float(text) for text in texts}
    return {
        split: [number[label] if isinstance(label, str) else label for label in labels]
        for split, labels in found.items()
    }


def as_slices(found: Sequence[object], where: str, column: str) -> npt.NDArray[np.str_]:
    """The part of the data that each example is of, as texts [N]. found: as the file `where` holds them in
    `column`, which only messages name. Raises DataError where one says nothing, or is no name."""
    for place, value in enumerate(found):
        if is_missing(value) or not isinstance(value, str | int | float):
            raise DataError(f"{where}: {column!r} (data.slice) of example {place} (from 0) is {value!r}: a slice is a name or a number; "
                            "write one for every example, `other` for instance")  # fmt: skip
    return np.asarray([str(value) for value in found])
