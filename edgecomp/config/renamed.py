"""Keys of a recipe that have another name since 0.2.0. The old name is read until 0.3.0, and said to be deprecated."""

import warnings
from collections.abc import Mapping
from typing import Any

RENAMED = {"beside": "ungated_targets", "bench.beside_restarts": "bench.ungated_restarts"}


class Deprecated(FutureWarning):
    """Something that still works, and will not."""


def override(text: str) -> str:
    """`text`, KEY=VALUE, with the key's present name; warns of an old one."""
    key, equals, value = text.partition("=")
    bare = key.lstrip("+~")
    if bare not in RENAMED:
        return text
    _warn(bare)
    return key[: len(key) - len(bare)] + RENAMED[bare] + equals + value


def keys(
    content: Mapping[str, Any], own: Mapping[str, Any] | None = None, *, warn: bool = False
) -> dict[str, Any]:
    """A recipe's `content` with present names. Where both names are there the present one holds, unless only
    the old one is in `own`: what the file itself says goes before what it starts from. warn: of old names."""
    found = dict(content)
    for old, new in RENAMED.items():
        *_, last = old.split(".")
        section, now = _section(found, old), new.rpartition(".")[2]
        if section is None or last not in section:
            continue
        if warn:
            _warn(old)
        value = section.pop(last)
        mine = {} if own is None else _section(dict(own), old) or {}
        if now not in section or (last in mine and now not in mine):
            section[now] = value
    return found


def _section(content: dict[str, Any], key: str) -> dict[str, Any] | None:
    """The mapping that a dotted key is in, as a copy that `content` holds; None where there is none."""
    for part in key.split(".")[:-1]:
        if not isinstance(content.get(part), Mapping):
            return None
        content[part] = dict(content[part])
        content = content[part]
    return content


def _warn(old: str) -> None:
    warnings.warn(
        f"{old} is deprecated: write {RENAMED[old]}; it is not read any more from 0.3.0 on",
        Deprecated,
        stacklevel=2,
    )
