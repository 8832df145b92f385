"""Another CPU's answer, before you own it: the same worker, as that CPU.

Answers are taken there, timings never: they would mean nothing.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import edgecomp
from edgecomp.benchmark.hosts.emulators import Interpreter, availability
from edgecomp.benchmark.hosts.process import Place, Worker
from edgecomp.benchmark.worker import answers
from edgecomp.files.writing import write_json
from edgecomp.inputs import Inputs, delete, save
from edgecomp.outputs import beside_each_other

BATCH = 25  # under qemu-user an answer takes seconds, and a reply is waited for


def emulate(
    *,
    isa: str,
    runtime: str,
    options: dict[str, Any],
    model: Path,
    test: Inputs,
    probes: Inputs,
    timeout_s: float,
    folder: Path,
) -> None:
    """Writes emulation.json into `folder` and, where the CPU `isa` can be had, test.npy and probes.npy: the
    logits it gives to `test` and `probes`.

    model: its file, for `runtime` with `options`; timeout_s: for a reply, seconds. Raises what the worker
    raises.
    """
    interpreter, how = availability(isa, runtime)
    facts: dict[str, Any] = {"isa": isa, "run": interpreter is not None, "how": how}
    if interpreter is not None:
        asked = {"test": test, "probes": probes}
        found, facts["versions"] = answers_as(interpreter, runtime, options, model, asked, timeout_s, folder)
        for name, logits in found.items():
            np.save(folder / f"{name}.npy", logits)
    write_json(folder / "emulation.json", facts)


def judged(by_name: Mapping[str, answers.Answer]) -> npt.NDArray[np.float32]:
    """The one output, [examples, ...], or several beside each other (edgecomp.outputs); of one that is an array a query, no values.

    by_name: what a file that a run has made answers.
    """
    arrays = {name: answer for name, answer in by_name.items() if isinstance(answer, np.ndarray)}
    return beside_each_other(arrays) if len(arrays) == len(by_name) else np.empty((0, 0), np.float32)


def answers_as(
    interpreter: Interpreter,
    runtime: str,
    options: Mapping[str, Any],
    model: Path,
    asked: Mapping[str, Inputs],
    timeout_s: float,
    scratch: Path,
) -> tuple[dict[str, npt.NDArray[np.float32]], dict[str, str]]:
    """The logits [N, classes] that a CPU gives to each of the `asked`, by name, and the versions of what gave
    them.

    interpreter: Python as that CPU; model: its file, for `runtime` with `options`; timeout_s: for a reply,
    seconds; scratch: a folder for what passes between. Raises what the worker raises.
    """
    found = {}
    for name, inputs in asked.items():
        save(inputs, scratch / f"{name}_inputs")
    with tempfile.TemporaryDirectory() as source:
        # Another machine's Python must not find this one's packages, which an installed edgecomp lies among.
        Path(source, "edgecomp").symlink_to(Path(edgecomp.__file__).parent.absolute())
        with Worker(
            Place(runtime, dict(options), threads=1, timeout_s=timeout_s),
            model=model,
            inputs=scratch / f"{next(iter(asked))}_inputs",
            interpreter=interpreter.command,
            path=[source, *interpreter.packages],
        ) as worker:
            versions: dict[str, str] = worker.ready["versions"]
            for name in asked:
                inputs_at, outputs = scratch / f"{name}_inputs", scratch / f"{name}_outputs.npz"
                worker.ask("outputs", inputs=str(inputs_at.resolve()), to=str(outputs.resolve()), batch=BATCH)
                found[name] = judged(answers.load(outputs))
                outputs.unlink()
                delete(inputs_at)
    return found, versions
