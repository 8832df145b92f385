"""Tables in parquet, CSV, TSV and JSON files, as Arrow tables."""

import codecs
import gzip
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from edgecomp.data.sources.paths import has_suffix
from edgecomp.errors import DataError, FileError
from edgecomp.files.archives import MOST_RATIO, SMALL_BYTES, check_parquet
from edgecomp.files.json_files import parse_json

Choose = Callable[[pa.Schema], Sequence[str]]
"""The columns to read, told from a file's schema; codes, such as labels, are last."""

PACKED = (".gz", ".zip")

_LARGEST_BLOCK = 2**31 - 1
_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}  # UTF-32's begins as UTF-16's does
LONGEST_TEXT = 2**20
"""Bytes of a cell."""
_HEADER = 2**16  # bytes: what a header is looked for in


def read_table(path: Path, choose: Choose, codes: int = 1, to_clean: bool = False) -> pa.Table:
    """The columns of the file at `path` that `choose` picks, of which the last `codes` are codes. Raises
    DataError where it is cut short, damaged or not what its suffix says. to_clean: what is not UTF-8 is replaced by U+FFFD instead of refused."""
    read = next(
        read
        for suffix, read in READERS.items()
        if has_suffix(path, (suffix, *(suffix + packed for packed in PACKED)))
    )
    try:
        table = read(path, choose, codes, to_clean)
    except FileError as error:
        raise DataError(str(error)) from error
    except pa.ArrowException as error:
        raise DataError(f"{path}: cannot be read, it may be cut short or damaged: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: is not {error.encoding.upper()} text, at byte {error.start}: save it as UTF-8"
        ) from error
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read, it may be damaged: {reason}") from error
    except MemoryError as error:
        raise DataError(f"{path}: there is not enough memory to read it: split it") from error
    _check_cells(path, table)
    return table


def _check_cells(path: Path, table: pa.Table) -> None:
    from pyarrow import compute

    for name, column in zip(table.column_names, table.columns, strict=True):
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            continue
        lengths = compute.binary_length(column)
        if (longest := compute.max(lengths).as_py() or 0) > LONGEST_TEXT:
            raise DataError(f"{path}: column {name!r}, example {compute.index(lengths, longest).as_py()} (from 0): a text of {longest:,} bytes; "
                            f"the most is {LONGEST_TEXT:,}: cut it, or look for a quotation mark that is not closed")  # fmt: skip


def _parquet(path: Path, choose: Choose, codes: int, to_clean: bool) -> pa.Table:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        check_parquet(path, file)
        schema = file.schema_arrow
        return file.read(columns=list(choose(schema)))


def _csv(path: Path, choose: Choose, codes: int, to_clean: bool) -> pa.Table:
    """An empty cell is a missing value. Read in one block, so that a column's type is told from all its cells.

    Codes of digits come as they are written: 01 and 1 may be two of them (see labels.as_written).
    """
    from pyarrow import compute

    text = _utf8(path, to_clean)
    if not text.size:
        raise DataError(f"{path}: is an empty file")
    separator = "\t" if has_suffix(path, (".tsv", ".tsv.gz")) else _separator(text)
    table = _parsed(text, separator)
    if table.num_rows == 0:
        raise DataError(f"{path}: is empty: it has columns and no rows")
    table = table.select(list(choose(table.schema)))
    numbers = table.num_columns - codes
    for place, column in enumerate(table.columns):
        name = table.column_names[place]
        if pa.types.is_binary(column.type):
            raise DataError(f"{path}: column {name!r} is not UTF-8 text: save it as UTF-8")
        if pa.types.is_string(column.type):
            column = compute.if_else(compute.equal(column, ""), pa.scalar(None, column.type), column)
        if place >= numbers and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            written = _parsed(text, separator, include_columns=[name], column_types={name: pa.string()})
            column = compute.utf8_trim_whitespace(written.column(0))
        if place < numbers and separator == ";":
            column = _with_points(column)
        table = table.set_column(place, name, column)
    return table


def _parsed(text: pa.Buffer, separator: str, **only: Any) -> pa.Table:
    """only: a column that is read as text, in which what stands for a missing number is missing."""
    from pyarrow import csv

    return csv.read_csv(
        pa.BufferReader(text),
        read_options=csv.ReadOptions(use_threads=False, block_size=min(text.size + 1, _LARGEST_BLOCK)),
        parse_options=csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=csv.ConvertOptions(strings_can_be_null=bool(only), **only),
    )


