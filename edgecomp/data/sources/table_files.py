"""Tables in parquet, CSV and JSON files, as Arrow tables."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from edgecomp.errors import DataError

Choose = Callable[[pa.Schema], Sequence[str]]
"""The columns to read, told from a file's schema."""

_LARGEST_BLOCK = 2**31 - 1


def read_table(path: Path, choose: Choose) -> pa.Table:
    """The chosen columns of a file. Raises DataError where it is cut short, damaged or not what its suffix says."""
    try:
        return READERS[path.suffix](path, choose)
    except pa.ArrowException as error:
        raise DataError(f"{path}: cannot be read, it may be cut short or damaged: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text, at byte {error.start}: save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read, it may be damaged: {error.strerror or error}") from error


def _parquet(path: Path, choose: Choose) -> pa.Table:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        return file.read(columns=list(choose(schema)))


def _csv(path: Path, choose: Choose) -> pa.Table:
    """An empty cell is a missing value. Read in one block, so that a column's type is told from all its cells."""
    from pyarrow import compute, csv

    size = path.stat().st_size
    if size == 0:
        raise DataError(f"{path}: is an empty file")
    table = csv.read_csv(
        path,
        read_options=csv.ReadOptions(use_threads=False, block_size=min(size + 1, _LARGEST_BLOCK)),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(strings_can_be_null=False),
    )
    if table.num_rows == 0:
        raise DataError(f"{path}: is empty: it has columns and no rows")
    table = table.select(list(choose(table.schema)))
    for place, column in enumerate(table.columns):
        name = table.column_names[place]
        if pa.types.is_binary(column.type):
            raise DataError(f"{path}: column {name!r} is not UTF-8 text: save it as UTF-8")
        if pa.types.is_string(column.type):
            filled = compute.if_else(compute.equal(column, ""), pa.scalar(None, column.type), column)
            table = table.set_column(place, name, filled)
    return table


def _json(path: Path, choose: Choose) -> pa.Table:
    """One object a line, or one list of objects. A key that an object lacks is a missing value."""
    rows = _rows(path, path.read_text(encoding="utf-8-sig"))
    if not rows:
        raise DataError(f"{path}: is empty: it has no objects")
    names = dict.fromkeys(name for row in rows for name in row)
    table = pa.table({name: _json_column(rows, name, path) for name in names})
    return table.select(list(choose(table.schema)))


def _rows(path: Path, text: str) -> list[dict[str, Any]]:
    places: list[tuple[str, object]]
    if text.lstrip().startswith("["):
        try:
            places = [(f"item {index} (from 0)", row) for index, row in enumerate(json.loads(text))]
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}: line {error.lineno} is not JSON: {error.msg}, at column {error.colno}"
            ) from error
    else:
        places = []
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                places.append((f"line {number}", json.loads(line)))
            except json.JSONDecodeError as error:
                raise DataError(f"{path}: line {number} is not JSON: {error.msg}, at column {error.colno} (one object "
                                "a line, or one list of objects)") from error  # fmt: skip
    rows = []
    for place, row in places:
        if not isinstance(row, dict):
            raise DataError(
                f"{path}: {place} is a {type(row).__name__}, not an object with a key for each column"
            )
        rows.append(row)
    return rows


def _json_column(rows: list[dict[str, Any]], name: str, path: Path) -> pa.Array:
    values = [row.get(name) for row in rows]
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        raise DataError(f"{path}: column {name!r} has values of different kinds, or too large: {error}; write all its "
                        "values the same way") from error  # fmt: skip


READERS: dict[str, Callable[[Path, Choose], pa.Table]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _json,
}
