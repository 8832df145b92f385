"""JSON, strictly: no NaN, no infinity, no number or depth that breaks what reads it."""

import json
from pathlib import Path
from typing import Any, NoReturn

from edgecomp.errors import FileError
from edgecomp.reading import limits

MOST_BYTES = 256 * limits.MIB


def read_json(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """What a JSON file holds."""
    return parse_json(limits.read_text(path, most_bytes), str(path))


def read_mapping(path: Path, *keys: str) -> dict[str, Any]:
    """What a JSON file holds: a mapping with those keys at least."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise FileError(f"{path}: holds {type(content).__name__}, not a mapping of keys to values")
    if missing := [key for key in keys if key not in content]:
        raise FileError(f"{path}: has no {', '.join(missing)}: it is not what edgecomp writes there")
    return content


def parse_json(text: str | bytes, where: str) -> Any:
    with limits.told(where):
        try:
            content = json.loads(
                text, parse_int=limits.whole_number, parse_float=limits.finite_number, parse_constant=_refused
            )
        except json.JSONDecodeError as error:
            raise FileError(
                f"{where}: is not JSON: {error.msg}, line {error.lineno}, column {error.colno}"
            ) from error
        except ValueError as error:  # of a number; UnicodeDecodeError is one too
            raise FileError(f"{where}: is not JSON that can be read: {error}") from error
    limits.check_depth(content, lambda what: FileError(f"{where}: {what}"))
    return content


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
