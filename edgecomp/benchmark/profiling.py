"""Where the time goes, in a run of its own: a profiler costs time, and nothing that is timed has one attached.

By layer from the runtime itself, by stack from py-spy, and for a GPU the command line of Nsight Systems, ready to be run.
"""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgecomp.benchmark.hosts.host import Asked
from edgecomp.benchmark.hosts.process import Place, py_spy
from edgecomp.metrics.samples import WALL
from edgecomp.runtimes import TABLE

RUNS = 50
FLAME_S = 5
RATE = 200  # stacks a second


def profiled(place: Place, *, model: Path, inputs: Path, rows: int, folder: Path) -> dict[str, Any]:
    """Time by layer, and flame.svg in `folder` where py-spy can be had; what cannot, with its reason.

    place: where it runs; model: its file; inputs: a folder of examples, of which it takes `rows` at once.
    """
    found: dict[str, Any] = {"runs": RUNS}
    with place.host.start(place, model, inputs, rows) as worker:
        found["layers"] = worker.ask("profile", runs=RUNS)["layers"]
        if found["layers"] is None:
            found["layers_note"] = f"{place.runtime} has no times by layer"
        found["flame_graph"] = _flame(worker, folder / "flame.svg")
    if TABLE[place.runtime].gpu:
        command = [sys.executable, "-m", "edgecomp", "bench", str(model)]
        found["nsight"] = f"nsys profile --trace=cuda,nvtx,osrt --output=profile -- {shlex.join(command)}"
    return found


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
