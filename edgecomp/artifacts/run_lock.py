"""Who may write into a run folder: one process at a time, and only where nobody else's files are."""

import datetime
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edgecomp.errors import FileError, RunFolderBusy, RunFolderError
from edgecomp.files.json_files import read_json
from edgecomp.files.scratch import sweep

LOCK, OWNER = ".lock", ".owner.json"
SCRATCH = ".scratch"
ELSEWHERE = "choose another folder with --out"


@contextmanager
def locked(folder: Path, written: Sequence[str]) -> Iterator[None]:
    """Holds the folder, which is made, with an empty scratch folder in it; of the files `written` in it, what a killed writer left is swept.

    Raises RunFolderBusy, with the other process and its start time, where one writes here already.
    """
    from filelock import FileLock, Timeout

    owner, lock = folder / OWNER, FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        sweep(folder, (*written, OWNER))
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        (folder / SCRATCH).mkdir(exist_ok=True)
        owner.write_text(json.dumps({"pid": os.getpid(), "started": now()}), encoding="utf-8")
    except Timeout:
        raise RunFolderBusy(
            f"{folder} is being written by {_told(owner)}: wait for it, or {ELSEWHERE}"
        ) from None
    except OSError as error:
        with suppress(OSError):
            owner.unlink(missing_ok=True)
            (folder / SCRATCH).rmdir()
        lock.release()
        where = error.filename or folder
        raise RunFolderError(f"{where} cannot be written: {error.strerror or error}; {ELSEWHERE}") from error
    try:
        yield
    finally:
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        owner.unlink(missing_ok=True)
        lock.release()


def forget(folder: Path, job: str, new: Sequence[Path]) -> None:
    """Takes away what the lock's holder has left in `folder`, its file `job` with it, and the folders that
    are `new`, innermost first, where nothing else is."""
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    with suppress(OSError):  # what somebody else has put there stays, with the folders around it
        for name in (job, OWNER, LOCK):
            (folder / name).unlink(missing_ok=True)
        for one in new:
            one.rmdir()


def foreign(folder: Path, job: str) -> str | None:
    """Something in a folder that no run has left there which ended before it had written its `job`."""

    def is_own(path: Path) -> bool:
        if path.is_symlink():
            return False
        if path.name == SCRATCH:
            return path.is_dir() and not any(path.iterdir())
        left = path.name.startswith(f".{job}.") and path.suffix == ".tmp"
        return (path.name in (LOCK, OWNER) or left) and path.is_file()

    return next((path.name for path in sorted(folder.iterdir()) if not is_own(path)), None)


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _told(owner: Path) -> str:
    try:
        content = read_json(owner)
        return f"process {content['pid']}, started {content['started']}"
    except (FileError, KeyError, TypeError):
        return "another process"
