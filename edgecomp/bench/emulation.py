"""Another CPU's answer, before you own it: the same worker, executed instruction by instruction by qemu-user.

Slow (some 200 times) and exact. Answers are taken there, timings never: they would mean nothing.
"""

import tempfile
from pathlib import Path
from typing import Any

import edgecomp
from edgecomp.artifacts import write_json
from edgecomp.bench.process import Place, Worker
from edgecomp.emulators import availability
from edgecomp.inputs import Inputs, delete, save


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
    """Writes emulation.json and, where the CPU can be had, test.npy and probes.npy: the logits it gives."""
    interpreter, how = availability(isa, runtime)
    facts: dict[str, Any] = {"isa": isa, "run": interpreter is not None, "how": how}
    if interpreter is not None:
        for name, inputs in (("test", test), ("probes", probes)):
            save(inputs, folder / f"{name}_inputs")
        with tempfile.TemporaryDirectory() as source:
            # Another machine's Python must not find this one's packages, which an installed edgecomp lies among.
            Path(source, "edgecomp").symlink_to(Path(edgecomp.__file__).parent.absolute())
            with Worker(
                Place(runtime, options, threads=1, timeout_s=timeout_s),
                model=model,
                inputs=folder / "test_inputs",
                interpreter=interpreter.command,
                path=[source, *interpreter.packages],
            ) as worker:
                facts["versions"] = worker.ready["versions"]
                for name in ("test", "probes"):
                    asked, outputs = folder / f"{name}_inputs", folder / f"{name}.npy"
                    worker.ask("outputs", inputs=str(asked.resolve()), to=str(outputs.resolve()), batch=25)
                    delete(asked)
    write_json(folder / "emulation.json", facts)
