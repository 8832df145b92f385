"""Arrays in .npz files: one file, or one for each split."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.data.labels import as_slices
from edgecomp.data.sources.arrays import finite
from edgecomp.data.sources.examples import Examples, Source, Wanted
from edgecomp.data.sources.images import fitted
from edgecomp.data.sources.paths import found, split_files
from edgecomp.data.sources.tensors import check_not_flat, checked
from edgecomp.data.sources.tensors import fitted as fitted_to
from edgecomp.errors import DataError, FileError, nearest
from edgecomp.files.array_files import names_in, read_npz
from edgecomp.tasks import SeveralOutputs


def read(wanted: Wanted, folder: Path) -> Source:
    """Arrays `inputs` and `label` of every split: uint8 [N, C, H, W] are images, floating [N, ...] are
    arrays. wanted: what was asked for; folder: the recipe's, for a relative path. Raises DataError."""
    values: dict[str, Any] = {}
    found_labels: dict[str, Any] = {}
    told: list[str] = []
    slices: dict[str, npt.NDArray[np.str_] | None] = {}
    axes = wanted.meaning.label_axes
    is_one = not isinstance(wanted.meaning, SeveralOutputs)
    for split, (path,) in files(wanted, folder).items():
        named = list(wanted.tensors) or wanted.inputs
        listed = named if isinstance(named, list) else [named or "inputs"]
        names = [
            *listed,
            *([wanted.slice] if wanted.slice else []),
            *((wanted.labels or ["label"]) if axes else []),
        ]
        for _, several in wanted.labels_of:
            if len(several) > 1:
                raise DataError(
                    f"label: {several} lists columns of a table: of an .npz name the one array that holds the labels"
                )
        held = _arrays(path, *names)
        inputs, beside = held[0], held[len(listed) :]
        labelled: list[npt.NDArray[Any]] = []
        for of, _ in reversed(wanted.labels_of if axes else []):
            labelled.insert(0, beside.pop())
            _check_labels(labelled[0], names[len(listed) + len(beside)], path, of.label_axes)
            if len(inputs) != len(labelled[0]):
                raise DataError(
                    f"{path}: has {len(inputs)} inputs and {len(labelled[0])} labels: each input needs its own"
                )
        label = labelled[0] if is_one and labelled else np.zeros(len(inputs))
        slices[split] = None
        if beside:
            if beside[0].shape != (len(label),):
                raise DataError(
                    f"{path}: {wanted.slice!r} is of shape {beside[0].shape}; slices are [{len(label)}], one name or number an example"
                )
            slices[split] = as_slices(beside[0].tolist(), str(path), wanted.slice or "")
        values[split] = (
            _tensors(dict(zip(listed, held, strict=False)), wanted, str(path))
            if isinstance(named, list)
            else _values(inputs, wanted, str(path), told)
        )
        _check_masks(inputs, label, wanted, path)
        # Masks stay an array: as lists they would take a hundred times the memory.
        found_labels[split] = label if label.ndim > 2 else label.tolist()
        if not is_one:
            found_labels[split] = list(zip(*(one.tolist() for one in labelled), strict=True)) or [()] * len(
                inputs
            )
    labels, classes = wanted.meaning.encode(found_labels, None, str(wanted.path))
    splits = {split: Examples(values[split], labels[split], slices[split]) for split in values}
    return Source(splits, classes, notes=tuple(told))


def files(wanted: Wanted, folder: Path) -> dict[str, list[Path]]:
    """Split → its file. wanted: what was asked for; folder: the recipe's, for a relative path. Raises
    DataError."""
    by_split = split_files(found(wanted, folder), wanted, (".npz",))
    for split, paths in by_split.items():
        if len(paths) > 1:
            raise DataError(
                f"the {split} split is in {len(paths)} files, {paths[0].name} and others: save it as one .npz"
            )
    return by_split


def _arrays(path: Path, *names: str) -> list[npt.NDArray[Any]]:
    try:
        there = names_in(path)
        for name in names:
            if name not in there:
                raise DataError(f"{path}: has no array {name!r}{nearest(name, there)}; it has {', '.join(there) or 'none'}; "
                                "name them in data.inputs and data.label")  # fmt: skip
        held = read_npz(path, names)
    except FileError as error:
        raise DataError(str(error)) from error
    arrays = [held[name] for name in names]
    for name, array in zip(names, arrays, strict=True):
        if array.ndim == 0:
            raise DataError(f"{path}: {name!r} is a single value, not an array of examples")
    return arrays


_LABELS = {
    (0,): "[N], one class each",
    (0, 1): "[N], or [N, labels]",
    (1,): "[N, labels]",
    (2,): "masks [N, height, width]",
}
"""By `Task.label_axes`."""


def _check_labels(labels: npt.NDArray[Any], name: str, path: Path, axes: tuple[int, ...]) -> None:
    if labels.ndim - 1 not in axes:
        raise DataError(f"{path}: {name!r} is of shape {labels.shape}; labels are {_LABELS[axes]}")
    if labels.dtype.kind not in "biufU":
        raise DataError(f"{path}: {name!r} holds {labels.dtype}; labels are integers or strings")


def _tensors(arrays: dict[str, npt.NDArray[Any]], wanted: Wanted, where: str) -> dict[str, npt.NDArray[Any]]:
    return checked(fitted_to(arrays, wanted.tensors, where) if wanted.tensors else arrays, where)


def _check_masks(inputs: npt.NDArray[Any], labels: npt.NDArray[Any], wanted: Wanted, path: Path) -> None:
    """Raises DataError where images are not of their masks' size, or would be brought to another."""
    if wanted.meaning.of_each != "pixel":
        return
    if wanted.image_size is not None:
        raise DataError(
            f"data.image_size={wanted.image_size}: masks are not resized with their images; save both in that size"
        )
    if inputs.shape[2:] != labels.shape[1:]:
        raise DataError(
            f"{path}: images of {list(inputs.shape[2:])} pixels and masks of {list(labels.shape[1:])}: they must be of one size"
        )


def _values(
    inputs: npt.NDArray[Any], wanted: Wanted, where: str, told: list[str]
) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    shape = inputs.shape
    if inputs.dtype == np.uint8:
        if inputs.ndim == 4 and shape[-1] in (1, 3, 4) and shape[1] not in (1, 3, 4):
            raise DataError(f"{where}: images of shape {shape} have their channels last; channels come before height "
                            "and width: array.transpose(0, 3, 1, 2)")  # fmt: skip
        if inputs.ndim != 4:
            hint = ": add the channels with array[:, None]" if inputs.ndim == 3 else ""
            raise DataError(
                f"{where}: uint8 inputs are images [N, channels, height, width], not {shape}{hint}"
            )
        check_not_flat(inputs, where)
        return fitted(inputs, wanted.image_size, wanted.mode, where)
    if inputs.dtype.kind != "f":
        raise DataError(f"{where}: inputs hold {inputs.dtype}; they are uint8 (images) or floating: save them with "
                        "array.astype(numpy.float32)")  # fmt: skip
    if inputs.ndim < 2:
        raise DataError(
            f"{where}: floating inputs are [N, ...], not {shape}: add an axis with array[:, None]"
        )
    check_not_flat(inputs, where)
    return finite(inputs, where, told)
