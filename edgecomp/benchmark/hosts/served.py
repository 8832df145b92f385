"""What runs on a device that is measured over SSH: it starts workers there, exactly as edgecomp does on its own machine, and says what they say.

Speaks over its standard input and output: one line of JSON a message, with `bytes` raw bytes behind it where it says so. A request has an `id`,
which its reply repeats, and a `call`:

    start  place, file, inputs, rows       → worker (a number), ready, cold_start_ns, memory_limit
    ask    worker, do, more_s, details     → what the worker says, with its memory where that is weighed
    close  worker                          → nothing
    noise, facts, cores, load              → of the machine
    put    file, bytes                     → sha256, of what was written
    get    file                            → the file, behind the line; it is deleted
    alive                                  → nothing; whoever asks says so now and then

It ends, with all that it has started and written, when its input ends, or nobody has said anything for a minute. It imports the standard
library alone. One of it runs on a device at a time.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

SILENCE_S = 60.0
DELETING_S = 10.0
LOCK = Path("/tmp/edgecomp-device.lock")
BUSY = 75  # the exit code of a device that another one measures on (sysexits.h, EX_TEMPFAIL)
CHUNK = 1 << 20
PREFIX = "edgecomp-device-"


class Served:
    """The workers of this machine. home: the folder of all that is written; say: hands a message, and bytes behind it, to whoever asks."""

    def __init__(self, home: Path, say: Callable[[dict[str, Any], bytes], None]) -> None:
        from edgecomp.benchmark.hosts.process import HERE, Worker

        self.home, self.say, self.here = home, say, HERE
        self.workers: dict[int, Worker] = {}
        self.count = 0
        self.writing = threading.Lock()
        self.is_over = False
        self.heard = time.monotonic()

    def handle(self, request: dict[str, Any]) -> None:
        """Replies to a `request`, in a thread of its own: a worker's answer takes as long as it takes."""
        threading.Thread(target=self._reply, args=(request,), daemon=True).start()

    def _reply(self, request: dict[str, Any]) -> None:
        name, number = request.pop("call"), request.pop("id")
        try:
            found = CALLS[name](self, **request)
            content = found.pop("content", b"")
            self.say({"id": number, "reply": found} | ({"bytes": len(content)} if content else {}), content)
        except Exception as error:  # noqa: BLE001 - all of it is told to whoever asked
            told = {"error": str(error), "kind": type(error).__name__, "phase": getattr(error, "phase", "")}
            told |= {"certain": getattr(error, "certain", True)}
            self.say({"id": number, **told}, b"")

    def start(self, place: Mapping[str, Any], file: str, inputs: str | None, rows: int) -> dict[str, Any]:
        """A worker. place: as `Place` is made; file, inputs: the model and its examples, below `home`; rows: examples at once."""
        from edgecomp.benchmark.hosts.process import Place, Worker
        from edgecomp.metrics.samples import COLD_START

        folder = None if inputs is None else self.home / inputs
        worker = Worker(Place(**place), model=self.home / file, inputs=folder, rows=rows)
        self.count += 1
        self.workers[self.count] = worker
        return {
            "worker": self.count,
            "ready": worker.ready,
            COLD_START: worker.cold_start_ns,
            "memory_limit": worker.memory_limit.facts(),
        }

    def ask(
        self, worker: int, do: str, more_s: float | None, details: dict[str, Any], files: list[str]
    ) -> dict[str, Any]:
        """What the worker of that number says to the command `do`. more_s, details: as `Worker.ask` takes them; files: those of the details that
        name something below `home`."""
        asked = self.workers[worker]
        details |= {name: str(self.home / details[name]) for name in files}
        reply = asked.ask(do, within_s=more_s, **details)
        return {"reply": reply, "anonymous_bytes": asked.memory_limit.anonymous_bytes()}

    def close(self, worker: int) -> dict[str, Any]:
        """Ends the `worker` of that number."""
        if (found := self.workers.pop(worker, None)) is not None:
            found.close()
        return {}

    def noise(self) -> dict[str, Any]:
        """What the machine does now, as edgecomp.benchmark.worker.noise has it."""
        return {"noise": list(self.here.noise())}

    def facts(self) -> dict[str, Any]:
        """What a reviewer asks of the machine."""
        return {"facts": self.here.facts() | condition(), "clock_s": time.time()}

    def cores(self) -> dict[str, Any]:
        """Those that workers may run on."""
        return {"cores": self.here.cores()}

    def load(self) -> dict[str, Any]:
        """The load average over a minute."""
        return {"load": self.here.load()}

    def put(self, file: str, content: bytes) -> dict[str, Any]:
        """Writes `content` as the `file` below `home`."""
        to = self.home / file
        with self.writing:  # nothing is written any more once what was written is deleted
            if self.is_over:
                raise OSError("the connection has ended")
            to.parent.mkdir(parents=True, exist_ok=True)
            try:
                to.write_bytes(content)
            except OSError:
                to.unlink(missing_ok=True)
                raise
        return {"sha256": hashlib.sha256(to.read_bytes()).hexdigest()}

    def get(self, file: str) -> dict[str, Any]:
        """What the `file` below `home` holds, which is deleted."""
        of = self.home / file
        content = of.read_bytes()
        of.unlink()
        return {"content": content, "sha256": hashlib.sha256(content).hexdigest()}

    def alive(self) -> dict[str, Any]:
        """Nothing: that it was asked is what matters."""
        return {}

    def end(self) -> None:
        """Ends every worker, however it hangs, and deletes what was written."""
        for worker in self.workers.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
        for worker in list(self.workers.values()):
            with contextlib.suppress(OSError):
                worker.close()
        with self.writing:
            self.is_over = True
            # What a worker writes that is only starting comes behind what is deleted: until it misses its own files.
            end = time.monotonic() + DELETING_S
            while self.home.exists() and time.monotonic() < end:
                shutil.rmtree(self.home, ignore_errors=True)
                time.sleep(0.05)


