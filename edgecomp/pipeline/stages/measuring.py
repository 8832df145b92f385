"""The files on this machine, and as other CPUs."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecomp import arms
from edgecomp.config.target import Target
from edgecomp.errors import DeviceError, RuntimeUnavailableError
from edgecomp.inputs import some
from edgecomp.pipeline import loaders, model_files, practice, scoring
from edgecomp.pipeline.loaders import Run

if TYPE_CHECKING:
    from edgecomp.benchmark.hosts.process import Place
    from edgecomp.benchmark.texts import Texts
    from edgecomp.data.splits import Split

UNGATED_ITERATIONS, UNGATED_BATCHES = 96, 8  # enough for a median
TIMED_INPUTS = 16


def bench(run: Run, out: Path, checkpoints: Path, target: Target, *, for_answers: bool = False) -> None:
    """Writes measurements of one target of `run` into `out`; the int8 student is the very file that is
    deployed. checkpoints: not needed; for_answers: times are measured as little as can be, and what layers take not at all."""
    from edgecomp.benchmark.hosts.device import at
    from edgecomp.benchmark.hosts.process import Place
    from edgecomp.benchmark.result import clocks_disagree
    from edgecomp.benchmark.scenarios.alternated import Effort
    from edgecomp.benchmark.stage import bench_target
    from edgecomp.data.splits import Split
    from edgecomp.export.parity import REFERENCES

    gated = target in run.job.targets
    quantize = run.job.recipe.quantize.of(target.scheme if gated else "", target.runtime)
    costs = {
        layer: model_files.exported(run, f"int8_but_{index}", target.runtime)
        for index, layer in enumerate(loaders.float_layers(run))
        if gated and quantize.is_trained and not quantize.hands_on and not for_answers
    }
    settings, parity = run.job.recipe.bench, run.folder / "parity" / target.name
    test = Split.load(run.folder / "data", "test")
    measure = partial(
        bench_target,
        target=target.name,
        models=model_files.model_files(run, target),
        student=arms.judged(quantize).name,
        without_float_layer=costs,
        parameters=model_files.parameter_bytes(run, target),
        precision_file=run.made("precision") / "precision.json" if gated and quantize.is_trained else None,
        parity_file=parity / "parity.json" if gated else None,
        references_file=parity / REFERENCES if gated else None,
        test=test,
        known_before=_known_before(run, test),
        preprocessing=loaders.preprocessing(run),
        own_preprocessing={arms.TEACHER.name: loaders.preprocessing(run, arms.TEACHER)}
        if loaders.reads_otherwise(run)
        else {},
        score=scoring.score(run),
        texts=_texts(run, test) if gated and not for_answers else None,
        folder=out,
        track=run.track,
        gated=gated,
        effort=Effort(
            restarts=settings.restarts if gated else settings.ungated_restarts,
            warmup=settings.warmup,
            iterations=settings.iterations if gated else UNGATED_ITERATIONS,
            offline_batch=settings.offline_batch,
            offline_batches=settings.offline_batches if gated else UNGATED_BATCHES,
        )
        if not for_answers
        else Effort(
            restarts=1, warmup=1, iterations=1, offline_batch=settings.offline_batch, offline_batches=1
        ),
    )
    timed = partial(_by_layer, run, out, target, test.first(1))
    try:
        with at(target, run.stop) as host:
            place = Place.of(target, settings.timeout_s, host)
            for said in clocks_disagree(host.facts()):
                run.note(said)
            measure(place=place)
            if gated and not for_answers:
                timed(place)
    except (DeviceError, RuntimeUnavailableError) as error:
        place = Place.of(target, settings.timeout_s)
        measure(place=place, why_not=str(error))
        if gated and not for_answers:
            timed(place)


def _by_layer(run: Run, out: Path, target: Target, example: "Split", place: "Place") -> None:
    """Writes into `out`, beside what was measured of a target, what each layer of the judged file and of the student in float takes, asked
    one example: after all that is timed, and nothing is judged by it."""
    from tempfile import TemporaryDirectory

    import numpy as np

    from edgecomp import inputs
    from edgecomp.benchmark.profiling import by_layer
    from edgecomp.export.parity import name_of_kernel
    from edgecomp.metrics import layer_times
    from edgecomp.metrics.layer_times import LayerTimes
    from edgecomp.metrics.measurements import Measurements
    from edgecomp.metrics.samples import SINGLE_STREAM_WALL

    measured, files = Measurements.load(out), model_files.model_files(run, target)
    died = {arm: death.message for arm, death in measured.deaths.items()}
    elsewhere = f"a layer's time is this machine's, and the target is an {target.isa}"
    why = measured.not_run or died.get(measured.student) or (elsewhere if target.isa != "host" else "")
    if why:
        layer_times.save(out, {measured.student: LayerTimes(not_run=why)})
        return
    with TemporaryDirectory() as name:
        asked = Path(name) / "inputs"
        inputs.save(loaders.preprocessing(run).apply(example.arrays), asked)
        found = {
            arm: by_layer(
                place,
                model=files[arm],
                inputs=asked,
                alone_ms=float(np.median(measured.arms[arm].samples[SINGLE_STREAM_WALL])) / 1e6,
                own_name=name_of_kernel,
            )
            for arm in dict.fromkeys((measured.student, arms.STUDENT_FP32.name))
            if arm in measured.arms
        }
    layer_times.save(out, found)


def _texts(run: Run, test: "Split") -> "Texts | None":
    """The test split of `run` as lines of text, where its recipe asks for a stream."""
    from edgecomp.benchmark.texts import of_split
    from edgecomp.data.preprocessing import TOKENIZER

    if not run.job.recipe.bench.stream:
        return None
    return of_split(test.arrays, loaders.preprocessing(run), run.folder / "data" / TOKENIZER)


def _known_before(run: Run, test: "Split") -> dict[str, Any] | None:
    """What the student knew of old classes before it learnt new ones; None where it did not go on from another."""
    from edgecomp.distill.lifelong import what_was_known

    if run.job.recipe.distill.lifelong is None:
        return None
    return what_was_known(loaders.old_student(run), test, loaders.views(run), loaders.old_classes(run))


def speed(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes into `out`, as speed.json, the layers of `run` that are faster in float, where a target's
    runtime would be slower in integers than in float; checkpoints: not needed.

    What a kernel takes does not depend on its weights: measured of the student whose scales were just calibrated, before it is
    trained through them.
    """
    from tempfile import TemporaryDirectory

    from edgecomp import inputs
    from edgecomp.benchmark.hosts.process import Place
    from edgecomp.benchmark.layer_speed import CHOSEN, FP32, INT8, is_worth_it, over_fp32, slower_in_integers
    from edgecomp.distill.student import calibrated
    from edgecomp.export.parity import name_of_kernel
    from edgecomp.export.stage import export_for_timing, timing_file
    from edgecomp.files.writing import write_json
    from edgecomp.quantization.capture import duplicate
    from edgecomp.quantization.layers import layer_names

    captured, qad, named = (
        loaders.captured_student(run),
        practice.qad(run),
        run.job.recipe.quantize.float_layers,
    )
    timed: dict[str, dict[str, float]] = {}
    chosen: dict[str, str] = {}
    with TemporaryDirectory() as name, loaders.distillation_data(run) as data:
        folder, interface = Path(name), loaders.interface(run)
        inputs.save(some(loaders.probes(run), slice(TIMED_INPUTS)), folder / "inputs")

        def settled(target: Target) -> tuple[dict[str, Path], Place]:
            """The files that are there, and the target without its memory, which several processes share here."""
            files = {
                arm.name: folder / timing_file(arm.name, target.runtime)
                for arm in folder.iterdir()
                if arm.name in (FP32, INT8, CHOSEN)
            }
            return files, replace(Place.of(target, run.job.recipe.bench.timeout_s), memory_bytes=None)

        layers = [layer for layer in layer_names(captured) if layer not in named]
        networks = {FP32: duplicate(captured), INT8: calibrated(captured, data, qad, named)}
        export_for_timing(networks, interface, folder)
        losers: list[tuple[Target, dict[str, str]]] = []
        for target in executed_in_integers(run):
            files, place = settled(target)
            timed[target.name] = over_fp32(files, place, folder / "inputs")
            if timed[target.name][INT8] > 1.0:
                slow = slower_in_integers(
                    files, place, some(loaders.probes(run), slice(1)), name_of_kernel, layers
                )
                said = f"faster in float on {target.name}:"
                reasons = {
                    layer: f"{said} {one.fp32_us:.1f} µs an inference against {one.int8_us:.1f} µs"
                    for layer, one in slow.items()
                }
                losers.append((target, reasons))
        union = {layer for _, reasons in losers for layer in reasons}
        if union:
            export_for_timing({CHOSEN: calibrated(captured, data, qad, {*named, *union})}, interface, folder)
        for target, reasons in losers if union else ():
            timed[target.name] = over_fp32(*settled(target), folder / "inputs")
            if is_worth_it(timed[target.name][INT8], timed[target.name][CHOSEN]):
                chosen |= reasons
    write_json(out / "speed.json", {"over_fp32": timed, "float_layers": chosen})


