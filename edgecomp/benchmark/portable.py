"""Does the file that ships give the same answers on other CPUs? Proven from its weights, and executed where that can be.

The proof is for every input: no two weights of an output whose products are added in 16 bits can saturate (edgecomp.runtimes.files.integer_weights). What is executed is a sample
of inputs, as every kind of CPU that this machine can pass for; where this machine itself may saturate, its answers are held against
the exact integer sums, which are those of a CPU with VNNI.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.benchmark.emulation import answers_as
from edgecomp.benchmark.hosts.emulators import OTHER_CPUS, Interpreter, availability, this_cpu
from edgecomp.errors import EdgecompError
from edgecomp.files.writing import write_json
from edgecomp.inputs import Inputs, count, some
from edgecomp.machine import saturates
from edgecomp.runtimes.base import Options
from edgecomp.runtimes.files import integer_weights
from edgecomp.tasks import Task

EXACT = "exact integer sums"

Logits = npt.NDArray[np.float32]


def ask_other_cpus(
    *,
    isa: str,
    host: str,
    runtime: str,
    options: Options,
    model: Path,
    definition: Path | None,
    inputs: Inputs,
    slow_examples: int,
    timeout_s: float,
    task: Task,
    folder: Path,
) -> None:
    """Writes portable.json into `folder`: the file's layers, and by CPU how many answers are the host's.

    isa: the target's; one that is named is asked elsewhere (edgecomp.benchmark.emulation), and of its file
    the layers alone are read. host: this machine's row of ISAS. model: its file, for `runtime` with
    `options`. definition: the ONNX file that the model is, or was made of; None where no exact sums are
    known. inputs: what is asked, and slow_examples how many of it under qemu-user. timeout_s: for a reply,
    seconds. task: says which answers agree. What cannot be executed says why.
    """
    layers = integer_weights.read(model)
    here = {
        "isa": isa,
        "host": host,
        "layers": [layer._asdict() for layer in layers],
        "why": integer_weights.why_it_saturates(layers),
    }
    executed: dict[str, Any] = {}
    if isa != "host":
        write_json(folder / "portable.json", here | {"executed": executed})
        return
    this = this_cpu()
    ours = _answers(this, runtime, model, options, inputs, timeout_s)
    if saturates(host) and definition is not None:
        exact = _answers(this, "onnxruntime-cpu", definition, {"optimisation": "off"}, inputs, timeout_s)
        executed[EXACT] = _compared(ours, exact, "ONNX Runtime without its optimisations", task)
    for other in OTHER_CPUS:
        if other == host:
            continue
        interpreter, how = availability(other, runtime)
        if interpreter is None:
            executed[other] = {"run": False, "how": how}
            continue
        asked = some(inputs, slice(slow_examples if interpreter.slow else None))
        try:
            theirs = _answers(interpreter, runtime, model, options, asked, timeout_s)
        except EdgecompError as error:
            executed[other] = {"run": False, "how": f"{how}: {error}"}
            continue
        executed[other] = _compared(ours[: count(asked)], theirs, how, task)
    write_json(folder / "portable.json", here | {"executed": executed})


def _answers(
    as_cpu: Interpreter, runtime: str, model: Path, options: Options, inputs: Inputs, timeout_s: float
) -> Logits:
    with TemporaryDirectory() as scratch:
        found, _ = answers_as(as_cpu, runtime, options, model, {"asked": inputs}, timeout_s, Path(scratch))
        return found["asked"]


def _compared(ours: Logits, theirs: Logits, how: str, task: Task) -> dict[str, Any]:
    finite = bool(np.isfinite(ours).all() and np.isfinite(theirs).all())
    agreeing = int(task.agreeing(ours, theirs).sum())
    difference = float(np.abs(ours.astype(np.float64) - theirs).mean()) if finite else None
    deviation = float(ours.std()) if finite else None
    return {
        "run": True,
        "how": how,
        "agreeing": agreeing,
        "examples": len(ours),
        "finite": finite,
        "mean_absolute_difference": difference,
        "logit_deviation": deviation,
    }