CALLS: dict[str, Callable[..., dict[str, Any]]] = {
    "start": Served.start,
    "ask": Served.ask,
    "close": Served.close,
    "noise": Served.noise,
    "facts": Served.facts,
    "cores": Served.cores,
    "load": Served.load,
    "put": Served.put,
    "get": Served.get,
    "alive": Served.alive,
}


def condition() -> dict[str, Any]:
    """What of this machine may change from one hour to the next; None where the kernel does not say.

    governor: of the first core; temperature_c: the hottest zone's; free_memory_bytes, free_disk_bytes: that a job can still have.
    """
    zones = [_number(zone) for zone in Path("/sys/class/thermal").glob("thermal_zone*/temp")]
    known = [zone for zone in zones if zone is not None]
    available = [
        line.split()[1]
        for line in _text(Path("/proc/meminfo")).splitlines()
        if line.startswith("MemAvailable")
    ]
    return {
        "governor": _text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")).strip() or None,
        "temperature_c": max(known) / 1000 if known else None,
        "free_memory_bytes": int(available[0]) * 1024 if available else None,
        "free_disk_bytes": shutil.disk_usage(Path(__file__).parent).free,
    }


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def locked() -> int | None:
    """The lock of this machine, held until the process ends; None where another one has it."""
    try:
        held = os.open(LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        held = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        with contextlib.suppress(OSError):
            os.chmod(LOCK, 0o666)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return None
    return held


def remove_abandoned(beside: Path) -> None:
    """Deletes what a process before left that was killed, or whose machine was switched off. beside: this one's own folder. To be called
    under the lock."""
    for other in beside.parent.glob(f"{PREFIX}*"):
        if (
            other != beside
            and other.is_dir()
            and not other.is_symlink()
            and other.stat().st_uid == os.getuid()
        ):
            shutil.rmtree(other, ignore_errors=True)


def main(home: str, requests: BinaryIO, replies: BinaryIO) -> None:
    """Serves until the input ends. home: the folder that this file was unpacked in; requests, replies: the two ends of the connection."""
    writing = threading.Lock()

    def say(message: dict[str, Any], content: bytes) -> None:
        with writing, contextlib.suppress(BrokenPipeError):
            replies.write(json.dumps(message).encode() + b"\n" + content)
            replies.flush()

    lock = locked()
    if lock is None:
        say({"busy": _text(LOCK).strip()}, b"")
        shutil.rmtree(home, ignore_errors=True)
        os._exit(BUSY)
    remove_abandoned(Path(home))
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S %z')}".encode(), 0)
    served = Served(Path(home), say)

    def watch() -> None:
        while time.monotonic() - served.heard < SILENCE_S:
            time.sleep(1.0)
        served.end()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

    def stop(number: int, _: object) -> None:
        served.end()
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    say({"serves": os.getpid(), "python": sys.version.split()[0]}, b"")
    try:
        for line in requests:
            served.heard = time.monotonic()
            request = json.loads(line)
            if (size := request.pop("bytes", None)) is not None:
                request["content"] = _exactly(requests, size, served)
            served.handle(request)
    finally:
        served.end()
        os._exit(0)


def _exactly(requests: BinaryIO, size: int, served: Served) -> bytes:
    parts = []
    while size:
        part = requests.read(min(size, CHUNK))
        if not part:
            raise EOFError
        served.heard = time.monotonic()
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
