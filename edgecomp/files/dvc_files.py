"""Data that DVC keeps versions of: `reviews.csv.dvc` says which bytes `reviews.csv` has. Read here without DVC.

Digests as DVC 3 makes them: a file's MD5; a folder's, that of the JSON of its files' MD5 and paths, sorted, with `.dir` behind.
"""

import hashlib
import json
import os
import re
from pathlib import Path

from edgecomp.errors import DataError
from edgecomp.files.yaml_files import read_yaml

SUFFIX = ".dvc"


def data_of(file: Path) -> Path:
    """What a `.dvc` file stands for, once it has the bytes that the file says. Raises DataError."""
    content = read_yaml(file)
    outs = content.get("outs") if isinstance(content, dict) else None
    if not isinstance(outs, list) or len(outs) != 1 or not isinstance(outs[0], dict):
        raise DataError(f"{file}: no file of `dvc add`, which has one entry under outs")
    digest, name = outs[0].get("md5"), outs[0].get("path")
    if (
        not isinstance(name, str)
        or not isinstance(digest, str)
        or not re.fullmatch(r"[0-9a-f]{32}(\.dir)?", digest)
    ):
        raise DataError(f"{file}: its entry under outs needs a path and an md5")
    folder = file.absolute().parent
    data = Path(os.path.normpath(folder / name))
    if not data.is_relative_to(folder):
        raise DataError(f"{file}: {name} lies outside its folder")
    if not data.exists():
        raise DataError(f"{file}: {name} is not there: dvc pull {file.name}")
    if (found := md5(data)) != digest:
        raise DataError(f"{file}: {name} is not what it says, md5 {found}: `dvc checkout {file.name}` for what was kept, or `dvc add {name}` to keep this")  # fmt: skip
    return data


def md5(path: Path) -> str:
    """Of the file at `path`, or of that folder's files, as DVC 3 has it."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    files = sorted((one.relative_to(path).as_posix(), one) for one in path.rglob("*") if one.is_file())
    listed = [{"md5": md5(file), "relpath": name} for name, file in files]
    return (
        hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"
    )
