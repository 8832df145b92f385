"""Files written whole or not at all, and digests of what files hold."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecomp.files.scratch import replacing


def write_json(path: Path, content: object) -> None:
    """`content` as strict JSON (a NaN is refused) at `path`, written whole or not at all. Raises ValueError,
    OSError."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """Of the file at `path`, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(content: Mapping[str, Any] | Any) -> str:
    """sha256, in hexadecimal, of the canonical JSON of `content`."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
