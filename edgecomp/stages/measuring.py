"""The files on this machine, and as other CPUs."""

from pathlib import Path
from typing import Any

from edgecomp import made
from edgecomp.inputs import some
from edgecomp.made import Run
from edgecomp.targets import Target

BESIDE_ITERATIONS, BESIDE_BATCHES = 96, 8  # enough for a median
TIMED_INPUTS = 16


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


def speed(run: Run, out: Path, checkpoints: Path) -> None:
    """Layers that are faster in float, where a target's runtime would be slower in integers than in float: speed.json.

    What a kernel takes does not depend on its weights: measured of the student whose scales were just calibrated, before it is
    trained through them.
    """
    from tempfile import TemporaryDirectory

    from edgecomp import inputs
    from edgecomp.artifacts import write_json
    from edgecomp.bench.layer_speed import CHOSEN, FP32, INT8, is_worth_it, over_fp32, slower_in_integers
    from edgecomp.bench.process import Place
    from edgecomp.distill.student import calibrated
    from edgecomp.export.parity import name_of_kernel
    from edgecomp.export.stage import export_for_timing, timing_file
    from edgecomp.quantize.capture import duplicate
    from edgecomp.quantize.layers import layer_names

    captured, qad, named = made.captured_student(run), made.qad(run), run.job.recipe.quantize.float_layers
    found: dict[str, Any] = {"targets": {}, "float_layers": {}}
    with TemporaryDirectory() as name, made.lessons(run) as lessons:
        folder, interface = Path(name), made.interface(run)
        inputs.save(some(made.probes(run), slice(TIMED_INPUTS)), folder / "inputs")
        layers = [layer for layer in layer_names(captured) if layer not in named]
        networks = {FP32: duplicate(captured), INT8: calibrated(captured, lessons, qad, named)}
        export_for_timing(networks, interface, folder)
        losers: dict[str, dict[str, str]] = {}
        for target in run.job.targets:
            place = Place.of(target, run.job.recipe.bench.timeout_s)
            files = {arm: folder / timing_file(arm, target.runtime) for arm in networks}
            ratio = over_fp32(files, place, folder / "inputs")[INT8]
            found["targets"][target.name] = {"int8_over_fp32": ratio}
            if ratio > 1.0:
                feed = some(made.probes(run), slice(1))
                slow = slower_in_integers(files, place, feed, name_of_kernel, layers)
                losers[target.name] = {
                    layer: f"faster in float on {target.name}: {times.fp32_us:.1f} µs an inference against {times.int8_us:.1f} µs"
                    for layer, times in slow.items()
                }
        reasons = {layer: why for slow in losers.values() for layer, why in slow.items()}
        if reasons:
            export_for_timing(
                {CHOSEN: calibrated(captured, lessons, qad, {*named, *reasons})}, interface, folder
            )
            for target in [target for target in run.job.targets if losers.get(target.name)]:
                place = Place.of(target, run.job.recipe.bench.timeout_s)
                files = {arm: folder / timing_file(arm, target.runtime) for arm in (*networks, CHOSEN)}
                ratios = over_fp32(files, place, folder / "inputs")
                found["targets"][target.name] |= {
                    "int8_over_fp32": ratios[INT8],
                    "chosen_over_fp32": ratios[CHOSEN],
                }
                if not is_worth_it(
                    ratios[INT8], ratios[CHOSEN]
                ):  # what its kernels gain is lost between them
                    reasons = {
                        layer: why for layer, why in reasons.items() if layer not in losers[target.name]
                    }
        found["float_layers"] = reasons
    write_json(out / "speed.json", found)


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
