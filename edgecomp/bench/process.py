"""The parent's end of a worker: start it clean, speak to it, and never wait for ever."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import edgecomp
from edgecomp.emulators import own_packages
from edgecomp.errors import WorkerError

KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")


class Worker:
    """A running worker whose model is loaded and has answered once; close it, or use it as a context.

    `ready` is what it said of its start; `cold_start_ns` runs from the start of the process to the first
    answer, without the time it took to read its memory. Every wait ends after `timeout_s` seconds. An `interpreter`
    other than this one, under an emulator, finds its packages in the folders of `path`.
    """

    def __init__(
        self,
        *,
        runtime: str,
        model: Path,
        inputs: Path,
        threads: int,
        options: dict[str, Any],
        timeout_s: float,
        interpreter: Sequence[str] | None = None,
        path: Sequence[str] | None = None,
    ) -> None:
        self._replies, replies = os.pipe()
        job = {
            "replies": replies,
            "runtime": runtime,
            "model": str(model.resolve()),
            "inputs": str(inputs.resolve()),
            "threads": threads,
            "options": options,
        }
        self._what = f"worker for {model.name} under {runtime}"
        self._timeout_s = timeout_s
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._pending = b""
        started = time.perf_counter_ns()
        self._process = subprocess.Popen(
            [
                *(interpreter or [os.path.realpath(sys.executable)]),
                "-s",
                "-P",
                "-m",
                "edgecomp.bench.worker",
                json.dumps(job),
            ],
            stdin=subprocess.PIPE,
            stdout=self._stderr,
            stderr=self._stderr,
            env=clean_environment(threads) | ({} if path is None else {"PYTHONPATH": os.pathsep.join(path)}),
            pass_fds=[replies],
            start_new_session=True,
        )
        os.close(replies)
        try:
            self.ready = self._reply()
        except BaseException:
            self.close()
            raise
        imports_ns = self.ready["imported_at_ns"] - started
        self.cold_start_ns = imports_ns + self.ready["load_ns"] + self.ready["first_run_ns"]

    def ask(self, do: str, **details: Any) -> dict[str, Any]:
        """The worker's reply to one command. Raises WorkerError where it dies, hangs or fails."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **details}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(f"{self._what} died before {do!r}{self._last_words()}") from None
        return self._reply()

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it did not read any more does not matter
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._kill()
        os.close(self._replies)
        self._stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._kill()
        self.close()

    def _reply(self) -> dict[str, Any]:
        line = self._read_line()
        try:
            reply: dict[str, Any] = json.loads(line)
        except ValueError:
            raise WorkerError(
                f"{self._what} answered {line[:80]!r}, which is no reply{self._last_words()}"
            ) from None
        if "error" in reply:
            raise WorkerError(f"{self._what}: {reply['kind']}: {reply['error']}")
        return reply

    def _read_line(self) -> bytes:
        deadline = time.monotonic() + self._timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._replies, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self._kill()
                    raise WorkerError(f"{self._what} did not answer in {self._timeout_s:g} s and was stopped: raise "
                                      f"bench.timeout_s, or look for a deadlock{self._last_words()}")  # fmt: skip
                received = os.read(self._replies, 1 << 20)
                if not received:
                    code = self._process.wait()
                    how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
                    raise WorkerError(f"{self._what} ended {how}{self._last_words()}")
                self._pending += received
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _last_words(self) -> str:
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"; its last words: {' | '.join(lines[-3:])[-400:]}" if lines else ""


def clean_environment(threads: int) -> dict[str, str]:
    """What a worker inherits: where to find things, its thread count, and nothing that steers a library."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return kept | {
        "PYTHONPATH": os.pathsep.join([str(Path(edgecomp.__file__).parent.parent), *own_packages()]),
        "OMP_NUM_THREADS": str(threads),
        "PYTHONHASHSEED": "0",
    }
