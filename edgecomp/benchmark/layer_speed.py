"""Which layers a runtime executes faster in float than in integers, on this machine."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgecomp import runtimes
from edgecomp.benchmark.hosts.process import Place
from edgecomp.inputs import Inputs
from edgecomp.metrics.samples import CPU
from edgecomp.runtimes import Profile

INT8, FP32, CHOSEN = "int8", "fp32", "chosen"

PROFILES, RUNS = 5, 8  # of each file, and inferences of one: a layer's time is the median over profiles
ROUNDS, CALLS, WARMUP = 12, 10, 5
RESTARTS = 3
SLOWER = 1.05  # a kernel's time in integers over float, from which on it is left in float


class Times(NamedTuple):
    """A layer's kernel in one inference, in microseconds by the runtime's own clock."""

    int8_us: float
    fp32_us: float


def slower_in_integers(
    files: Mapping[str, Path],
    place: Place,
    feed: Inputs,
    own_name: Callable[[str], str],
    layers: list[str],
) -> dict[str, Times]:
    """Of the `layers`, those whose kernel takes longer in integers; none for a runtime that has no profile.

    files: INT8 and FP32; place: of which runtime, threads and options are taken; feed: one batch; own_name:
    of a kernel's name, the layer's.
    """
    runtime = runtimes.adapter(place.runtime)
    if not isinstance(runtime, Profile):
        return {}

    def profiled(file: Path) -> dict[str, float]:
        by_layer: dict[str, float] = {}
        for kernel in runtime.layer_times(
            file, feed, threads=place.threads, options=place.options, runs=RUNS
        ):
            layer = own_name(kernel.name)
            by_layer[layer] = by_layer.get(layer, 0.0) + kernel.total_us / RUNS
        return by_layer

    taken: dict[str, list[dict[str, float]]] = {INT8: [], FP32: []}
    for _ in range(PROFILES):
        for precision, profiles in taken.items():
            profiles.append(profiled(files[precision]))
    times = {}
    for layer in layers:
        found = [[profile[layer] for profile in profiles if layer in profile] for profiles in taken.values()]
        if all(found):
            times[layer] = Times(*(float(np.median(one)) for one in found))
    return {layer: one for layer, one in times.items() if one.int8_us > SLOWER * one.fp32_us > 0}


def is_worth_it(int8: float, chosen: float) -> bool:
    """Whether layers in float bring a file halfway to float's own speed. int8, chosen: the times over fp32's
    of the file all in integers, and of the one with the chosen layers in float.

    Less is not worth the bytes: then int8 buys only size and memory.
    """
    return chosen - 1 <= (int8 - 1) / 2


def over_fp32(files: Mapping[str, Path], place: Place, inputs: Path) -> dict[str, float]:
    """By name, a file's CPU time over that of the file FP32, batch 1: by turns in processes of their own, the
    median over restarts. files: by name; place: where they run; inputs: a folder of examples."""
    ratios: dict[str, list[float]] = {name: [] for name in files if name != FP32}
    for _ in range(RESTARTS):
        with ExitStack() as stack:
            workers = {
                name: stack.enter_context(place.host.start(place, file, inputs))
                for name, file in files.items()
            }
            for worker in workers.values():
                worker.ask("single_stream", count=WARMUP)
            taken: dict[str, list[float]] = {name: [] for name in workers}
            for turn in range(ROUNDS):
                for name in list(workers)[:: 1 if turn % 2 else -1]:
                    taken[name] += workers[name].ask("single_stream", count=CALLS)[CPU]
        for name, found in ratios.items():
            found.append(float(np.median(taken[name]) / np.median(taken[FP32])))
    return {name: float(np.median(found)) for name, found in ratios.items()}
