"""What a file of text may be, and the errors of reading one."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgecomp.errors import FileError

MIB = 2**20
DEEPEST = 64
"""Lists and mappings inside each other."""
DIGITS = 40
"""Of a whole number: 2^128 has 39."""


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """All of the file at `path`. Raises FileError where it is larger than `most_bytes`, or cannot be read."""
    with told(path), path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise FileError(
            f"{path}: is larger than {most_bytes // MIB} MiB, the most that such a file may be: is it the right one?"
        )
    return content


def read_text(path: Path, most_bytes: int) -> str:
    """The UTF-8 text in the file at `path`, without a byte order mark. Raises FileError where it is none, or
    larger than `most_bytes`."""
    try:
        return read_bytes(path, most_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: is not UTF-8 text, at byte {error.start}: save it as UTF-8") from error


@contextmanager
def told(path: Path | str) -> Iterator[None]:
    """What the system, or a lack of memory, says while the file at `path` is read, as a FileError. path: of a
    text without a file, what it is called."""
    try:
        yield
    except OSError as error:
        raise FileError(f"{_short(path)}: cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise FileError(f"{path}: cannot be read: there is not enough memory for it") from error
    except RecursionError as error:
        raise FileError(f"{path}: is nested too deeply; the most is {DEEPEST} levels") from error


def whole_number(digits: str) -> int:
    """The integer that `digits` write. Raises ValueError where there are too many of them."""
    if len(digits) > DIGITS:
        raise ValueError(f"{digits[:8]}… has {len(digits):,} digits; the most is {DIGITS}")
    return int(digits)


def finite_number(digits: str) -> float:
    """The number that `digits` write. Raises ValueError where it is larger than any."""
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is larger than the largest number, 1.8e308")
    return value


def check_depth(content: Any, refuse: Callable[[str], Exception]) -> None:
    """Raises what `refuse` makes of the words, where lists and mappings in `content` are nested too deeply."""
    level: list[Any] = [[content]]
    for _ in range(DEEPEST + 1):
        level = [inner for one in level for inner in _inside(one) if isinstance(inner, dict | list)]
    if level:
        raise refuse(f"is nested more than {DEEPEST} levels deep")


def _inside(one: Any) -> Any:
    return one.values() if isinstance(one, dict) else one


def _short(path: Path | str) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:80]}…{text[-40:]} ({len(text):,} characters)"
