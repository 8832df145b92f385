"""The parent's end of a worker: start it clean, speak to it, and never wait for ever."""

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import edgecomp
from edgecomp import errors, machine
from edgecomp.benchmark.hosts.confinement import MemoryLimit
from edgecomp.benchmark.hosts.emulators import own_packages
from edgecomp.benchmark.hosts.host import Asked, Host
from edgecomp.benchmark.worker import noise
from edgecomp.errors import BudgetExceededError, EdgecompError, ModelFileError, WorkerError
from edgecomp.files.sealed import is_sealed, opened_release
from edgecomp.metrics.samples import LOAD
from edgecomp.metrics.units import format_value
from edgecomp.runtimes import TABLE, formats
from edgecomp.text import plain

if TYPE_CHECKING:
    from edgecomp.config.target import Target

KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")

OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "out of memory", "Failed to allocate", "Cannot allocate memory")


class ThisMachine:
    """The host that edgecomp itself runs on."""

    def start(self, place: "Place", model: Path, inputs: Path | None, rows: int = 1) -> "Worker":
        """As `Host.start`. place, model, inputs, rows: as for `Worker`."""
        return Worker(place, model=model, inputs=inputs, rows=rows)

    def noise(self) -> noise.Host:
        return noise.host()

    def cores(self) -> list[int]:
        return machine.usable_core_numbers()

    def facts(self) -> dict[str, Any]:
        return machine.facts()

    def load(self) -> float:
        return os.getloadavg()[0]


HERE: Host = ThisMachine()


@dataclass(frozen=True)
class Place:
    """Where a model runs: `runtime` with its own `options`, `threads` of it, on `cores` of its `host` (all, where None),
    within `memory_bytes` that the kernel keeps (any, where None); most_bytes: what the target's budget allows it at its peak."""

    runtime: str
    options: dict[str, Any]
    threads: int
    cores: int | None = None
    memory_bytes: int | None = None
    timeout_s: float = 120.0
    slowdown: float = 0.0  # share of extra work in every inference, for a trial of the measuring itself
    trusted: bool = False  # the model's file may run code: `--trust`
    host: Host = HERE
    most_bytes: int | None = None

    @classmethod
    def of(cls, target: "Target", timeout_s: float, host: "Host | None" = None) -> Self:
        """Where `target` says that a model runs. timeout_s: for a reply, seconds; host: the machine, this one where it is None."""
        return cls(
            target.runtime,
            dict(target.options),
            threads=target.threads,
            cores=target.cores,
            memory_bytes=target.memory_bytes,
            timeout_s=timeout_s,
            host=host or HERE,
            most_bytes=target.peak_bytes,
        )


