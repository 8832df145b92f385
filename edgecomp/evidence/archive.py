"""The one form of a pack: a zip archive of stored members, sorted by name, with nothing of a day, a machine or a program in it.

All of its bytes follow from the names and the contents of its members. So whether a file has that form is told by writing it again:
a member that stands there twice, a header that says something else than the directory, a link, a comment, bytes before or behind it
are all bytes that would not have been written. Nothing is compressed: what is read is never larger than the file.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from edgecomp.errors import FileError
from edgecomp.files import archives, limits

MOST_BYTES = 1024 * limits.MIB
MOST_MEMBERS = 10_000
LONGEST_NAME, LONGEST_PART = 500, 200  # bytes; file systems take 255 between slashes

LOCAL, CENTRAL, END = struct.Struct("<4s5H3L2H"), struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s4H2LH")
"""APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12 and 4.3.16."""
VERSION, UNIX = 20, 3 << 8  # needed to read it; whose attributes they are
UTF8, STORED, MIDNIGHT, FIRST_DAY = 1 << 11, 0, 0, 1 << 5 | 1  # names are in UTF-8; 1980-01-01, 00:00
A_FILE = 0o100644 << 16

ERRORS = (*archives.ERRORS, RuntimeError, struct.error)


class Contents(NamedTuple):
    """What an archive holds. names: of all its members; members: name → bytes, of those that can be read; flaw: why it is not as a
    pack is written, empty where it is."""

    names: frozenset[str]
    members: dict[str, bytes]
    flaw: str


def written(members: Mapping[str, bytes]) -> Iterator[bytes]:
    """The bytes of the archive, piece by piece. members: name → content. Raises ValueError where they are too many or too large for
    one."""
    size = sum(map(len, members.values())) + sum(2 * len(name.encode()) + 200 for name in members)
    if size > MOST_BYTES or len(members) > MOST_MEMBERS:
        raise ValueError(f"{len(members):,} members of {size // limits.MIB:,} MiB; the most are {MOST_MEMBERS:,} of "
                         f"{MOST_BYTES // limits.MIB:,} MiB")  # fmt: skip
    directory, place = [], 0
    for name, content in sorted(members.items()):
        path, length = name.encode(), len(content)
        shared = (
            VERSION,
            UTF8,
            STORED,
            MIDNIGHT,
            FIRST_DAY,
            zlib.crc32(content),
            length,
            length,
            len(path),
            0,
        )
        yield LOCAL.pack(b"PK\3\4", *shared) + path
        yield content
        directory.append(CENTRAL.pack(b"PK\1\2", UNIX | VERSION, *shared, 0, 0, 0, A_FILE, place) + path)
        place += LOCAL.size + len(path) + length
    whole = b"".join(directory)
    yield whole
    yield END.pack(b"PK\5\6", 0, 0, len(members), len(members), len(whole), place, 0)


def read(path: Path) -> Contents:
    """What the archive at `path` holds; nothing is unpacked. Raises FileError where it is none, or too large."""
    content = limits.read_bytes(path, MOST_BYTES)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = _members(archive, len(content))
    except ERRORS as error:
        raise FileError(f"{path}: is no zip archive, or cut short: copy it whole ({error})") from error
    try:
        return found if found.flaw else found._replace(flaw=_other_bytes(content, written(found.members)))
    except ValueError as error:
        raise FileError(f"{path}: holds {error}") from error


def _members(archive: zipfile.ZipFile, size: int) -> Contents:
    members: dict[str, bytes] = {}
    flaws, total = [], 0
    for info in archive.infolist()[: MOST_MEMBERS + 1]:
        name, total = info.filename, total + info.file_size
        if info.compress_type != zipfile.ZIP_STORED:
            flaws.append(f"{name!r} is compressed, and no member of a pack is")
        elif name in members:
            flaws.append(f"there are two members {name!r}")
        elif not is_plain(name):
            flaws.append(f"{name!r} is no plain path inside it")
        elif total > size:
            flaws.append(f"{name!r} would be larger than the whole file")
        else:
            try:
                members[name] = archive.read(info)
            except ERRORS as error:
                flaws.append(f"{name!r}: {error}")
    flaws += [f"{name!r} is below a file" for name in members if _folders(name) & members.keys()]
    return Contents(frozenset(archive.namelist()), members, flaws[0] if flaws else "")


def _folders(name: str) -> set[str]:
    return {str(folder) for folder in PurePosixPath(name).parents}


def is_plain(name: str) -> bool:
    """Whether `name` is a path that leads to a place of its own below the folder where a pack is unpacked, on every system."""
    return (
        name.isprintable()
        and len(name.encode()) <= LONGEST_NAME
        and all(
            part not in ("", ".", "..")
            and len(part.encode()) <= LONGEST_PART
            and not set(part) & set('\\:*?"<>|')
            for part in name.split("/")
        )
    )


def _other_bytes(content: bytes, pieces: Iterable[bytes]) -> str:
    """Where `content` is not what the `pieces` are, in words."""
    view, place = memoryview(content), 0
    for piece in pieces:
        if view[place : place + len(piece)] != piece:
            return f"its bytes from {place:,} on are not as a pack is written: it was changed, or written by another program"
        place += len(piece)
    return f"{len(content) - place:,} bytes follow its end" if place != len(content) else ""
