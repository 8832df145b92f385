"""Where a data set lies, and which of its files are which split."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from edgecomp.data.sources.examples import SPLITS, Wanted
from edgecomp.errors import DataError, nearest
from edgecomp.files import dvc_files
from edgecomp.files.packages import PACKAGE, inside

VARIABLE = "EDGECOMP_DATA"
"""The environment variable that names a folder of data sets."""

_BEGINNINGS = {"train": r"train", "validation": r"valid|dev|val(?![a-z])", "test": r"test"}
"""How the names of a split's files begin, in capitals or not."""

_FOLDERS = {"train": r"train(ing)?", "validation": r"val(id(ation)?)?|dev(elopment)?", "test": r"test(ing)?"}
_MORE = r"[ _-]?(data|files|folder|images|set|split)?[ _-]?\d*"
"""What the names of a split's folders are, with what may follow: `Training`, `test_set`, `val2017`."""

_SHARD = re.compile(r"-(\d+)-of-(\d+)(-[0-9a-f]+)?(\.\w+)+$")


def places(wanted: Wanted, folder: Path) -> list[Path]:
    """Where the `path` that is `wanted` may lie: in an installed package (`package:NAME/PATH`), as it is, or in the
    recipe's `folder`, $EDGECOMP_DATA, the current folder, in this order. Raises DataError where there is no path."""
    if not wanted.path:
        raise DataError(f"source {wanted.source!r} needs data.path: a file or a folder")
    if wanted.path.startswith(PACKAGE):
        try:
            return [inside(wanted.path.removeprefix(PACKAGE))[1]]
        except ValueError as error:
            raise DataError(f"data.path: {wanted.path}: {error}") from error
    path = Path(wanted.path).expanduser()
    if path.is_absolute():
        return [path]
    shared = os.environ.get(VARIABLE)
    roots = [folder.absolute(), *([Path(shared).expanduser().absolute()] if shared else []), Path.cwd()]
    return list(dict.fromkeys(root / path for root in roots))


def find(wanted: Wanted, folder: Path) -> Path | None:
    """The first of the `places` of `wanted` and `folder` that exists, of a `.dvc` file what it stands for; None where none does. Raises DataError
    where that is not as it says."""
    path = next((place for place in places(wanted, folder) if place.exists()), None)
    return dvc_files.data_of(path) if path is not None and path.suffix == dvc_files.SUFFIX else path


def found(wanted: Wanted, folder: Path) -> Path:
    """The first of the `places` of `wanted` and `folder` that exists. Raises DataError that says where was
    looked."""
    path = find(wanted, folder)
    if path is None:
        raise DataError(f"data.path: no such file or folder, {looked(wanted, folder)}")
    return path


def named(path: str, folder: Path, missing: str) -> Path:
    """Where the file `path` that a recipe names lies: where data do. folder: the recipe's; missing: what a message says first where it is not
    there. Raises DataError."""
    wanted = Wanted("numpy", path=path)
    file = find(wanted, folder)
    if file is None or not file.is_file():
        raise DataError(f"{missing}, {looked(wanted, folder)}")
    return file


def stored_answers(path: str, folder: Path) -> Path:
    """Where the file `path` of a teacher's answers lies. folder: the recipe's. Raises DataError."""
    return named(path, folder, "teachers: no such file of soft_labels")


def looked(wanted: Wanted, folder: Path) -> str:
    """`'x': looked for /a/x and /b/x`, the `places` of `wanted` and `folder`, with the nearest name there,
    for a message."""
    tried = places(wanted, folder)
    there = {entry.name for place in tried if place.parent.is_dir() for entry in place.parent.iterdir()}
    unset = f" (${VARIABLE} is not set)" if VARIABLE not in os.environ and len(tried) > 1 else ""
    kept = [place.with_name(f"{place.name}{dvc_files.SUFFIX}") for place in tried]
    hint = next((f": dvc pull {file}" for file in kept if file.is_file()), nearest(tried[0].name, there))
    return f"{wanted.path!r}: looked for {' and '.join(map(str, tried))}{unset}{hint}"