class Worker:
    """A running worker whose model is loaded and has answered once; close it, or use it as a context.

    `ready` is what it said of its start; `cold_start_ns` runs from the start of the process to the first
    answer, without the time it took to read its memory. The file takes `rows` examples at once, mostly one. Without `inputs`
    it loads the model, tells its signature in `ready`, and ends. An `interpreter` other than this one, under an emulator, finds its
    packages in the folders of `path`. Raises what the worker raised, BudgetExceededError or WorkerError.
    """

    def __init__(
        self,
        place: Place,
        *,
        model: Path,
        inputs: Path | None,
        rows: int = 1,
        interpreter: Sequence[str] | None = None,
        path: Sequence[str] | None = None,
    ) -> None:
        opened = self._opened(place, model) if is_sealed(model) else []
        self._replies, replies = os.pipe()
        parent, self._held = os.pipe()  # until the worker has ended, or this process, however that ends
        job: dict[str, Any] = {
            "replies": replies,
            "parent": parent,
            "runtime": place.runtime,
            "model": str(model.resolve()),
            "inputs": str(inputs.resolve()) if inputs else None,
            "rows": rows,
            "threads": place.threads,
            "cores": machine.usable_core_numbers()[: place.cores] if place.cores else None,
            "options": place.options,
            "slowdown": place.slowdown,
            "trusted": place.trusted,
        }
        pipes = [os.pipe() for _ in opened]
        job["sealed"] = [end for end, _ in pipes]
        self._model = str(model.resolve())
        self._what = f"worker for {model.name} under {place.runtime}"
        self._timeout_s = place.timeout_s
        self._setting = "bench.timeout_s" if interpreter is None else "bench.emulation_timeout_s"
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._pending = b""
        self.phase = "start"
        self.memory_limit = MemoryLimit(place.memory_bytes)
        command = [
            *(interpreter or [os.path.realpath(sys.executable)]),
            *("-s", "-P", "-m", "edgecomp.benchmark.worker.main", json.dumps(job)),
        ]
        started = time.perf_counter_ns()
        self._process = subprocess.Popen(
            self.memory_limit.wrap(command),
            stdin=subprocess.PIPE,
            stdout=self._stderr,
            stderr=self._stderr,
            env=clean_environment(place.threads)
            | ({} if path is None else {"PYTHONPATH": os.pathsep.join(path)}),
            pass_fds=[replies, parent, *job["sealed"]],
            start_new_session=True,
        )
        for end in (replies, parent, *job["sealed"]):
            os.close(end)
        for (_, end), content in zip(pipes, opened, strict=True):
            threading.Thread(target=_poured, args=(end, content), daemon=True).start()
        try:
            self.ready = self._reply()
        except BaseException:
            self._kill()
            self.close()
            raise
        imports_ns = self.ready["imported_at_ns"] - started
        self.cold_start_ns = imports_ns + self.ready[LOAD] + self.ready.get("first_run_ns", 0)

    @staticmethod
    def _opened(place: Place, model: Path) -> list[bytes]:
        """What an encrypted model and the files beside it hold. Raises ModelFileError, FileError, UsageError."""
        if not TABLE[place.runtime].from_memory:
            able = ", ".join(name for name, row in TABLE.items() if row.from_memory)
            raise ModelFileError(
                f"{model}: {place.runtime} reads a model from a file alone, and this one is encrypted; {able} take it"
            )
        return opened_release(model, formats.parts_of(model), model.with_name(formats.CONTRACT))

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, do: str, *, within_s: float | None = None, **details: Any) -> dict[str, Any]:
        """The worker's reply to the command `do`, whose arguments are `details`
        (edgecomp.benchmark.worker.main); it may take `within_s` seconds over the timeout. Raises as its
        start does."""
        assert self._process.stdin is not None
        self.phase = do
        try:
            self._process.stdin.write(json.dumps({"do": do, **details}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death(f"died before {do!r}") from None
        return self._reply(within_s or 0.0)

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it did not read any more does not matter
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._kill()
        os.close(self._held)
        os.close(self._replies)
        self._stderr.close()
        self.memory_limit.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._kill()
        self.close()

    def _reply(self, more_s: float = 0.0) -> dict[str, Any]:
        while True:
            line = self._read_line(self._timeout_s + more_s)
            try:
                reply: dict[str, Any] = json.loads(line)
            except ValueError:
                raise WorkerError(
                    f"{self._what} answered {line[:80]!r}, which is no reply{self._last_words()}"
                ) from None
            self.phase = reply.get("phase", self.phase)
            if "error" in reply:
                raise self._in_phase(self._told(reply["kind"], reply["error"]))
            if set(reply) != {"phase"}:
                return reply

    def _read_line(self, timeout_s: float) -> bytes:
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._replies, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    stack = stack_of(self._process.pid)
                    self._kill()
                    raise WorkerError(f"{self._what} did not answer in {timeout_s:g} s ({self.phase}) and was stopped: look for a "
                                      f"deadlock, or, in a recipe, raise {self._setting}{self._last_words()}{stack}")  # fmt: skip
                received = os.read(self._replies, 1 << 20)
                if not received:
                    code = self._process.wait()
                    raise self._death(
                        f"ended by signal {signal.Signals(-code).name}"
                        if code < 0
                        else f"ended with exit code {code}"
                    )
                self._pending += received
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _in_phase(self, error: EdgecompError) -> EdgecompError:
        error.phase = self.phase
        return error

    def _told(self, kind: str, message: str) -> EdgecompError:
        """The worker's own error, as its class."""
        if (
            not self.memory_limit.certain
            and self.memory_limit.limit_bytes is not None
            and _is_of_memory(kind, message)
        ):
            return self._exceeded(message)
        found = getattr(errors, kind, WorkerError)
        if found is errors.RuntimeUnavailableError:  # of the machine, whatever the model
            return found(message)
        prefix = "" if found is not WorkerError else f"{kind}: "
        return found(f"{self._what}: {prefix}{message}")

    def _death(self, how: str) -> EdgecompError:
        self._process.wait()
        words = self._last_words()
        if self.memory_limit.killed() or (
            not self.memory_limit.certain
            and self.memory_limit.how == "RLIMIT_DATA"
            and _is_of_memory("", words)
        ):
            return self._exceeded(how)
        return self._in_phase(WorkerError(f"{self._what} {how} ({self.phase}){words}"))

    def _exceeded(self, how: str) -> BudgetExceededError:
        assert self.memory_limit.limit_bytes is not None
        return BudgetExceededError(
            f"{self._what}: {how}: over the target's memory of {format_value(self.memory_limit.limit_bytes, 'bytes')} "
            f"({self.memory_limit.how}) in the phase {self.phase}",
            model=self._model,
            phase=self.phase,
            certain=self.memory_limit.certain,
        )

    def _kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _last_words(self) -> str:
        """What it wrote last, without colours and other control characters: they go into reports."""
        self._stderr.seek(0)
        lines = plain(self._stderr.read().decode(errors="replace")).strip().splitlines()
        return f"; its last words: {' | '.join(lines[-3:])[-400:]}" if lines else ""


def _poured(end: int, content: bytes) -> None:
    """Writes it into a pipe; that nobody reads it any more is the worker's death, which is told elsewhere."""
    with contextlib.suppress(BrokenPipeError), open(end, "wb") as pipe:
        pipe.write(content)


def pin(workers: Mapping[str, Asked], place: Place, restart: int) -> None:
    """Keeps the threads of every worker on the same cores, from `restart` to restart on others; threads that
    only wait, for a GPU or a server, are left alone. workers: by arm; place: says how many cores and threads.

    No two cores are alike. Left to itself a process keeps one, and what else that core does would be counted
    as its model's (benchmarks/gate pinning). To be called when the threads have worked, for only those that
    do are told apart.
    """
    if TABLE[place.runtime].computes_elsewhere:
        return
    cores = place.host.cores()[: place.cores]
    first = restart % len(cores)
    for worker in workers.values():
        worker.ask("pin", cores=(cores[first:] + cores[:first])[: place.threads])


def stack_of(process: int) -> str:
    """Where a process hangs, as py-spy sees it; says how to have that where py-spy is not installed."""
    tool = py_spy()
    if tool is None:
        return "; pip install py-spy to have its stack here"
    try:
        done = subprocess.run(
            [tool, "dump", "--pid", str(process)], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"; py-spy could not read its stack ({error})"
    if done.returncode != 0:
        return f"; py-spy could not read its stack ({done.stderr.strip()[:200]})"
    return f"; its stack:\n{done.stdout.strip()}"


def py_spy() -> str | None:
    """The program, on the PATH or beside this Python."""
    return shutil.which("py-spy") or shutil.which("py-spy", path=os.path.dirname(sys.executable))


def clean_environment(threads: int) -> dict[str, str]:
    """What a worker inherits: where to find things, how many `threads` it has, and nothing that steers a
    library."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return kept | {
        "PYTHONPATH": os.pathsep.join([str(Path(edgecomp.__file__).parent.parent), *own_packages()]),
        "OMP_NUM_THREADS": str(threads),
        "PYTHONHASHSEED": "0",
    }


def _is_of_memory(kind: str, message: str) -> bool:
    return any(sign in f"{kind} {message}" for sign in OUT_OF_MEMORY)
