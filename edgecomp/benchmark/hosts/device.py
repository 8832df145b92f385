"""A device that is measured over SSH: workers there, as they are here. edgecomp.benchmark.hosts.served is what runs there."""

import contextlib
import hashlib
import io
import itertools
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edgecomp.benchmark.hosts.bundle import ROOT, imported_files, worker_files
from edgecomp.benchmark.hosts.connection import Connection
from edgecomp.benchmark.hosts.host import Host
from edgecomp.benchmark.hosts.process import HERE, Place
from edgecomp.benchmark.worker import noise
from edgecomp.config.target import Target, check_cores_of
from edgecomp.errors import DeviceError, RuntimeUnavailableError, UsageError
from edgecomp.files.sealed import is_sealed
from edgecomp.machine import installed
from edgecomp.metrics.samples import COLD_START
from edgecomp.progress import Stop
from edgecomp.runtimes import TABLE, formats

SERVED = "edgecomp.benchmark.hosts.served"
FETCH_S = 600.0  # of a file that comes back
SLOWEST = 1e5  # bytes a second
WRITTEN = ("to",)  # details of a command that name a file which comes back
SENT = ("inputs", "arrivals", "lines", "tokenizer")  # and a folder or a file that is sent


@contextlib.contextmanager
def at(target: Target, stop: Stop | None = None) -> Iterator[Host]:
    """The machine that a target's models run on: this one, or the device of its `host`, until the block ends. stop: breaks the connection where it
    is told. Raises DeviceError, UsageError."""
    if target.host is None:
        yield HERE
        return
    with Device(target.host, target.runtime) as device, (stop or Stop()).by(device.cut):
        check_cores_of(target, target.host, len(device.cores()))
        yield device


