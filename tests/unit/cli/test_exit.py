"""SIGTERM ends a command within its grace, also where native code hangs and no Python can run."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import environment

from edgecomp.cli.exit import GRACE_S

Hanging = Callable[..., subprocess.Popen[str]]

# A lock that is taken twice by one thread: the second time waits for ever, and no signal interrupts it. PyDLL keeps Python's
# own lock meanwhile, CDLL lets go of it.
HANGS = """
import ctypes, os, sys
import edgecomp.config.job, edgecomp.cli.exit
from edgecomp.cli.app import main
def hang(*_):
    library, mutex = ctypes.{library}(None), ctypes.create_string_buffer(128)
    library.pthread_mutex_lock(mutex)
    print("hangs", flush=True)
    library.pthread_mutex_lock(mutex)
edgecomp.config.job.load_job = hang
{more}
sys.argv = ["edgecomp", "run", "digits", "--json"]
main()
"""


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    """Starts a command that hangs; what a test leaves of it is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(library: str, more: str = "") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HANGS.format(library=library, more=more)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "hangs\n"
        asleep = 0
        while asleep < 5:  # it has said so before it does
            time.sleep(0.1)
            asleep = asleep + 1 if fields_of(process.pid)[0] == "S" else 0
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def fields_of(process: int) -> list[str]:
    """/proc/PID/stat, from the state on."""
    text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()


def left_of(session: int) -> list[str]:
    """The processes of a session that still run: none may be a second after its first has ended."""
    time.sleep(1)
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = fields_of(int(path.name))
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(path.name)
    return found


def watcher_of(command: int) -> int:
    """The first process that the command started."""
    children = Path(f"/proc/{command}/task/{command}/children").read_text(encoding="utf-8")
    return int(children.split()[0])


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a hang waits for SIGKILL")


def test_a_hang_in_native_code_ends_within_the_grace_whoever_holds_the_lock(hanging: Hanging) -> None:
    processes = {library: hanging(library) for library in ("PyDLL", "CDLL")}
    begin = time.monotonic()
    for process in processes.values():
        for _ in range(2):  # as timeout(1) does
            process.send_signal(signal.SIGTERM)
    for library, process in processes.items():
        out, err = process.communicate(timeout=GRACE_S + 10)
        assert process.returncode == 143, (library, err)
        assert json.loads(out.splitlines()[-1])["exit_code"] == 143
        assert err.count("edgecomp: terminated: it hung") == 1
        assert "what was finished is kept" in err
        assert left_of(process.pid) == []
    assert GRACE_S < time.monotonic() - begin < GRACE_S + 6


def test_a_signal_to_a_fork_is_none_to_the_command(hanging: Hanging) -> None:
    process = hanging("CDLL", "child = os.fork()\nif child == 0: __import__('time').sleep(600)")
    (child,) = {int(one) for one in left_of(process.pid)} - {process.pid} - {watcher_of(process.pid)}
    os.kill(child, signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=GRACE_S + 2)


def test_without_message_queues_a_hang_still_ends(hanging: Hanging) -> None:
    process = hanging("PyDLL", "edgecomp.cli.exit._Queue.send = lambda self: None")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=GRACE_S + 10)
    assert process.returncode == -signal.SIGKILL
    assert left_of(process.pid) == []


def test_what_watches_a_command_ends_with_it_however_that_ends(hanging: Hanging) -> None:
    process = hanging("CDLL")
    assert len(left_of(process.pid)) == 2
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    assert left_of(process.pid) == []