def _utf8(path: Path, to_clean: bool = False) -> pa.Buffer:
    """A text file's bytes, unpacked and in UTF-8. Raises DataError where it unpacks to more than Arrow reads at once."""
    if has_suffix(path, PACKED):
        most = min(_LARGEST_BLOCK, max(SMALL_BYTES, MOST_RATIO * path.stat().st_size))
        with _unpacked(path) as file:
            raw = pa.py_buffer(file.read(most + 1))
        if raw.size > most:
            raise DataError(f"{path}: unpacks to more than {most:,} bytes: unpack it, or write it as parquet")
    else:
        with pa.OSFile(str(path)) as file:
            raw = file.read_buffer()
    begins = raw.slice(0, min(4, raw.size)).to_pybytes()
    coding = next((coding for bom, coding in _BOMS.items() if begins.startswith(bom)), None)
    if coding:
        return pa.py_buffer(raw.to_pybytes().decode(coding).encode())
    if b"\0" in raw.slice(0, min(_HEADER, raw.size)).to_pybytes():
        raise DataError(f"{path}: is no text, or UTF-16 without its byte order mark: save it as UTF-8")
    return pa.py_buffer(raw.to_pybytes().decode("utf-8", "replace").encode()) if to_clean else raw


def _unpacked(path: Path) -> IO[bytes] | gzip.GzipFile:
    """A packed file's content. Raises DataError where an archive holds several files."""
    if not has_suffix(path, (".zip",)):
        return gzip.open(path)
    with zipfile.ZipFile(path) as archive:
        names = [one for one in archive.namelist() if not one.endswith("/")]
        if len(names) != 1:
            raise DataError(f"{path}: holds {len(names)} files, and a table is one: unpack it")
        return archive.open(names[0])


def _separator(text: pa.Buffer) -> str:
    """The one that makes most columns of the header, outside quotation marks; of several the comma."""
    begins = text.slice(0, min(_HEADER, text.size)).to_pybytes().decode("utf-8", "replace")
    header = re.sub(r'"[^"]*"', "", begins).lstrip("\r\n").partition("\n")[0]
    return max(",;\t|", key=header.count)


def _with_points(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers that are written with a decimal comma, as programs do that separate by semicolons; others as they are."""
    from pyarrow import compute

    if not pa.types.is_string(column.type):
        return column
    numbers = compute.all(compute.match_substring_regex(column, r"^\s*[+-]?\d+(,\d+)?\s*$")).as_py()
    return compute.replace_substring(column, ",", ".").cast(pa.float64()) if numbers else column


def _lines(path: Path, choose: Choose, codes: int, to_clean: bool) -> pa.Table:
    """A text a line, in a column `text`; empty lines are none."""
    lines = _utf8(path, to_clean).to_pybytes().decode("utf-8-sig").splitlines()
    table = pa.table({"text": pa.array([line for line in lines if line.strip()], pa.string())})
    if table.num_rows == 0:
        raise DataError(f"{path}: is empty: it has no line of text")
    return table.select(list(choose(table.schema)))


def _json(path: Path, choose: Choose, codes: int, to_clean: bool) -> pa.Table:
    """One object a line, or one list of objects. A key that an object lacks is a missing value."""
    rows = _rows(path, _utf8(path, to_clean).to_pybytes().decode("utf-8-sig"))
    if not rows:
        raise DataError(f"{path}: is empty: it has no objects")
    names = dict.fromkeys(name for row in rows for name in row)
    table = pa.table({name: _json_column(rows, name, path) for name in names})
    return table.select(list(choose(table.schema)))


def _rows(path: Path, text: str) -> list[dict[str, Any]]:
    places: list[tuple[str, object]]
    if text.lstrip().startswith("["):
        items = parse_json(text, str(path), strict=False)
        places = [(f"item {index} (from 0)", row) for index, row in enumerate(items)]
    else:
        places = []
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            places.append((f"line {number}", parse_json(line, str(path), strict=False, line=number)))
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


READERS: dict[str, Callable[[Path, Choose, int, bool], pa.Table]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".tsv": _csv,
    ".json": _json,
    ".jsonl": _json,
    ".ndjson": _json,
    ".txt": _lines,
}
