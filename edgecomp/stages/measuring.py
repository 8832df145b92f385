"""The files on this machine, and as other CPUs."""

from pathlib import Path
from typing import Any

from edgecomp import made
from edgecomp.inputs import some
from edgecomp.made import Run
from edgecomp.targets import Target

BESIDE_ITERATIONS, BESIDE_BATCHES = 96, 8  # enough for a median


def bench(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """Measurements of one target; the int8 student is the very file that is deployed."""
    from edgecomp.bench.process import Place
    from edgecomp.bench.scenarios import Effort
    from edgecomp.bench.stage import bench_target
    from edgecomp.data.splits import Split
    from edgecomp.export.parity import REFERENCES
    from edgecomp.export.stage import model_file

    recipe = run.job.recipe
    gated = target in run.job.targets
    costs = {
        layer: run.folder / model_file(f"int8_but_{index}", target.runtime)
        for index, layer in enumerate(made.float_layers(run))
        if gated and recipe.quantize.method == "qad"
    }
    settings, parity = recipe.bench, run.folder / "parity" / target.name
    bench_target(
        target=target.name,
        place=Place.of(target, settings.timeout_s),
        models=made.model_files(run, target),
        student=made.student_arm(run.job),
        without_float_layer=costs,
        parameters=made.parameter_bytes(run, target),
        precision_file=run.folder / "precision" / "precision.json"
        if gated and recipe.quantize.method == "qad"
        else None,
        parity_file=parity / "parity.json" if gated else None,
        references_file=parity / REFERENCES if gated else None,
        test=Split.load(run.folder / "data", "test"),
        preprocessing=made.preprocessing(run),
        folder=out,
        track=run.track,
        effort=Effort(
            restarts=settings.restarts if gated else settings.beside_restarts,
            warmup=settings.warmup,
            iterations=settings.iterations if gated else BESIDE_ITERATIONS,
            offline_batch=settings.offline_batch,
            offline_batches=settings.offline_batches if gated else BESIDE_BATCHES,
        ),
    )


def profile_training(run: Run, out: Path) -> dict[str, Any]:
    """What a step of the student's last training allocates and takes; the trace is written into `out`."""
    import numpy as np

    from edgecomp.distill.profile import profile_step

    recipe = run.job.recipe
    qad = recipe.quantize.method == "qad"
    network = made.student_int8(run, tuple(made.float_layers(run))) if qad else made.student_fp32(run)
    with made.lessons(run) as lessons:
        batch = lessons.epoch(0).batch(np.arange(min(recipe.distill.batch_size, len(lessons.epoch(0)))))
    return profile_step(
        network,
        batch,
        temperature=recipe.distill.temperature,
        hard_label_weight=recipe.distill.hard_label_weight,
        bf16=run.job.precision == "bf16",
        folder=out,
    )


def executed_as(target: Target) -> dict[str, str]:
    """By CPU that a target's file is asked on, how that is done here, or why not: part of the key of what is made so."""
    from edgecomp.bench.hosts.emulators import OTHER_CPUS, availability

    cpus = OTHER_CPUS if target.isa == "host" else (target.isa,)
    return {f"as {isa}": availability(isa, target.runtime)[1] for isa in cpus}


def portable(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """Whether the deployed file gives the same answers on other CPUs: its weights, and a sample of the probes."""
    from edgecomp.bench.portable import ask_other_cpus
    from edgecomp.export.stage import model_file
    from edgecomp.runtimes import TABLE

    job, settings = run.job, run.job.recipe.bench
    assert job.host is not None
    # NNCF quantises the IR by itself: the ONNX file beside it is another one.
    defined = target.runtime == "onnxruntime-cpu" or job.recipe.quantize.method != "ptq-nncf"
    definition = run.folder / model_file(made.student_arm(job), "onnxruntime-cpu")
    ask_other_cpus(
        isa=target.isa,
        host=job.host.isa,
        runtime=target.runtime,
        options=target.options,
        model=run.folder / "deploy" / target.name / TABLE[target.runtime].model_file,
        definition=definition if defined else None,
        inputs=made.probes(run),
        slow_examples=settings.portable_examples,
        timeout_s=settings.emulation_timeout_s,
        folder=out,
    )


def emulation(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """The deployed file's answers as the device's CPU gives them, for a sample of the test split and of the probes."""
    from edgecomp.bench.emulation import emulate
    from edgecomp.data.splits import Split
    from edgecomp.runtimes import TABLE

    settings = run.job.recipe.bench
    asked = Split.load(run.folder / "data", "test").first(settings.emulated_examples)
    emulate(
        isa=target.isa,
        runtime=target.runtime,
        options=target.options,
        model=run.folder / "deploy" / target.name / TABLE[target.runtime].model_file,
        test=made.preprocessing(run).apply(asked.arrays),
        probes=some(made.probes(run), slice(settings.emulated_examples)),
        timeout_s=settings.emulation_timeout_s,
        folder=out,
    )
