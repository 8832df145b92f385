"""Where the time goes, in a run of its own: a profiler costs time, and nothing that is timed has one attached.

By layer from the runtime itself, by stack from py-spy, and for a GPU the command line of Nsight Systems, ready to be run.
"""

import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgecomp.benchmark.hosts.host import Asked
from edgecomp.benchmark.hosts.process import Place, py_spy
from edgecomp.errors import EdgecompError
from edgecomp.metrics.layer_times import Kernel, LayerTimes
from edgecomp.metrics.samples import WALL
from edgecomp.runtimes import TABLE

RUNS = 50
LEAST_RUNS, MOST_MS = 5, 1_000.0  # of a run's report: a file takes a second or so, or is left out
FLAME_S = 5
RATE = 200  # stacks a second


def profiled(place: Place, *, model: Path, inputs: Path, rows: int, folder: Path) -> dict[str, Any]:
    """Time by layer, and flame.svg in `folder` where py-spy can be had; what cannot, with its reason.

    place: where it runs; model: its file; inputs: a folder of examples, of which it takes `rows` at once.
    """
    found: dict[str, Any] = {"runs": RUNS}
    with place.host.start(place, model, inputs, rows) as worker:
        found["layers"] = worker.ask("profile", runs=RUNS)["layers"]
        for layer in found["layers"] or ():
            del layer["each_us"]
        if found["layers"] is None:
            found["layers_note"] = f"{place.runtime} has no times by layer"
        found["flame_graph"] = _flame(worker, folder / "flame.svg")
    if TABLE[place.runtime].gpu:
        command = [sys.executable, "-m", "edgecomp", "bench", str(model)]
        found["nsight"] = f"nsys profile --trace=cuda,nvtx,osrt --output=profile -- {shlex.join(command)}"
    return found


def by_layer(
    place: Place, *, model: Path, inputs: Path, alone_ms: float, own_name: Callable[[str], str]
) -> LayerTimes:
    """What each layer of a file takes, for a run's report: in a process of its own, without the target's limit on memory, which is that of
    a file that nothing watches. Whatever goes wrong is why there are none: it is no reason to stop a run.

    place: where it runs; model: its file; inputs: a folder of examples, the first of which is asked; alone_ms: of one inference;
    own_name: of a kernel's name, the layer's.
    """
    runs = int(min(RUNS, MOST_MS / max(alone_ms, 1e-3)))
    if runs < LEAST_RUNS:
        return LayerTimes(
            not_run=f"an inference takes {alone_ms:.0f} ms, and a profile of it longer than a run has time for: `edgecomp bench --profile`"
        )
    try:
        with place.host.start(replace(place, memory_bytes=None), model, inputs) as worker:
            told = worker.ask("profile", runs=runs)["layers"]
    except EdgecompError as error:
        return LayerTimes(not_run=str(error))
    if told is None:
        return LayerTimes(not_run=f"{place.runtime} has no times by layer")
    layers = tuple(
        Kernel(one["name"], own_name(one["name"]), one["type"], tuple(one["each_us"])) for one in told
    )
    return LayerTimes(runs, layers)


def _flame(worker: Asked, to: Path) -> str:
    """The picture's name, or why there is none."""
    if worker.pid is None:
        return "not run: the process is on another machine"
    tool = py_spy()
    if tool is None:
        return "not run: pip install py-spy"
    command = [tool, "record", "--native", "--pid", str(worker.pid), "--rate", str(RATE), "--duration", str(FLAME_S), "--output", str(to)]  # fmt: skip
    slowest_ns = max(worker.ask("single_stream", count=10)[WALL])
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as recorder:
        while recorder.poll() is None:
            worker.ask("single_stream", count=1 + 200_000_000 // slowest_ns)
        said = recorder.stdout.read() if recorder.stdout else ""
    if recorder.returncode != 0 or not to.is_file():
        return f"not run: py-spy: {' '.join(said.split())[:300]}"
    return to.name
