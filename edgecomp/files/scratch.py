"""Temporary files and folders. Each carries its owner in its name, so that the next start sweeps what a killed process has left.

The owner is a process by its id, when it started, and where both count: this boot of this machine, in this PID namespace. One of
another machine or container, on a shared disk, is left alone: whether it lives cannot be told from here.
"""

import atexit
import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgecomp.errors import EdgecompError

OWNED = re.compile(r"(\d+)-(\d+)-([0-9a-f]{8})")
PREFIX = "edgecomp-"  # of a process's folder among the system's temporary files
LONGEST = 50  # characters of a name that a temporary one takes over: with an owner they fit into 255 bytes, whatever they are


def owner() -> str:
    """This process, as the names of its temporary files have it."""
    return f"{os.getpid()}-{_started(os.getpid()) or 0}-{_realm()}"


def is_dead(name: str) -> bool:
    """Whether a name carries an owner that has certainly ended."""
    found = OWNED.search(name)
    if found is None or found[3] != _realm():
        return False
    return _started(int(found[1])) != int(found[2])


def _started(process: int) -> int | None:
    """In clock ticks since the machine's start, proc_pid_stat(5): exact, where psutil's time of day moves with the clock. None where there is no such process, or a dead one that nobody waits for."""
    try:
        _, _, fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")
    except (OSError, UnicodeDecodeError):
        return None
    state, *rest = fields.split()
    return None if state in "ZX" else int(rest[18])


def _realm() -> str:
    """What process ids count in: the same numbers mean others after a restart, and in another container."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
        return hashlib.sha256(f"{boot}{os.readlink('/proc/self/ns/pid')}".encode()).hexdigest()[:8]
    return "0" * 8


def take_a_folder() -> None:
    """From now on the temporary files of this process, and of its workers, lie in a folder of its own, which goes with it.

    Whatever makes them: a library's are swept as ours are. Where there is no room for it, what needs none goes on without.
    """
    with suppress(OSError):
        whole = Path(tempfile.gettempdir())
        _sweep(whole, lambda name: name.startswith(PREFIX) and is_dead(name))
        folder = tempfile.mkdtemp(prefix=f"{PREFIX}{owner()}-", dir=whole)
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        atexit.register(leave_the_folder)


def leave_the_folder() -> None:
    """Removes it. A fork, which inherits it, leaves it alone."""
    folder = tempfile.tempdir
    if isinstance(folder, str) and f"{PREFIX}{owner()}-" in folder:
        tempfile.tempdir = None
        shutil.rmtree(folder, ignore_errors=True)


def beside(path: Path) -> Path:
    """A temporary name in the folder of `path`; what a killed process had there for the same name is swept."""
    name = f".{path.name[:LONGEST]}."
    _sweep(path.parent, lambda found: found.startswith(name) and _is_temporary(found) and is_dead(found))
    return path.with_name(f"{name}{owner()}.tmp")


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A temporary folder in the folder of `path`, which is made; what is in it at the end, and has not been renamed, is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = beside(path)
    shutil.rmtree(folder, ignore_errors=True)  # of this very process: an earlier try
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_folder(folder: Path, lost: str) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when the block ends well. Raises EdgecompError where there is no room, with what is lost by it."""
    try:
        with folder_beside(folder) as temporary:
            yield temporary
            temporary.rename(folder)
    except OSError as error:
        why = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error
        raise EdgecompError(f"{folder} could not be written ({why}): {lost}") from error


def sweep(folder: Path, names: Iterable[str]) -> None:
    """Removes what was left of writing files of these names in `folder`, whoever's it is: for who holds the lock of it."""
    starts = tuple(f".{name}." for name in names)
    _sweep(folder, lambda found: found.startswith(starts) and _is_temporary(found))


def _is_temporary(name: str) -> bool:
    """Whether a name is one that `beside` gives, or of before all of its owner was in it: .NAME.PID.tmp."""
    return re.fullmatch(rf"\..+\.({OWNED.pattern}|\d+)\.tmp", name) is not None


def _sweep(folder: Path, wanted: Callable[[str], bool]) -> None:
    """Removes what is `wanted` by its name and this user's own; a link goes, and what it links to stays."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if not wanted(entry.name) or entry.stat(follow_symlinks=False).st_uid != os.geteuid():
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it (what it links to, if it does), fsynced, when the block ends well."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():  # renamed over a device, a file would take its place
        raise OSError(errno.EINVAL, "it is no file", str(path))
    temporary = beside(path)
    try:
        yield temporary
        fsync(temporary)
        os.replace(temporary, path)
        fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def fsync(path: Path) -> None:
    """Returns when the file or folder at `path` is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
