"""NumPy's files: a header's shape is held against the bytes that are there before memory is taken, and no objects are read."""

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy.typing as npt
from numpy.lib import format as npy

from edgecomp.errors import FileError
from edgecomp.files import archives, limits

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}

OBJECTS = "holds Python objects, which may run code when they are read: save numbers, or texts of fixed length (numpy dtype U)"


def read_npz(path: Path, only: Collection[str] | None = None) -> dict[str, npt.NDArray[Any]]:
    """The arrays by name of the .npz file at `path`, all of them or those of `only` that it has. Raises
    FileError."""
    with archives.opened(path, ".npz file") as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        return {
            name.removesuffix(".npy"): _member(path, archive, name)
            for name in names
            if only is None or name.removesuffix(".npy") in only
        }


def names_in(path: Path) -> list[str]:
    """Of the arrays in the .npz file at `path`. Raises FileError."""
    with archives.opened(path, ".npz file") as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def read_npy(path: Path) -> npt.NDArray[Any]:
    """The array in the .npy file at `path`. Raises FileError where it is none, holds objects, or is cut
    short."""
    with limits.told(path), path.open("rb") as file:
        _check_header(file, path.stat().st_size, str(path))
        return _array(file, str(path))


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    where = f"{path}: {name.removesuffix('.npy')}"
    with limits.told(path):
        try:
            with archive.open(name) as file:
                _check_header(file, archive.getinfo(name).file_size, where)
            with archive.open(name) as file:
                return _array(file, where)
        except archives.ERRORS as error:
            raise archives.damaged(path, name, error) from error


def _check_header(file: IO[bytes], size_bytes: int, where: str) -> None:
    try:
        shape, _, dtype = HEADERS[npy.read_magic(file)](file)
    except (ValueError, KeyError, EOFError) as error:
        raise FileError(f"{where}: is no array that numpy.save wrote: {error}") from error
    if dtype.hasobject:
        raise FileError(f"{where}: {OBJECTS}")
    count = 1
    for length in shape:
        count *= length
    if count * dtype.itemsize != (held := size_bytes - file.tell()):
        raise FileError(f"{where}: says that it is {dtype}{list(shape)}, {count * dtype.itemsize:,} bytes, and holds {held:,}: it may be cut short "
                        "or damaged")  # fmt: skip


def _array(file: IO[bytes], where: str) -> npt.NDArray[Any]:
    file.seek(0)
    try:
        array: npt.NDArray[Any] = npy.read_array(file, allow_pickle=False)
    except ValueError as error:
        raise FileError(f"{where}: is no array that numpy.save wrote: {error}") from error
    return array
