"""A memory budget that the kernel keeps: cgroup v2, else v1, else RLIMIT_DATA, else it is only measured. The result says which.

Never RLIMIT_AS, which counts what a runtime maps and never touches. A CPU quota would make a p99 meaningless: cores are given by
affinity. https://docs.kernel.org/admin-guide/cgroup-v2.html, …/cgroup-v1/memory.html, setrlimit(2).
"""

import contextlib
import itertools
import resource
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from edgecomp.files.scratch import PREFIX, is_dead, owner

ROOT = Path("/sys/fs/cgroup")
NAMES = itertools.count()


class MemoryLimit:
    """Bounds what processes started through `wrap` may hold. how: `cgroup v2`, `cgroup v1`, `RLIMIT_DATA` or `measured only`.

    Kernels account a cgroup's file pages to it as well, and give them back under pressure: only what no file backs can
    kill. RLIMIT_DATA bounds private virtual memory, twice and more of what is held, so a death under it decides nothing.
    """

    def __init__(
        self, limit_bytes: int | None, root: Path = ROOT, own: Path = Path("/proc/self/cgroup")
    ) -> None:
        self.limit_bytes, self.how, self.why = limit_bytes, "measured only", "no limit is asked for"
        self._folder: Path | None = None
        if limit_bytes is None:
            return
        reasons = []
        for version, make in (("cgroup v2", self._make_v2), ("cgroup v1", self._make_v1)):
            try:
                make(root, own, limit_bytes)
            except OSError as error:
                reasons.append(f"{version}: {error.strerror or error}")
                self._remove()
                continue
            self.how, self.why = version, "; ".join(reasons)
            return
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard != resource.RLIM_INFINITY and hard < limit_bytes:
            reasons.append(f"RLIMIT_DATA: {hard} bytes already")
            self.why = "; ".join(reasons)
        else:
            self.how, self.why = "RLIMIT_DATA", "; ".join(reasons)

    def facts(self) -> dict[str, str | int | None]:
        return {"how": self.how, "why": self.why, "limit_bytes": self.limit_bytes}

    @property
    def certain(self) -> bool:
        """Whether a death under this limit says that the budget is exceeded."""
        return self.how.startswith("cgroup")

    def wrap(self, command: list[str]) -> list[str]:
        """The command that runs `command` inside."""
        if self._folder is not None:
            return [
                "/bin/sh",
                "-c",
                'echo $$ > "$0" && exec "$@"',
                str(self._folder / "cgroup.procs"),
                *command,
            ]
        if self.how == "RLIMIT_DATA":
            assert self.limit_bytes is not None
            return ["/bin/sh", "-c", 'ulimit -d "$0" && exec "$@"', str(self.limit_bytes // 1024), *command]
        return command

    def killed(self) -> bool:
        """Whether the kernel has killed something inside for its memory."""
        if self._folder is None:
            return False
        for file in ("memory.events", "memory.oom_control"):
            for line in _text(self._folder / file).splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill" and int(count) > 0:
                    return True
        return False

    def anonymous_bytes(self) -> int | None:
        """What is held inside now that no file backs, by the kernel's own account; None without a cgroup."""
        if self._folder is None:
            return None
        for line in _text(self._folder / "memory.stat").splitlines():
            name, _, value = line.partition(" ")
            if name in ("anon", "rss"):  # v2, v1
                return int(value)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _make_v2(self, root: Path, own: Path, limit: int) -> None:
        """A group beside or under this process's own, where the memory controller is handed down to one."""
        mounted = root if (root / "cgroup.controllers").is_file() else root / "unified"
        place = _own(own, "") or "/"
        here = mounted / place.lstrip("/")
        refusal = OSError(0, "the memory controller is not handed down to this user")
        for parent in dict.fromkeys((here, here.parent if here != mounted else here)):
            if "memory" not in _text(parent / "cgroup.subtree_control").split():
                continue
            try:
                self._folder = _new(parent)
                (self._folder / "memory.max").write_text(str(limit))
                with contextlib.suppress(OSError):  # where there is no swap
                    (self._folder / "memory.swap.max").write_text("0")
            except OSError as error:
                self._remove()
                refusal = error
                continue
            return
        raise refusal

    def _make_v1(self, root: Path, own: Path, limit: int) -> None:
        place = _own(own, "memory")
        if place is None or not (root / "memory").is_dir():
            raise OSError(0, "not mounted")
        self._folder = _new(root / "memory" / place.lstrip("/"))
        (self._folder / "memory.limit_in_bytes").write_text(str(limit))
        with contextlib.suppress(OSError):  # without swap accounting
            (self._folder / "memory.memsw.limit_in_bytes").write_text(str(limit))

    def _remove(self) -> None:
        if self._folder is None:
            return
        for _ in range(100):  # a process that was killed leaves its group a moment later
            try:
                self._folder.rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.02)
        self._folder = None


def _new(parent: Path) -> Path:
    for left in parent.glob(f"{PREFIX}*"):  # of a process that was killed
        if is_dead(left.name):
            with contextlib.suppress(OSError):
                left.rmdir()
    folder = parent / f"{PREFIX}{owner()}-{next(NAMES)}"
    folder.mkdir()
    return folder


def _own(own: Path, controller: str) -> str | None:
    """This process's group in the hierarchy of a controller; "" is the unified one."""
    for line in _text(own).splitlines():
        _, controllers, place = line.split(":", 2)
        if controller in controllers.split(",") or (controllers == "" and controller == ""):
            return place
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
