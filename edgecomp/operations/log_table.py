"""Tables of what was served: a row a request, read from .parquet or .csv."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError, nearest, nearest_there
from edgecomp.files.archives import check_parquet

Columns = dict[str, npt.NDArray[Any]]


def read_columns(file: Path, wanted: Sequence[str] = (), optional: Sequence[str] = ()) -> Columns:
    """The columns of a .parquet or .csv `file`, [rows] each: those that are `wanted`, and of the `optional` ones those that are there; all where
    none is named. Raises DataError."""
    import pyarrow
    from pyarrow import csv, parquet

    if not file.is_file():
        raise DataError(f"no such table: {file}{nearest_there(file)}")
    try:
        if file.suffix == ".parquet":
            with parquet.ParquetFile(file) as opened:
                check_parquet(file, opened)
                table = opened.read()
        elif file.suffix == ".csv":
            table = csv.read_csv(file)
        else:
            raise DataError(
                f"{file}: tables are read from .parquet and .csv, not {file.suffix or 'a file without a suffix'}"
            )
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file} cannot be read, it may be cut short or damaged: {error}") from error
    if missing := [name for name in wanted if name not in table.column_names]:
        raise DataError(
            f"{file} has no column {missing[0]!r}{nearest(missing[0], table.column_names)}; it has {', '.join(table.column_names)}"
        )
    names = [*wanted, *(name for name in optional if name in table.column_names)] or table.column_names
    if table.num_rows == 0:
        raise DataError(f"{file} has no rows")
    return {name: _values(file, name, table[name]) for name in names}


def _values(file: Path, name: str, column: Any) -> npt.NDArray[Any]:
    if column.null_count:
        raise DataError(
            f"{file}: column {name!r} has {column.null_count:,} empty cells of {len(column):,}: fill them, or take those rows out"
        )
    values: npt.NDArray[Any] = column.to_numpy()
    return values.astype(str) if values.dtype.kind == "O" else values


def numbers(file: Path, name: str, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The column's `values` as float64 [rows]. file, name: of the message. Raises DataError where one is no finite number."""
    if values.dtype.kind not in "fiub":
        raise DataError(f"{file}: column {name!r} is of {values.dtype}, and numbers are due")
    found = values.astype(np.float64)
    if not np.isfinite(found).all():
        raise DataError(
            f"{file}: column {name!r} has {int((~np.isfinite(found)).sum()):,} cells that are NaN or infinite of {len(found):,}"
        )
    return found