class Device:
    """A connection to `host`, as ssh names it, for models under `runtime`. Raises DeviceError, UsageError."""

    def __init__(self, host: str, runtime: str, ssh: Sequence[str] = ("ssh",)) -> None:
        self.host, self._runtime = host, runtime
        self._connection = Connection(host, bundled(runtime), ssh)
        self._numbers = itertools.count()
        self._sent: set[str] = set()
        self._sending = threading.Lock()  # several workers start at once, of the same files
        try:
            asked = time.time()
            told = self._call("facts")
            off = told["clock_s"] - (asked + time.time()) / 2
            self._known = told["facts"] | {"host": host, "clock_off_s": round(off, 1)}
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection, and with it all that was started and written there."""
        self._connection.close()

    def cut(self) -> None:
        """Breaks the connection at once, from any thread: what is asked of the device raises DeviceError, and it ends by itself."""
        self._connection.cut()

    def start(self, place: Place, model: Path, inputs: Path | None, rows: int = 1) -> "Remote":
        """As `Host.start`. place, model, inputs, rows: as for `Worker`."""
        if is_sealed(model):
            raise UsageError(
                f"{model}: an encrypted model is not sent to {self.host}, which has no key: bench it without `host`"
            )
        folder = f"models/{self._digest(model)}"
        for part in formats.all_parts(model):
            self._send(part, f"{folder}/{part.relative_to(model.parent)}")
        sent = None if inputs is None else self._send_folder(inputs)
        asked = {
            "runtime": place.runtime, "options": place.options, "threads": place.threads, "cores": place.cores,
            "memory_bytes": place.memory_bytes, "timeout_s": place.timeout_s, "slowdown": place.slowdown, "trusted": place.trusted,
        }  # fmt: skip
        told = {"place": asked, "file": f"{folder}/{model.name}", "inputs": sent, "rows": rows}
        reply = self._call("start", within_s=place.timeout_s, model=model, **told)
        worker = Remote(self, place, model, reply)
        try:
            self._check_version(worker.ready["versions"])
        except RuntimeUnavailableError:
            worker.close()
            raise
        return worker

    def noise(self) -> noise.Host:
        return noise.Host(*self._call("noise")["noise"])

    def cores(self) -> list[int]:
        found: list[int] = self._call("cores")["cores"]
        return found

    def facts(self) -> dict[str, Any]:
        return dict(self._known)

    def load(self) -> float:
        return float(self._call("load")["load"])

    def _check_version(self, found: Mapping[str, str]) -> None:
        """What was judged here by one version says nothing of another. found: the device's, by library."""
        library = TABLE[self._runtime].distribution
        here, there = installed(library), found.get(library)
        if there is not None and there != here:
            raise RuntimeUnavailableError(
                f"{self.host} has {library} {there}, and this machine, whose figures stand beside it, has {here}: "
                f"`edgecomp prepare device {self.host} --target NAME` installs that"
            )

    @staticmethod
    def _digest(model: Path) -> str:
        found = hashlib.sha256()
        for part in formats.all_parts(model):
            found.update(part.read_bytes())
        return found.hexdigest()[:32]

    def _send_folder(self, folder: Path) -> str:
        """What the device calls a folder that is sent whole, under a name that says what it holds."""
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        digest = hashlib.sha256(
            b"".join(file.name.encode() + file.read_bytes() for file in files)
        ).hexdigest()[:32]
        for file in files:
            self._send(file, f"inputs/{digest}/{file.relative_to(folder)}")
        return f"inputs/{digest}"

    def _send(self, file: Path, to: str) -> None:
        """Once, and one after another: what has that name there already is the same. Raises DeviceError."""
        with self._sending:
            if to not in self._sent:
                self._put(file, to)

    def _put(self, file: Path, to: str) -> None:
        content = file.read_bytes()
        reply, _ = self._connection.call(
            "put", {"file": to}, content=content, within_s=len(content) / SLOWEST
        )
        if reply["sha256"] != hashlib.sha256(content).hexdigest():
            raise DeviceError(
                f"{self.host}: {file.name} is not there what was sent (its sha256 differs): try again"
            )
        self._sent.add(to)

    def asked(
        self,
        worker: int,
        do: str,
        *,
        within_s: float | None,
        most_s: float,
        model: Path,
        details: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The reply of a worker there; the files that its details name are sent, and fetched.

        worker: its number; do, within_s, details: as in `Worker.ask`; most_s: that it may take by its own clock; model: the file, for errors.
        """
        there, fetched = dict(details), {}
        for name in (name for name in (*SENT, *WRITTEN) if name in there):
            local = Path(there[name])
            if name in WRITTEN:
                there[name] = f"{next(self._numbers)}-{local.name}"
                fetched[there[name]] = local
            elif local.is_dir():
                there[name] = self._send_folder(local)
            else:
                there[name] = f"{hashlib.sha256(local.read_bytes()).hexdigest()[:32]}/{local.name}"
                self._send(local, there[name])
        named = [name for name in (*SENT, *WRITTEN) if name in there]
        reply = self._call(
            "ask",
            within_s=most_s,
            model=model,
            worker=worker,
            do=do,
            more_s=within_s,
            details=there,
            files=named,
        )
        for file, local in fetched.items():
            local.write_bytes(self._connection.call("get", {"file": file}, within_s=FETCH_S)[1])
        return reply

    def ended(self, worker: int) -> None:
        """Ends a worker there, if the device can still be reached. worker: its number."""
        with contextlib.suppress(DeviceError):
            self._call("close", worker=worker)

    def _call(
        self, name: str, *, within_s: float = 0.0, model: Path | None = None, **details: Any
    ) -> dict[str, Any]:
        return self._connection.call(name, details, within_s=within_s, model=model)[0]


@dataclass(frozen=True)
class There:
    """A worker's memory limit on a device: as `MemoryLimit` tells of itself."""

    told: dict[str, str | int | None]
    anonymous: int | None = None

    def facts(self) -> dict[str, str | int | None]:
        return dict(self.told)

    def anonymous_bytes(self) -> int | None:
        return self.anonymous


class Remote:
    """A worker on a `device`, as `Worker` is one here. place: that it runs at; model: its file here; reply: of its start."""

    pid = None

    def __init__(self, device: Device, place: Place, model: Path, reply: Mapping[str, Any]) -> None:
        self._device, self._timeout_s, self._model = device, place.timeout_s, model
        self._number: int = reply["worker"]
        self.ready: dict[str, Any] = reply["ready"]
        self.cold_start_ns: int = reply[COLD_START]
        self.memory_limit = There(reply["memory_limit"])
        self.phase = "steady"

    def ask(self, do: str, *, within_s: float | None = None, **details: Any) -> dict[str, Any]:
        """As `Worker.ask`. do, within_s, details: as there."""
        self.phase = do
        most_s = self._timeout_s + (within_s or 0.0)
        asked = self._device.asked(
            self._number, do, within_s=within_s, most_s=most_s, model=self._model, details=details
        )
        self.memory_limit = There(self.memory_limit.told, asked["anonymous_bytes"])
        found: dict[str, Any] = asked["reply"]
        return found

    def close(self) -> None:
        self._device.ended(self._number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def bundled(runtime: str) -> bytes:
    """A zip file of what a device is sent of edgecomp. runtime: a row of edgecomp.runtimes.TABLE."""
    files = {*worker_files(runtime), *imported_files(SERVED)}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(files):
            archive.writestr(zipfile.ZipInfo(str(file)), (ROOT.parent / file).read_bytes())
    return content.getvalue()
