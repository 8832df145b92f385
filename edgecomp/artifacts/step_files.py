"""A step's folder: what it made takes the place of what it had made before. What no manifest lists stays, whoever put it there."""

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from edgecomp.errors import RunFolderError

ADVICE = "take it away, or choose another folder with --out"


def is_within(path: str, folder: str = "") -> bool:
    """Whether a path that a manifest gives is plain, and leads into `folder` of the run folder."""
    parts = path.split("/")
    return all(part not in ("", ".", "..") and "\0" not in part for part in parts) and path.startswith(folder)


def check_no_link(root: Path, name: str) -> None:
    """Raises RunFolderError where the folder of the step `name` in the run folder `root`, or one that leads
    to it, is a link or no folder: what is there is somebody's."""
    place = root
    for part in name.split("/"):
        place = place / part
        if place.is_symlink():
            raise RunFolderError(
                f"{place} is a link, and nothing of a run is written or deleted behind one: {ADVICE}"
            )
        if place.exists() and not place.is_dir():
            raise RunFolderError(f"{place} is a file, where a step's folder belongs: {ADVICE}")


def unlisted(root: Path, name: str, listed: Collection[str]) -> list[str]:
    """Files in the folder of the step `name`, and below it, that are not `listed`, as paths from the run
    folder `root`; links are not followed."""
    return [path for path in _below(root, name) if path not in listed]


def _below(root: Path, name: str) -> Iterator[str]:
    for folder, folders, files in os.walk(root / name):
        links = [one for one in folders if Path(folder, one).is_symlink()]
        yield from (Path(folder, file).relative_to(root).as_posix() for file in sorted([*files, *links]))


def clear_the_way(root: Path, name: str, own: Collection[str], now: Collection[str]) -> None:
    """Makes room in the folder of the step `name` for the files `now`: of its `own` those go that are not
    made any more. Both are paths from the run folder `root`.

    What is in the way, and not its own, is kept beside as NAME.kept. Raises RunFolderError for a link.
    """
    check_no_link(root, name)
    for path in now:
        for place in reversed((root / path).parents[: path.count("/") - name.count("/") - 1]):
            if place.is_symlink() or (place.exists() and not place.is_dir()):
                _keep(place)
        if os.path.lexists(root / path) and (path not in own or (root / path).is_dir()):
            _keep(root / path)
    for path in sorted(set(own) - set(now)):
        check_no_link(root, str(Path(path).parent))
        (root / path).unlink(missing_ok=True)
        _remove_empty(root / path, root / name)


def put(scratch: Path, folder: Path) -> None:
    """Moves every file of `scratch` into `folder`, which is made, over what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(path for path in scratch.rglob("*") if path.is_file()):
        final = folder / file.relative_to(scratch)
        final.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, final)


def _keep(place: Path) -> None:
    """Renames what is somebody's and in the way."""
    number = 1
    while os.path.lexists(aside := place.with_name(f"{place.name}.kept{'' if number == 1 else number}")):
        number += 1
    place.rename(aside)


def _remove_empty(file: Path, folder: Path) -> None:
    """The folders that held a file that is gone, up to the step's own, where nothing else is in them."""
    for parent in file.parents:
        if parent == folder:
            return
        with suppress(OSError):
            parent.rmdir()
