"""JSON, strictly: no NaN, no infinity, no number or depth that breaks what reads it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from edgecomp.errors import FileError
from edgecomp.files import limits

MOST_BYTES = 256 * limits.MIB


def read_json(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """What the JSON file at `path` holds. Raises FileError where it is no strict JSON, or larger than
    `most_bytes`."""
    return parse_json(limits.read_text(path, most_bytes), str(path))


def read_mapping(path: Path, *keys: str) -> dict[str, Any]:
    """What the JSON file at `path` holds: a mapping with those `keys` at least. Raises FileError where it is
    no such mapping."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise FileError(f"{path}: holds {type(content).__name__}, not a mapping of keys to values")
    if missing := [key for key in keys if key not in content]:
        raise FileError(f"{path}: has no {', '.join(missing)}: it is not what edgecomp writes there")
    return content


def parse_json(text: str | bytes, where: str, *, strict: bool = True, line: int = 1) -> Any:
    """What `text` says. Raises FileError, which begins with `where` and the line, where it is no JSON.

    strict: no NaN, no infinity, and no number that others cannot hold; else as Python writes it. line: the
    text's first.
    """
    numbers: dict[str, Any] = {
        "parse_int": limits.whole_number, "parse_float": limits.finite_number, "parse_constant": _refused,
    }  # fmt: skip
    with limits.told(where):
        try:
            content = json.loads(text, **(numbers if strict else {}))
        except json.JSONDecodeError as error:
            raise FileError(
                f"{where}: line {line + error.lineno - 1} is not JSON: {error.msg}, at column {error.colno}"
            ) from error
        except ValueError as error:  # of a number; UnicodeDecodeError is one too
            raise FileError(f"{where}: {error}") from error
    limits.check_depth(content, lambda what: FileError(f"{where}: {what}"))
    return content


@contextmanager
def shaped(path: Path, maker: str) -> Iterator[None]:
    """What is missing, or of another kind, in the content of the file or folder at `path` is told as a
    FileError: it is not what `maker`, a program or a step, writes there."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise FileError(f"{path}: is not what {maker} writes there ({reason}): make it again") from error


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}, which is no number")
