"""Examples to compare two models on: named inputs, and a label and a slice of each where the file has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgecomp.benchmark.inputs.generated import as_type
from edgecomp.benchmark.inputs.signatures import example_axes
from edgecomp.benchmark.inputs.taken import as_taken
from edgecomp.errors import DataError, FileError, nearest, nearest_there
from edgecomp.files import limits
from edgecomp.files.archives import check_parquet
from edgecomp.files.array_files import names_in, read_npz
from edgecomp.inputs import Axes
from edgecomp.runtimes import Port

LABEL, SLICE = "label", "slice"

Meaning = Literal["classes", "numbers", "anything"]


@dataclass(frozen=True)
class Evaluation:
    """inputs: by name, [N, ...]; labels: [N, ...] or None; slices: [N] or None, the part of the data that each is of; file: where
    they are from; axes: where a model's axis of examples is not the first; classes: names of the labels, where these are known;
    target_mean, target_std: of labels that are numbers, in units of whose deviation the model answers; more: other columns of numbers
    that were asked for, as far as the file has them."""

    inputs: dict[str, npt.NDArray[Any]]
    labels: npt.NDArray[Any] | None = None
    slices: npt.NDArray[Any] | None = None
    file: Path = Path()
    axes: Axes = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    target_mean: tuple[float, ...] = ()
    target_std: tuple[float, ...] = ()
    more: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def standardised(self) -> "Evaluation":
        """Labels in the data's unit as the model answers them."""
        if self.labels is None or not self.target_std:
            return self
        labels = self.labels if self.labels.ndim > 1 else self.labels[:, None]
        by = (labels - np.asarray(self.target_mean)) / np.asarray(self.target_std)
        return replace(self, labels=by.astype(np.float32))


def read(
    file: Path, ports: Sequence[Port], meaning: Meaning = "classes", more: Sequence[str] = ()
) -> Evaluation:
    """A .npz or .parquet `file` with the model's inputs, and `label` and `slice` where it has them, held
    against the signature, `ports`.

    An input is shaped as the model takes it, of as many examples as there are; one without an axis of
    examples is given once. In a parquet file an input is a column of numbers or of (nested) lists of one
    length. Another type or shape becomes the model's where no number changes. meaning: of `label`, a class
    number each, numbers of any shape, or anything, lists of different lengths and rows of several columns
    too. more: other columns of numbers. Raises DataError.
    """
    if not file.is_file():
        raise DataError(f"no such file of examples: {file}{nearest_there(file)}")
    readers = {".npz": _npz, ".parquet": _parquet}
    if file.suffix not in readers:
        raise DataError(
            f"{file}: examples are read from .npz and .parquet, not {file.suffix or 'a file without a suffix'}"
        )
    inputs = [port.name for port in ports]
    columns, names = readers[file.suffix](file, (*inputs, LABEL, SLICE, *more), meaning)
    if missing := [name for name in inputs if name not in columns]:
        raise DataError(
            f"{file} has no {', '.join(missing)}{nearest(missing[0], names)}; it has {', '.join(names) or 'nothing'}"
        )
    columns |= {port.name: _typed(file, port, columns[port.name]) for port in ports}
    axes = _axes_of(ports, columns)
    lengths = _lengths(columns, axes)
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise DataError(f"{file}: the columns are of {', '.join(f'{name} {n}' for name, n in lengths.items())} examples: "
                        "they must be as many, and one at least")  # fmt: skip
    count = next(iter(lengths.values()), 1)
    for port in ports:
        _fits(file, port, columns[port.name], axes[port.name])
    return Evaluation(
        {name: _by_example(columns[name], axes[name], count) for name in inputs},
        _LABELS[meaning](file, columns.get(LABEL)),
        _slices(file, columns.get(SLICE)),
        file,
        {name: axis for name, axis in axes.items() if axis != 0},
        more={
            name: values for name in more if (values := _numbers(file, columns.get(name), name)) is not None
        },
    )


