"""What each layer of a target's files took, by the runtime's own profiler: the bench writes it, the report shows it, and nothing is judged by it.

Format 1: layers.json, by arm its `runs` and its `layers`, or the reason why there are none (`not_run`).
"""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edgecomp.errors import UsageError
from edgecomp.files.json_files import read_mapping, shaped
from edgecomp.files.writing import write_json
from edgecomp.metrics.units import format_value

FORMAT_VERSION = 1
FILE = "layers.json"
"""Beside a target's measurements.json."""
INT8, NOT_INT8 = "int8", "not int8"


class Kernel(NamedTuple):
    """What the runtime executes as one: its `name` and `type` there, the `layer` it was exported as, and what each call took, microseconds."""

    name: str
    layer: str
    type: str
    each_us: tuple[float, ...]


@dataclass(frozen=True)
class LayerTimes:
    """Of one file: its kernels in the order of execution, over `runs` inferences of one example; `not_run` says why there are none."""

    runs: int = 0
    layers: tuple[Kernel, ...] = ()
    not_run: str = ""

    def us(self, kernel: Kernel) -> float:
        """What a `kernel` of these takes of one inference, microseconds: the mean of the middle half of its calls. What else the machine does
        falls on the longest, and a runtime's clock counts whole microseconds."""
        ordered = sorted(kernel.each_us)
        cut = len(ordered) // 4
        return statistics.fmean(ordered[cut : len(ordered) - cut]) * len(ordered) / self.runs

    @property
    def together_us(self) -> float:
        """Of one inference, microseconds: of the kernels alone."""
        return sum(map(self.us, self.layers))


class Layer(NamedTuple):
    """A line of the report, of one inference. fp32_us: what the layer of that name took in the file in float; None where there is none,
    or several."""

    name: str
    type: str
    precision: str
    us: float
    fp32_us: float | None


def save(folder: Path, found: Mapping[str, LayerTimes]) -> None:
    """Writes layers.json into `folder`. found: by arm."""
    told = {
        arm: {
            "not_run": one.not_run,
            "runs": one.runs,
            "layers": [kernel._asdict() for kernel in one.layers],
        }
        for arm, one in found.items()
    }
    write_json(folder / FILE, {"format": FORMAT_VERSION, "arms": told})


def load(folder: Path) -> dict[str, LayerTimes]:
    """By arm, what was written into `folder`; nothing of a run made before there were times by layer. Raises FileError, and UsageError
    where it is of another format."""
    path = folder / FILE
    if not path.is_file():
        return {}
    content = read_mapping(path, "format", "arms")
    if content["format"] != FORMAT_VERSION:
        raise UsageError(
            f"{path} is of format {content['format']}; this edgecomp reads {FORMAT_VERSION}: measure again with `edgecomp run`"
        )
    with shaped(path, "`edgecomp run`"):
        return {arm: _of_file(one) for arm, one in content["arms"].items()}


def _of_file(told: Mapping[str, Any]) -> LayerTimes:
    kernels = tuple(
        Kernel(
            str(one["name"]),
            str(one["layer"]),
            str(one["type"]),
            tuple(map(float, one["each_us"])),
        )
        for one in told["layers"]
    )
    if kernels and (int(told["runs"]) < 1 or not all(one.each_us for one in kernels)):
        raise ValueError(f"runs: {told['runs']}, and there are layers, or one without a call")
    return LayerTimes(int(told["runs"]), kernels, str(told["not_run"]))


def int8_share_pct(layers: Sequence[Layer]) -> float | None:
    """Per cent of the time of the `layers` that was spent in those executed in int8; None where no time was."""
    total = sum(one.us for one in layers)
    return 100 * sum(one.us for one in layers if one.precision == INT8) / total if total else None


def in_words(layers: Sequence[Layer]) -> str:
    """How long the `layers` take together, what of it in int8, and which takes longest."""
    total, share = sum(one.us for one in layers), int8_share_pct(layers)
    if share is None:
        return f"{len(layers)} layers, none of which takes time that the runtime resolves"
    longest = max(layers, key=lambda one: one.us)
    told = (
        "share in int8 unknown"
        if not any(one.precision for one in layers)
        else f"{share:.1f} % of it in int8"
    )
    return (
        f"{len(layers)} layers take {format_value(total / 1e3, 'time')} an inference, {told}; the longest is {longest.name}, "
        f"{100 * longest.us / total:.0f} % of it"
    )


def side_by_side(
    found: LayerTimes, fp32: LayerTimes | None, precisions: Mapping[str, str] | None
) -> list[Layer]:
    """The kernels of `found` by the name of their layer, in the order of execution, and what that layer takes in float.

    fp32: of the file in float, None where there is none; precisions: of what the runtime was read to execute, by the kernel's name: what is
    not listed there is in float, or moves values; None where the runtime does not say.
    """
    shared = Counter(kernel.layer for kernel in found.layers)
    in_float: dict[str, float] = {}
    if fp32 is not None:
        for kernel in fp32.layers:
            in_float[kernel.layer] = in_float.get(kernel.layer, 0.0) + fp32.us(kernel)
    return [
        Layer(
            name=kernel.layer if is_one else kernel.name,
            type=kernel.type,
            precision="" if precisions is None else precisions.get(kernel.name, NOT_INT8),
            us=found.us(kernel),
            fp32_us=in_float.get(kernel.layer) if is_one else None,
        )
        for kernel in found.layers
        for is_one in (bool(kernel.layer) and shared[kernel.layer] == 1,)
    ]
