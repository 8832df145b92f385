"""The one protocol of every runtime: a model file in, a Session out.

Light on purpose: this file is imported in benchmark workers.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from edgecomp.errors import RuntimeOptionError

Array = npt.NDArray[Any]
Options = Mapping[str, str | int | float | bool]


NO_GPU = "no GPU here (no /dev/nvidia0): its figures are not run; measure on a machine that has one"


class Held(NamedTuple):
    """A model that is in memory alone, as an encrypted one is once it is opened: what its file is called, what that and the one beside it with
    its weights hold."""

    name: str
    content: bytes
    weights: bytes = b""


Model = Path | Held


class Port(NamedTuple):
    """An input or output: its name, shape (None where dynamic; None for a file that does not tell) and numpy dtype name, or `string` or
    `bfloat16`, whose bits are handed over as uint16.

    axes: what the file calls each axis that it leaves free, "" where it has no name for it; empty where it has none at all.
    below: ids are under that, where the file looks them up in a table of so many rows.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str | None
    axes: tuple[str, ...] = ()
    below: int | None = None


class Signature(NamedTuple):
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


class Layer(NamedTuple):
    """An operator as the runtime executes it; `macs` are its weights' multiply-accumulates for one example: 0 if it has no
    weights, None if it has and they cannot be counted."""

    name: str
    type: str
    precision: str
    macs: int | None


class LayerTime(NamedTuple):
    """What a layer took by the runtime's own clock: `calls` times, `total_us` microseconds in all, and `each_us` by call."""

    name: str
    type: str
    calls: int
    total_us: float
    each_us: tuple[float, ...] = ()


class Session(Protocol):
    """A loaded model. Single-threaded unless it declares `concurrent = True`."""

    concurrent: bool

    def signature(self) -> Signature: ...

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name, once they are on the host.

        batch: inputs [N, ...] by name. Raises InferenceError.
        """
        ...

    def close(self) -> None: ...


class Runtime(Protocol):
    name: str

    def load(self, model: Path, *, threads: int, device: str = "cpu", options: Options) -> Session:
        """A session with the file `model`; one that takes models `from_memory`, by its row, takes a Held as well.

        threads: of one inference; device: that the runtime is for; options: the runtime's own, by name.
        Raises ModelFileError, RuntimeOptionError, RuntimeUnavailableError.
        """
        ...

    def versions(self) -> dict[str, str]: ...


@runtime_checkable
class Inspect(Protocol):
    """What a runtime can tell of what it really executes."""

    def executed_layers(self, model: Path, *, options: Options) -> list[Layer]:
        """The layers of the graph after the runtime's own optimisation, in order.

        model: the file; options: as in `Runtime.load`.
        """
        ...


@runtime_checkable
class Profile(Protocol):
    """What a runtime's own profiler says of each layer; never switched on while anything is timed."""

    def layer_times(
        self, model: Path, feed: Mapping[str, Array], *, threads: int, options: Options, runs: int
    ) -> list[LayerTime]:
        """By layer, over `runs` inferences of the feed, in the order of execution.

        model: the file; feed: its inputs by name; threads, options: as in `Runtime.load`.
        """
        ...


def from_bfloat16(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """The float32 of bfloat16's `bits`, which are their upper half."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def reason_of(error: BaseException) -> str:
    """A vendor's message on one line. error: what it raised."""
    return " ".join(str(error).split())[:400]


def check_options(
    runtime: str, options: Options, known: Mapping[str, tuple[str | int | float | bool, ...]]
) -> None:
    """Raises RuntimeOptionError for a name that is not in `known`, or a value that is not among its values.

    runtime: what the message calls it; options: as given, known: which values each may have, by name.
    """
    for name, value in options.items():
        if name not in known:
            raise RuntimeOptionError(f"{runtime} has no option {name!r}; it has {', '.join(known) or 'none'}")
        if value not in known[name]:
            allowed = ", ".join(repr(choice) for choice in known[name])
            raise RuntimeOptionError(f"{runtime}: option {name} is {value!r}; it may be {allowed}")
