"""What a machine that workers run on has to offer: this one (edgecomp.benchmark.hosts.process), or a device by SSH (edgecomp.benchmark.hosts.device)."""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from edgecomp.benchmark.worker import noise

if TYPE_CHECKING:
    from edgecomp.benchmark.hosts.process import Place


class Asked(Protocol):
    """A running worker, wherever it runs: as `Worker`. pid: of its process, None where that is on another machine."""

    phase: str
    ready: dict[str, Any]
    cold_start_ns: int

    @property
    def pid(self) -> int | None: ...

    @property
    def memory_limit(self) -> "Limited": ...

    def ask(self, do: str, *, within_s: float | None = None, **details: Any) -> dict[str, Any]:
        """Its reply to the command `do` with its `details` (edgecomp.benchmark.worker.main), which may take `within_s` seconds over the timeout."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Limited(Protocol):
    """What keeps a worker's memory: as `MemoryLimit`."""

    def facts(self) -> dict[str, str | int | None]: ...

    def anonymous_bytes(self) -> int | None: ...


class Host(Protocol):
    """A machine that workers run on."""

    def start(self, place: "Place", model: Path, inputs: Path | None, rows: int = 1) -> Asked:
        """A worker with the file `model` at `place`, which takes `rows` at once of the examples in the folder `inputs`, None for none. Raises as
        `Worker` does, and DeviceError where the machine cannot be reached any more."""
        ...

    def noise(self) -> noise.Host:
        """What the machine does now."""
        ...

    def cores(self) -> list[int]:
        """Those that workers may run on."""
        ...

    def facts(self) -> dict[str, Any]:
        """What a reviewer asks of the machine a figure comes from."""
        ...

    def load(self) -> float:
        """Its load average over a minute."""
        ...
