"""The command line as a user runs it, and a recipe small enough to run many times."""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The whole pipeline on the real digits, small enough for a few seconds. Its thresholds are not the point.
TINY = [
    "threads=1",  # beside another test: two would wait for each other more than they compute
    "data.image_size=16",
    "data.views=2",
    "teacher.arguments.blocks=1",
    "teacher.arguments.width=8",
    "teacher.epochs=2",
    "student.arguments.width=4",
    "distill.epochs=2",
    "quantize.epochs=2",
    "bench.restarts=1",
    "bench.warmup=2",
    "bench.iterations=16",
    "bench.offline_batches=2",
    "bench.emulated_examples=500",
    "ungated_targets=[]",
]


# Any recipe, from data to verdict, as short as can be.
SHORT = [
    "threads=1",
    "teacher.epochs=1",
    "distill.epochs=1",
    "quantize.epochs=1",
    "quantize.calibration_batches=2",
    "bench.restarts=1",
    "bench.warmup=2",
    "bench.iterations=16",
    "bench.offline_batches=2",
]


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return content


Cli = Callable[..., Outcome]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "edgecomp", *arguments]


HISTORY = Path(tempfile.mkdtemp(prefix="edgecomp-history-")) / "history.sqlite"
atexit.register(shutil.rmtree, HISTORY.parent, ignore_errors=True)


def environment() -> dict[str, str]:
    """The installed package is meant, not the folder the tests are started in."""
    own = {"COLUMNS": "120", "NO_COLOR": "1", "PYTHONSAFEPATH": "1", "EDGECOMP_HISTORY": str(HISTORY)}
    return {**os.environ, **own}


@contextmanager
def warm(env: dict[str, str]) -> Iterator[Callable[..., int | None]]:
    """Runs commands in forks of one process that has imported what they need: `(argv, *, cwd, env, out, err, timeout_s) -> exit code`, None
    where the time ran out. out, err: files of what they say; timeout_s: None for none."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("zygote.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=env
        | {"OMP_WAIT_POLICY": "PASSIVE"},  # read when torch is imported; a command says so itself before that
    )
    asked, answered = process.stdin, process.stdout
    assert asked is not None
    assert answered is not None

    def run(argv: Sequence[str], **more: Any) -> int | None:
        paths = {name: str(more[name]) for name in ("cwd", "out", "err")}
        asked.write(json.dumps({"argv": list(argv)} | more | paths) + "\n")
        asked.flush()
        code: int | None = json.loads(answered.readline())
        return code

    yield run
    asked.close()
    answered.close()
    process.wait(timeout=30)


class Opened:
    """Whoever unpickles it makes that folder."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.file),)


def processes_of(folder: Path) -> list[str]:
    """Command lines of the processes that work on something in a folder, this one apart."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if str(folder) in line and int(process.name) != os.getpid():
            found.append(f"{process.name}: {line[:200]}")
    return found


def left_running(folder: Path, within_s: float = 10.0) -> list[str]:
    """Those that still run after a while: a worker sees that nobody listens when it looks."""
    deadline = time.monotonic() + within_s
    while (found := processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found