def split_of_folder(name: str) -> str | None:
    """The split that a folder of that name holds; None where it is no split's name."""
    return next(
        (s for s, pattern in _FOLDERS.items() if re.fullmatch(f"({pattern}){_MORE}", name, re.IGNORECASE)),
        None,
    )


def has_suffix(path: Path, suffixes: Sequence[str]) -> bool:
    """Whether the name of `path` ends in one of the `suffixes`, in capitals or not: `TABLE.CSV` is a .csv
    file."""
    return path.name.lower().endswith(tuple(suffixes))


def split_files(path: Path, wanted: Wanted, suffixes: Sequence[str]) -> dict[str, list[Path]]:
    """Split → its files, in order: as the `files` that are `wanted` name them, or by how their names begin. A
    file is the train split.

    path: where they lie, a file or a folder; suffixes: of files that can be read. Raises DataError where
    there are none, or it cannot be told which are meant.
    """
    if path.is_file():
        if wanted.files:
            raise DataError(f"data.files names files of a folder, and data.path is a file: {path}")
        if not has_suffix(path, suffixes):
            raise DataError(f"{path}: is not a {' or '.join(suffixes)} file")
        return {"train": [path]}
    if wanted.files:
        return {
            split: _named(path, wanted.files[split], split, suffixes)
            for split in SPLITS
            if split in wanted.files
        }
    present = [file for file in visible(path) if has_suffix(file, suffixes)]
    if not present:
        raise DataError(f"{path}: has no {' or '.join(suffixes)} file")
    by_split = {
        split: [file for file in present if re.match(_BEGINNINGS[split], file.name, re.IGNORECASE)]
        for split in SPLITS
    }
    by_split = {split: files for split, files in by_split.items() if files}
    if not by_split and len(present) == 1:
        return {"train": present}
    if "train" not in by_split:
        raise DataError(f"{path}: no file's name begins with train; name the files in data.files; "
                        f"there are {_some(present, path)}")  # fmt: skip
    folders = sorted({file.parent for files in by_split.values() for file in files})
    if len(folders) > 1:
        raise DataError(f"{path}: has splits in several folders; set data.path to one of them: "
                        f"{_some(folders, path)}")  # fmt: skip
    for split, files in by_split.items():
        _check_shards(files, split, path)
    return by_split


def visible(folder: Path) -> list[Path]:
    """The files anywhere in a folder, sorted; not those that are hidden, or in a hidden folder."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return sorted(f for f in files if not any(part.startswith(".") for part in f.relative_to(folder).parts))


def _named(folder: Path, name: str, split: str, suffixes: Sequence[str]) -> list[Path]:
    """A file by its name, or several by a pattern such as `part-*.parquet`."""
    literal = folder / name
    pattern = not Path(name).is_absolute() and any(sign in name for sign in "*?[")
    files = [literal] if literal.is_file() or not pattern else sorted(folder.glob(name))
    if not files or not files[0].is_file():
        there = [str(file.relative_to(folder)) for file in visible(folder)]
        raise DataError(f"data.files.{split}: no such file: {literal}{nearest(name, there)}")
    for file in files:
        if not has_suffix(file, suffixes):
            raise DataError(f"data.files.{split}: {file} is not a {' or '.join(suffixes)} file")
    return files


def _check_shards(files: list[Path], split: str, folder: Path) -> None:
    """Several files are one split only where their names say so: `train-00000-of-00002.parquet`."""
    marks = [_SHARD.search(file.name) for file in files]
    if len(files) == 1 and marks[0] is None:
        return
    if any(mark is None for mark in marks):
        raise DataError(f"{folder}: several files could be the {split} split: {_some(files, folder)}; "
                        f"name one in data.files.{split}")  # fmt: skip
    numbers = [(int(mark[1]), int(mark[2])) for mark in marks if mark]
    total = numbers[0][1]
    if sorted(numbers) != [(index, total) for index in range(total)]:
        raise DataError(f"{folder}: the {split} split is in {total} parts, and here are {_some(files, folder)}: "
                        "fetch the others")  # fmt: skip


def _some(paths: Sequence[Path], folder: Path, most: int = 8) -> str:
    names = [str(path.relative_to(folder)) for path in paths]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
