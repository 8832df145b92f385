"""Zip archives, whose members are checked by what the archive says of them before any is unpacked."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgecomp.errors import FileError
from edgecomp.files import limits
from edgecomp.machine import memory_bytes

MOST_MEMBERS = 100_000
MOST_RATIO = 100
"""What is unpacked over what the file takes, beyond SMALL_BYTES: real arrays and weights come nowhere near it."""
SMALL_BYTES = 256 * limits.MIB

ERRORS = (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error)


@contextmanager
def opened(path: Path, kind: str = "zip archive") -> Iterator[zipfile.ZipFile]:
    """The zip archive at `path`, to be read: what it holds is as large as it says at most. Raises FileError,
    which calls it `kind`, where it is none, is damaged, or would unpack to more than this machine has, or
    than is plausible."""
    with limits.told(path):
        packed = path.stat().st_size
        try:
            archive = zipfile.ZipFile(path)
        except ERRORS as error:
            raise FileError(f"{path}: is no {kind}, or cut short: copy it whole ({error})") from error
        with archive:
            _check(path, archive, packed)
            yield archive


def read(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of the member `name` of an archive. path: the archive's own, which FileError names where the
    member cannot be read."""
    with limits.told(path):
        try:
            return archive.read(name)
        except ERRORS as error:
            raise damaged(path, name, error) from error


def damaged(path: Path, name: str, error: Exception) -> FileError:
    """Of the member `name` of the archive at `path`, that it cannot be read. error: what was raised on
    reading it."""
    return FileError(f"{path}: cannot be read, it may be cut short or damaged: {name}: {error}")


def _check(path: Path, archive: zipfile.ZipFile, packed: int) -> None:
    names = archive.namelist()
    if len(names) > MOST_MEMBERS:
        raise FileError(f"{path}: has {len(names):,} members; the most is {MOST_MEMBERS:,}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FileError(f"{path}: has two members {twice!r}: which is meant? Write it again")
    unpacked = sum(member.file_size for member in archive.infolist())
    _check_sizes(path, packed, unpacked)


def check_parquet(path: Path, file: Any) -> None:
    """Raises FileError where the Parquet file at `path` would unpack to more than this machine has, or than
    is plausible: a column of one value again and again takes no room, and all of it when it is read. file:
    pyarrow's ParquetFile."""
    packed, about = path.stat().st_size, file.metadata
    wide = sum(_width(field.type) for field in file.schema_arrow)
    unpacked = max(
        about.num_rows * wide,
        sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups)),
    )
    _check_sizes(path, packed, unpacked)


def _width(kind: Any) -> int:
    """Bytes of a value, at least."""
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:  # of texts and lists
        return 1


def _check_sizes(path: Path, packed: int, unpacked: int) -> None:
    if unpacked > SMALL_BYTES and unpacked > MOST_RATIO * packed:
        raise FileError(f"{path}: {_size(packed)} would unpack to {_size(unpacked)}, {unpacked // packed:,} times as much; the most is "
                        f"{MOST_RATIO} times: write it again without compression, if it is meant")  # fmt: skip
    if unpacked > memory_bytes():
        raise FileError(
            f"{path}: would unpack to {_size(unpacked)}, and this machine has {_size(memory_bytes())} of memory: split it"
        )


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
