"""Examples to compare two models on: named inputs, and a label and a slice of each where the file has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.bench.taken import as_taken
from edgecomp.errors import DataError, FileError
from edgecomp.metrics import nearest
from edgecomp.reading import limits
from edgecomp.reading.archives import check_parquet
from edgecomp.reading.array_files import read_npz
from edgecomp.runtimes import Port

LABEL, SLICE = "label", "slice"


@dataclass(frozen=True)
class Evaluation:
    """inputs: by name, [N, ...]; labels: int64 [N] or None; slices: [N] or None, the part of the data that each is of; file: where
    they are from; classes: names of the labels, where these are known."""

    inputs: dict[str, npt.NDArray[Any]]
    labels: npt.NDArray[np.int64] | None = None
    slices: npt.NDArray[Any] | None = None
    file: Path = Path()
    classes: tuple[str, ...] = ()


def read(file: Path, ports: Sequence[Port]) -> Evaluation:
    """An .npz or .parquet file with the model's inputs, and `label` and `slice` where it has them, held against the signature.

    In a parquet file an input is a column of numbers or of (nested) lists of one length. Another type or shape becomes the model's
    where no number changes. Raises DataError.
    """
    if not file.is_file():
        raise DataError(f"no such file of examples: {file}")
    readers = {".npz": _npz, ".parquet": _parquet}
    if file.suffix not in readers:
        raise DataError(
            f"{file}: examples are read from .npz and .parquet, not {file.suffix or 'a file without a suffix'}"
        )
    columns = readers[file.suffix](file)
    inputs = [port.name for port in ports]
    if missing := [name for name in inputs if name not in columns]:
        raise DataError(
            f"{file} has no {', '.join(missing)}{nearest(missing[0], columns)}; it has {', '.join(columns) or 'nothing'}"
        )
    columns |= {port.name: as_taken(file, port, columns[port.name]) for port in ports}
    wanted = {name: values for name, values in columns.items() if name in (*inputs, LABEL, SLICE)}
    lengths = {name: len(values) if values.ndim else 0 for name, values in wanted.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise DataError(f"{file}: the columns are of {', '.join(f'{name} {n}' for name, n in lengths.items())} examples: "
                        "they must be as many, and one at least")  # fmt: skip
    for port in ports:
        _fits(file, port, columns[port.name])
    return Evaluation(
        {name: columns[name] for name in inputs},
        _labels(file, columns.get(LABEL)),
        _slices(file, columns.get(SLICE)),
        file,
    )


def _fits(file: Path, port: Port, values: npt.NDArray[Any]) -> None:
    if port.dtype is not None and str(values.dtype) != port.dtype:
        raise DataError(f"{file}: {port.name} is of {values.dtype}, the model takes {port.dtype}")
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if bad.any():
            raise DataError(f"{file}: {port.name} of example {int(bad.argmax())} holds a NaN or an infinity ({bad.sum()} of "
                            f"{len(values)} examples do): mend them, or leave them out")  # fmt: skip
    if port.shape is None:
        return
    fits = len(port.shape) == values.ndim and all(
        size is None or size == has for size, has in zip(port.shape[1:], values.shape[1:], strict=False)
    )
    if not fits:
        shape = ", ".join("any" if size is None else str(size) for size in port.shape)
        raise DataError(f"{file}: {port.name} is of {list(values.shape)}, the model takes [{shape}]")
    if port.shape[0] is not None and len(values) % port.shape[0]:
        raise DataError(
            f"{file}: {port.name} has {len(values)} examples, and the model takes {port.shape[0]} at once"
        )


def _labels(file: Path, labels: npt.NDArray[Any] | None) -> npt.NDArray[np.int64] | None:
    if labels is None:
        return None
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"{file}: `{LABEL}` is of {labels.dtype}, shape {list(labels.shape)}; it must be one class number an example"
        )
    if labels.min() < 0:
        raise DataError(
            f"{file}: `{LABEL}` holds {labels.min()}, which is no class; leave out examples without one"
        )
    return labels.astype(np.int64)


def _slices(file: Path, slices: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
    if slices is not None and (slices.ndim != 1 or slices.dtype.kind not in "iubUS"):
        raise DataError(
            f"{file}: `{SLICE}` is of {slices.dtype}, shape {list(slices.shape)}; it must be one name or number an example"
        )
    return slices


def _npz(file: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        return read_npz(file)
    except FileError as error:
        raise DataError(
            f"{file} is not a readable .npz file: {str(error).removeprefix(f'{file}: ')}"
        ) from error


def _parquet(file: Path) -> dict[str, npt.NDArray[Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with limits.told(file), parquet.ParquetFile(file) as content:
            check_parquet(file, content)
            table = content.read()
    except (FileError, pyarrow.ArrowException) as error:
        raise DataError(
            f"{file} is not a readable parquet file: {str(error).removeprefix(f'{file}: ')}"
        ) from error
    return {name: _column(file, name, table.column(name)) for name in table.column_names}


def _column(file: Path, name: str, column: Any) -> npt.NDArray[Any]:
    """A column of lists as an array of the type of its innermost values."""
    if column.null_count:
        raise DataError(f"{file}: {name} has {column.null_count} rows without a value")
    kind = column.type
    while hasattr(kind, "value_type") and not hasattr(kind, "index_type"):
        kind = kind.value_type
    values = column.to_pylist()
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(f"{file}: the lists of {name} are of different lengths: pad them to one") from None
    numeric = array.dtype.kind in "iufb"
    return array.astype(kind.to_pandas_dtype()) if numeric else array