def executed_in_integers(run: Run) -> list[Target]:
    """The gated targets of a run's scheme whose runtime executes integers on this machine's CPU; what a device over SSH takes by layer is not
    asked."""
    from edgecomp.runtimes import TABLE

    return [
        target
        for target in run.job.targets
        if target.scheme == run.scheme
        and TABLE[target.runtime].weight_bits
        and not TABLE[target.runtime].gpu
        and not target.host
    ]


def profile_training(run: Run, out: Path) -> dict[str, Any]:
    """What a step of the student's last training in `run` allocates and takes; the trace is written into
    `out`."""
    import numpy as np

    from edgecomp.distill.profile import profile_step

    recipe = run.job.recipe
    qad = recipe.quantize.trains
    network = (
        loaders.student_int8(run, tuple(loaders.float_layers(run))) if qad else loaders.student_fp32(run)
    )
    with loaders.distillation_data(run) as data:
        batch = data.epoch(0).batch(np.arange(min(recipe.distill.batch_size, len(data.epoch(0)))))
    return profile_step(
        network,
        batch,
        loss=loaders.loss(run),
        bf16=run.job.precision == "bf16",
        folder=out,
    )


def executed_as(target: Target) -> dict[str, str]:
    """By CPU that a target's file is asked on, how that is done here, or why not: part of the key of what is made so."""
    from edgecomp.benchmark.hosts.emulators import OTHER_CPUS, availability

    cpus = OTHER_CPUS if target.isa == "host" else (target.isa,)
    return {f"as {isa}": availability(isa, target.runtime)[1] for isa in cpus}