def _typed(file: Path, port: Port, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """As the runtime is handed it. numpy has no bfloat16: float32 is rounded to it."""
    if values.dtype.kind == "S":
        values = values.astype(str)
    if port.dtype == "bfloat16" and values.dtype.itemsize == 2 and values.dtype.kind == "V":
        return values.view(np.uint16)
    if port.dtype == "bfloat16" and values.dtype == np.float32:
        _is_finite(file, port, values)
        return as_type(values, port.dtype)
    values = as_taken(file, port, values)
    given = "string" if values.dtype.kind == "U" else str(values.dtype)
    if port.dtype not in (None, given):
        raise DataError(f"{file}: {port.name} is of {values.dtype}, the model takes {port.dtype}")
    return values


def _axes_of(ports: Sequence[Port], columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, int | None]:
    """Which axis is one of examples, by input: what is of the very shape that the file wants, and not of as many as the rest, is
    given once."""
    axes = example_axes(ports)
    for port in ports:
        if columns[port.name].ndim == 0:
            axes[port.name] = None
    lengths = _lengths(columns, axes)
    for port in ports:
        others = {length for name, length in lengths.items() if name != port.name}
        if others and lengths.get(port.name, 0) not in others and columns[port.name].shape == port.shape:
            axes[port.name] = None
    return axes


def _lengths(columns: Mapping[str, npt.NDArray[Any]], axes: Axes) -> dict[str, int]:
    """Of how many examples each column is; what is given once is of none."""
    found = {}
    for name, values in columns.items():
        axis = axes.get(name, 0)
        if axis is not None:
            found[name] = values.shape[axis] if values.ndim > axis else 0
    return found


def _by_example(values: npt.NDArray[Any], axis: int | None, count: int) -> npt.NDArray[Any]:
    """[examples, ...]"""
    return np.broadcast_to(values, (count, *values.shape)) if axis is None else np.moveaxis(values, axis, 0)


def _fits(file: Path, port: Port, values: npt.NDArray[Any], axis: int | None) -> None:
    _is_finite(file, port, values)
    if port.shape is None:
        return
    fits = len(port.shape) == values.ndim and all(
        size is None or size == has or place == axis
        for place, (size, has) in enumerate(zip(port.shape, values.shape, strict=False))
    )
    if not fits:
        shape = ", ".join("any" if size is None else str(size) for size in port.shape)
        raise DataError(f"{file}: {port.name} is of {list(values.shape)}, the model takes [{shape}]")
    at_once = None if axis is None else port.shape[axis]
    if axis is not None and at_once is not None and values.shape[axis] % at_once:
        raise DataError(
            f"{file}: {port.name} has {values.shape[axis]} examples, and the model takes {at_once} at once"
        )


def _is_finite(file: Path, port: Port, values: npt.NDArray[Any]) -> None:
    if values.dtype.kind != "f":
        return
    bad = ~np.isfinite(values).reshape(max(1, len(values) if values.ndim else 1), -1).all(axis=1)
    if bad.any():
        raise DataError(f"{file}: {port.name} of example {int(bad.argmax())} holds a NaN or an infinity ({bad.sum()} of "
                        f"{len(bad)} examples do): mend them, or leave them out")  # fmt: skip


def _labels(file: Path, labels: npt.NDArray[Any] | None) -> npt.NDArray[np.int64] | None:
    if labels is None:
        return None
    if labels.ndim != 1 or labels.dtype.kind not in "iub":
        raise DataError(
            f"{file}: `{LABEL}` is of {labels.dtype}, shape {list(labels.shape)}; it must be one class number an example, from 0 on, "
            "as the model numbers them; what else labels mean is said with --task or --score"
        )
    if labels.min() < 0:
        raise DataError(
            f"{file}: `{LABEL}` holds {labels.min()}, which is no class; leave out examples without one"
        )
    return labels.astype(np.int64)


def _numbers(file: Path, labels: npt.NDArray[Any] | None, name: str = LABEL) -> npt.NDArray[Any] | None:
    if labels is None:
        return None
    if labels.dtype.kind not in "iubf":
        raise DataError(f"{file}: `{name}` is of {labels.dtype}, and must be numbers, or classes by their numbers, as the model has them; a "
                        "score function (--score) takes any")  # fmt: skip
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        bad = ~np.isfinite(labels.reshape(len(labels), -1)).all(axis=1)
        raise DataError(
            f"{file}: `{name}` of example {int(bad.argmax())} is no number ({int(bad.sum())} are none): leave them out"
        )
    return labels


_LABELS: dict[Meaning, Any] = {"classes": _labels, "numbers": _numbers, "anything": lambda _, labels: labels}


def _slices(file: Path, slices: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
    if slices is not None and (slices.ndim != 1 or slices.dtype.kind not in "iubUS"):
        raise DataError(
            f"{file}: `{SLICE}` is of {slices.dtype}, shape {list(slices.shape)}; it must be one name or number an example"
        )
    return slices


def _npz(file: Path, wanted: Sequence[str], _: Meaning) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    """The wanted arrays that it has, and the names of all."""
    try:
        return read_npz(file, wanted), names_in(file)
    except FileError as error:
        raise DataError(
            f"{file} is not a readable .npz file: {str(error).removeprefix(f'{file}: ')}"
        ) from error


def _parquet(
    file: Path, wanted: Sequence[str], meaning: Meaning
) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with limits.told(file), parquet.ParquetFile(file) as content:
            check_parquet(file, content)
            names: list[str] = content.schema_arrow.names
            table = content.read([name for name in wanted if name in names])
    except (FileError, pyarrow.ArrowException) as error:
        raise DataError(
            f"{file} is not a readable parquet file: {str(error).removeprefix(f'{file}: ')}"
        ) from error
    ragged = {LABEL} if meaning == "anything" else set()
    return {
        name: _column(file, name, table.column(name), name in ragged) for name in table.column_names
    }, names


def _column(file: Path, name: str, column: Any, ragged: bool = False) -> npt.NDArray[Any]:
    """A column of lists as an array of the type of its innermost values, or, where they may differ in length, of lists."""
    if column.null_count:
        raise DataError(f"{file}: {name} has {column.null_count} rows without a value")
    kind = column.type
    while hasattr(kind, "value_type") and not hasattr(kind, "index_type"):
        kind = kind.value_type
    values = column.to_pylist()
    try:
        array = np.asarray(values)
    except ValueError:
        if not ragged:
            raise DataError(
                f"{file}: the lists of {name} are of different lengths: pad them to one"
            ) from None
        array = np.empty(len(values), object)
        array[:] = values
    numeric = array.dtype.kind in "iufb"
    return array.astype(kind.to_pandas_dtype()) if numeric else array
