"""One cell of the table: a run of a recipe with a variant of its scheme, and its files' answers on every CPU there is here."""

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.benchmark.emulation import answers_as
from edgecomp.benchmark.hosts.emulators import Interpreter, availability, emulated
from edgecomp.config.job import Job, load_job, on_this_machine
from edgecomp.config.target import Target
from edgecomp.data.splits import Split
from edgecomp.errors import EdgecompError
from edgecomp.files.writing import write_json
from edgecomp.inputs import Inputs, count, some
from edgecomp.machine import cpu_model, host_isa
from edgecomp.metrics.measurements import Measurements
from edgecomp.pipeline import execution, fingerprints, loaders, steps
from edgecomp.quantization.schemes import INT8, SCHEMES, Grid, Scheme
from edgecomp.runtimes import TABLE

# No target may have it: a QDQ file cannot say 0..127 (QuantizeLinear clamps at 255), so that a Clip stands before each quantisation.
SCHEMES["narrow-activations"] = Scheme(activation=Grid(0, 127, symmetric=False), weight=INT8)


class Variant(NamedTuple):
    """The scheme of both targets, and options of ONNX Runtime's; OpenVINO has none like it."""

    scheme: str
    options: dict[str, bool] = {}


VARIANTS = {
    "wide": Variant("cpu-u8"),
    "narrow": Variant("cpu-u8-narrow"),
    "narrow-activations": Variant("narrow-activations"),
    "session-option": Variant("cpu-u8", {"x64quantprecision": True}),
}
OTHERS = ("x86-64-avx2", "armv8.2-dotprod")


QUICK = " --quick"
"""Behind the name of a data set: of the recipe's rehearsal."""


def name_of(data: str, variant: str, seed: int, isa: str) -> str:
    return f"{data}, {variant}, seed {seed}, {isa}"


def job_of(data: str, variant: str, seed: int) -> Job:
    """The shipped recipe with the variant's scheme, whether or not a target may have it."""
    settings = VARIANTS[variant]
    overrides = [
        f"student.seed={seed}",
        "ungated_targets=[]",
        "quantize.baselines=[]",
        "bench.portable_examples=1",
    ]
    if settings.options:
        overrides.append("targets=[onnxruntime-cpu]")
    if data.endswith(QUICK):
        overrides.append("quick=true")
    job = on_this_machine(load_job(data.removesuffix(QUICK), overrides))
    targets = [
        target.model_copy(update={"scheme": settings.scheme, "options": target.options | settings.options})
        for target in job.targets
    ]
    return fingerprints.fingerprinted(job.model_copy(update={"targets": targets}))


def make(data: str, variant: str, seed: int, slow: int, run_folder: Path) -> dict[str, Any]:
    """Runs the steps that must be, and what they gave. slow: how many probes are asked under qemu-user."""
    job = job_of(data, variant, seed)
    run = loaders.Run(job, run_folder, lambda items, what, total: items)
    folder = RunFolder(run_folder)
    folder.admit(job.recipe.name)
    needed = [step for step in steps.steps(run) if step.stage not in ("gate", "report")]
    with folder.locked():
        execution.execute(job, folder, needed, lambda step, why: print(f"  {step} ({why})", flush=True))
    return {
        "data": data,
        "variant": variant,
        "seed": seed,
        "isa": host_isa(),
        "cpu": cpu_model(),
        "precision": job.precision,
        "versions": {name: version(name) for name in ("torch", "onnxruntime", "openvino", "numpy")},
        "targets": {target.name: figures(run, target, slow) for target in job.targets},
    }


def figures(run: loaders.Run, target: Target, slow: int) -> dict[str, Any]:
    measured = Measurements.load(run.folder / "bench" / target.name)
    student, labels = measured.arms["student_int8"], measured.labels
    parity = student.parity or {}
    times = {"b1": "single_stream_cpu_ns", "b32": "offline_cpu_ns"}
    return {
        "accuracy_pct": {arm: right(one.logits, labels) for arm, one in measured.arms.items()},
        "agreement_pct": 100 * parity["agreeing"] / parity["examples"],
        "error_pct": 100 * parity["mean_absolute_error"] / parity["logit_deviation"],
        "sqnr_db": parity["sqnr_db"],
        "int8_share_pct": parity["int8_share_pct"],
        "over_fp32": {
            batch: ratios(measured, samples) for batch, samples in times.items() if samples in student.samples
        },
        "file_bytes": student.file_size_bytes,
        "executed": others(run, target, slow),
    }


def right(logits: Any, labels: Any) -> float:
    return float((logits.argmax(1) == labels).mean() * 100)


def ratios(measured: Measurements, samples: str) -> list[float]:
    """By restart, the time of an int8 inference over one in fp32."""
    ours, theirs = (
        np.median(measured.arms[arm].samples[samples], axis=1) for arm in ("student_int8", "student_fp32")
    )
    return [round(float(value), 4) for value in ours / theirs]


def others(run: loaders.Run, target: Target, slow: int) -> dict[str, Any]:
    """By CPU: agreement with the fake-quant student on the probes, and the test split's accuracy; masked at full speed, under
    qemu-user on `slow` probes, agreement alone."""
    model = run.folder / "deploy" / target.name / TABLE[target.runtime].model_file
    reference = np.load(run.folder / "parity" / target.name / "reference.npy")
    probes = loaders.probes(run)
    test = Split.load(run.folder / "data", "test")
    found: dict[str, Any] = {}
    for isa in OTHERS:
        interpreter, how = availability(isa, target.runtime)
        if isa == host_isa():
            continue
        if interpreter is None or (interpreter.slow and not slow):
            found[isa] = {"run": False, "how": how if interpreter is None else "this seed was not asked"}
            continue
        asked: dict[str, Inputs] = {"probes": some(probes, slice(slow if interpreter.slow else None))}
        if not interpreter.slow:
            asked["test"] = loaders.preprocessing(run).apply(test.arrays)
        found[isa] = answered(interpreter, how, target, model, asked, reference, test.labels)
    if slow and (haswell := emulated("x86-64-avx2", target.runtime))[0] is not None:
        asked = {"probes": some(probes, slice(slow))}
        found["Haswell (qemu-user)"] = answered(*haswell, target, model, asked, reference, test.labels)
    return found


def answered(
    interpreter: Interpreter,
    how: str,
    target: Target,
    model: Path,
    asked: dict[str, Inputs],
    reference: Any,
    labels: Any,
) -> dict[str, Any]:
    try:
        with tempfile.TemporaryDirectory() as scratch:
            got, versions = answers_as(
                interpreter, target.runtime, target.options, model, asked, 1800.0, Path(scratch)
            )
    except EdgecompError as error:
        return {"run": False, "how": f"{how}: {error}"}
    examples = count(asked["probes"])
    same = int((got["probes"].argmax(1) == reference[:examples].argmax(1)).sum())
    facts = {"run": True, "how": how, "versions": versions, "agreeing": same, "examples": examples}
    return facts | ({"accuracy_pct": right(got["test"], labels)} if "test" in got else {})


def main() -> None:
    data, variant, seed, slow, run_folder, file = sys.argv[1:]
    content = make(data, variant, int(seed), int(slow), Path(run_folder))
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    write_json(Path(file), content)
    print(json.dumps(content["targets"]))


if __name__ == "__main__":
    main()