def portable(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """Writes into `out` whether the deployed file of `run` gives the same answers on other CPUs than the
    target's: of its weights, and of a sample of the probes; checkpoints: not needed."""
    from edgecomp.benchmark.portable import ask_other_cpus
    from edgecomp.runtimes import TABLE

    job, settings = run.job, run.job.recipe.bench
    assert job.host is not None
    # NNCF quantises the IR by itself: the ONNX file beside it is another one, or there is none.
    defined = target.runtime == "onnxruntime-cpu" or job.recipe.quantize.tool not in (
        arms.PTQ_NNCF.tool,
        arms.PTQ_DYNAMIC.tool,
    )
    definition = model_files.made_file(run, arms.judged(job.recipe.quantize), target, "onnxruntime-cpu")
    ask_other_cpus(
        isa=target.isa,
        host=job.host.isa,
        runtime=target.runtime,
        options=target.options,
        model=run.folder / "deploy" / target.name / TABLE[target.runtime].model_file,
        definition=definition if defined and definition.is_file() else None,
        inputs=loaders.probes(run),
        slow_examples=settings.portable_examples,
        timeout_s=settings.emulation_timeout_s,
        task=loaders.meaning(run),
        folder=out,
    )


def emulation(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """Writes into `out` the answers of the deployed file of `run` as the CPU of the target gives them, for a
    sample of the test split and of the probes; checkpoints: not needed."""
    from edgecomp.benchmark.emulation import emulate
    from edgecomp.data.splits import Split
    from edgecomp.runtimes import TABLE

    settings = run.job.recipe.bench
    asked = Split.load(run.folder / "data", "test").first(settings.emulated_examples)
    emulate(
        isa=target.isa,
        runtime=target.runtime,
        options=target.options,
        model=run.folder / "deploy" / target.name / TABLE[target.runtime].model_file,
        test=loaders.preprocessing(run).apply(asked.arrays),
        probes=some(loaders.probes(run), slice(settings.emulated_examples)),
        timeout_s=settings.emulation_timeout_s,
        folder=out,
    )
