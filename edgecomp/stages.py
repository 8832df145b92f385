"""Each stage, told from a job: settings become plain arguments here, and nowhere else.

A stage reads the run folder and writes into `out`; a long one keeps what it needs to resume in `checkpoints`.
Heavy libraries are imported where a stage begins its work, so that a run with nothing to do takes no time.
"""

from pathlib import Path
from typing import Any

from edgecomp import made
from edgecomp.artifacts import NOT_RUN, write_json
from edgecomp.errors import RuntimeUnavailableError
from edgecomp.inputs import some
from edgecomp.made import Run
from edgecomp.targets import Target

BESIDE_ITERATIONS, BESIDE_BATCHES = 96, 8  # enough for a median


def data(run: Run, out: Path, checkpoints: Path) -> None:
    """Splits and preprocessing."""
    from edgecomp.data import sources, splits
    from edgecomp.data.tokens import Tokenizer
    from edgecomp.models.references import resolve

    settings, folder = run.job.recipe.data, Path(run.job.folder)
    source = sources.read(made.wanted(settings), folder)
    splits.check_varied(source, shift=settings.shift, flip=settings.flip)
    splits.write_splits(
        source,
        test_fraction=settings.test_fraction,
        validation_fraction=settings.validation_fraction,
        calibration_fraction=settings.calibration_fraction,
        limit=settings.limit,
        tokenizer=Tokenizer(resolve(settings.tokenizer, folder), settings.max_length)
        if settings.tokenizer
        else None,
        seed=run.job.recipe.seed,
        folder=out,
    )


def teacher(run: Run, out: Path, checkpoints: Path) -> None:
    """A network trained on hard labels. The student is tried as well, before any time is spent."""
    from edgecomp.teachers.local import train_teacher

    recipe = run.job.recipe
    made.try_student(run)
    network = made.fresh_network(run, recipe.teacher)
    if recipe.teacher.epochs == 0:
        made.check_ready_made(run, network)
    train_teacher(
        network,
        made.views(run),
        epochs=recipe.teacher.epochs,
        batch_size=recipe.teacher.batch_size,
        learning_rate=recipe.teacher.learning_rate,
        weight_decay=recipe.teacher.weight_decay,
        seed=recipe.seed,
        bf16=run.job.precision == "bf16",
        folder=out,
        checkpoints=checkpoints,
        track=run.track,
    )


def soft_labels(run: Run, out: Path, checkpoints: Path) -> None:
    """The teacher's logits for every view of every training example."""
    from edgecomp.teachers.local import store_soft_labels

    recipe = run.job.recipe
    store_soft_labels(
        made.trained_teacher(run),
        run.folder / "teacher" / "teacher.safetensors",
        made.views(run),
        count=recipe.data.views,
        bf16=run.job.precision == "bf16",
        folder=out,
        track=run.track,
    )


def distill(run: Run, out: Path, checkpoints: Path) -> None:
    """The student, in fp32."""
    from edgecomp.distill.student import distill_fp32

    recipe = run.job.recipe
    with made.lessons(run) as lessons:
        distill_fp32(
            made.first_student(run),
            lessons,
            **made.losses(run),
            epochs=recipe.distill.epochs,
            batch_size=recipe.distill.batch_size,
            learning_rate=recipe.distill.learning_rate,
            weight_decay=recipe.distill.weight_decay,
            calibration_batches=recipe.quantize.calibration_batches,
            bf16=run.job.precision == "bf16",
            folder=out,
            checkpoints=checkpoints,
            track=run.track,
        )


def quantize(run: Run, out: Path, checkpoints: Path) -> None:
    """The student, distilled further through fake-quant."""
    from edgecomp.distill.student import distill_int8

    with made.lessons(run) as lessons:
        distill_int8(
            made.captured_student(run),
            lessons,
            made.qad(run),
            float_layers=tuple(run.job.recipe.quantize.float_layers),
            folder=out,
            checkpoints=checkpoints,
            track=run.track,
        )


def control(run: Run, out: Path, checkpoints: Path) -> None:
    """The student, distilled further as it is."""
    from edgecomp.distill.student import train_control

    with made.lessons(run) as lessons:
        train_control(
            made.student_fp32(run),
            lessons,
            made.qad(run),
            folder=out,
            checkpoints=checkpoints,
            track=run.track,
        )


def precision(run: Run, out: Path, checkpoints: Path) -> None:
    """What each layer's integers cost, and which layers stay in float."""
    from safetensors.torch import load_file

    from edgecomp.distill.precision import choose_precision

    settings = run.job.recipe.quantize
    with made.lessons(run) as lessons:
        choose_precision(
            made.captured_student(run),
            load_file(run.folder / "quantize" / "student_int8.safetensors"),
            lessons,
            made.qad(run),
            named=settings.float_layers,
            max_drop_pt=settings.max_drop_pt,
            folder=out,
            checkpoints=checkpoints,
            track=run.track,
        )


def export(run: Run, out: Path, checkpoints: Path) -> None:
    """Every model in every format, and the student's own answers."""
    from edgecomp.export.ptq import Setting
    from edgecomp.export.stage import export_all

    settings = run.job.recipe.quantize
    networks = {"teacher": made.trained_teacher(run), "student_fp32": made.student_fp32(run)}
    if "control" in settings.baselines:
        networks["control"] = made.student_control(run)
    post_training = {
        made.arm_of(tool): Setting(tool) for tool in settings.baselines if tool in ("ptq-ort", "ptq-nncf")
    }
    if settings.method == "qad":
        networks["student_int8"] = made.student_int8(run, tuple(made.float_layers(run)))
    elif settings.method != "none":
        post_training["student_int8"] = Setting(
            settings.method, settings.calibration, settings.percentile, tuple(made.float_layers(run))
        )
    with made.lessons(run) as lessons:
        calibration = lessons.calibration(run.job.recipe.distill.batch_size, settings.calibration_batches)
    export_all(
        networks=networks,
        variants={
            f"int8_but_{index}": made.student_int8(
                run, tuple(name for name in made.float_layers(run) if name != layer)
            )
            for index, layer in enumerate(made.float_layers(run))
            if settings.method == "qad"
        },
        student=made.student_arm(run.job),
        post_training=post_training,
        calibration=calibration,
        probes=made.probes(run),
        interface=made.interface(run),
        folder=out,
        track=run.track,
    )


def best_ptq(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """The best that post-training quantisation makes of the fp32 student, as this target's runtime executes it."""
    from edgecomp.export.ptq_grid import choose

    settings = run.job.recipe.quantize
    with made.lessons(run) as lessons:
        choose(
            made.captured_student(run),
            lessons.calibration(run.job.recipe.distill.batch_size, settings.calibration_batches),
            lessons.views.preprocessing.apply(lessons.views.validation.arrays),
            lessons.views.validation.labels,
            scheme=target.scheme,
            runtime_name=target.runtime,
            options=target.options,
            dynamic_axes=lessons.views.preprocessing.dynamic_axes,
            float_layers=tuple(settings.float_layers),
            bits=settings.bits,
            folder=out,
            candidates_folder=checkpoints,
        )


def parity(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """The student's file and the baselines', as the runtime executes them, held against what they are made of."""
    import numpy as np

    from edgecomp.export.parity import compare_all, compare_references
    from edgecomp.export.stage import model_file

    exported, student = run.folder / "export", made.student_arm(run.job)
    reference = exported / "reference.npy"
    models = {
        arm: exported / model_file(arm, target.runtime) for arm in {student: None, **made.tools(run.job)}
    }
    definitions = {
        arm: exported / model_file(arm, "onnxruntime-cpu")
        for arm, tool in made.tools(run.job).items()
        if tool == "ptq-ort" or target.runtime == "onnxruntime-cpu"
    }
    best = run.folder / "ptq" / target.name
    if "ptq-best" in run.job.recipe.quantize.baselines:
        models["ptq_best"] = made.model_files(run, target)["ptq_best"]
        if (best / "model.onnx").is_file():
            definitions["ptq_best"] = best / "model.onnx"
    try:
        compare_all(
            models,
            student=student,
            runtime_name=target.runtime,
            options=target.options,
            inputs=made.probes(run),
            reference=np.load(reference, allow_pickle=False) if reference.is_file() else None,
            definitions=definitions,
            blocks_model=exported / model_file("blocks", target.runtime),
            blocks_file=exported / "blocks.npz",
            float_layers=made.float_layers(run),
            folder=out,
        )
        compare_references(
            made.model_files(run, target),
            runtime_name=target.runtime,
            options=target.options,
            inputs=made.probes(run),
            references=exported / "references.npz",
            folder=out,
        )
    except RuntimeUnavailableError as error:  # the bench says so as well, and the gate that it is not run
        write_json(out / "parity.json", {})
        (out / NOT_RUN).write_text(f"{error}\n", encoding="utf-8")


def deploy(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """What goes to one device."""
    from edgecomp.data.splits import Split
    from edgecomp.export.deploy import write_deploy_folder
    from edgecomp.export.stage import model_file

    write_deploy_folder(
        model=run.folder / "export" / model_file(made.student_arm(run.job), target.runtime),
        runtime=target.runtime,
        options=target.options,
        threads=target.threads,
        preprocessing=made.preprocessing(run),
        validation=Split.load(run.folder / "data", "validation"),
        data=run.folder / "data",
        folder=out,
    )


def bench(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """Measurements of one target; the int8 student is the very file that is deployed."""
    from edgecomp.bench.process import Place
    from edgecomp.bench.scenarios import Effort
    from edgecomp.bench.stage import bench_target
    from edgecomp.data.splits import Split
    from edgecomp.export.parity import REFERENCES
    from edgecomp.export.stage import model_file

    recipe, exported = run.job.recipe, run.folder / "export"
    gated = target in run.job.targets
    costs = {
        layer: exported / model_file(f"int8_but_{index}", target.runtime)
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


def portable(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """Whether the deployed file gives the same answers on other CPUs: its weights, and a sample of the probes."""
    from edgecomp.bench.portable import ask_other_cpus
    from edgecomp.export.stage import model_file
    from edgecomp.runtimes import TABLE

    job, settings = run.job, run.job.recipe.bench
    assert job.host is not None
    # NNCF quantises the IR by itself: the ONNX file beside it is another one.
    defined = target.runtime == "onnxruntime-cpu" or job.recipe.quantize.method != "ptq-nncf"
    definition = run.folder / "export" / model_file(made.student_arm(job), "onnxruntime-cpu")
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


def gate(run: Run, out: Path, checkpoints: Path) -> None:
    """The verdict."""
    from edgecomp.gate.stage import judge_and_record

    judge_and_record(
        rows=run.job.rows,
        policy=run.job.policy,
        budgets={target.name: target.budget_rows() for target in run.job.targets},
        bench_folders={target.name: run.folder / "bench" / target.name for target in run.job.targets},
        beside={target.name: run.folder / "bench" / target.name for target in run.job.beside},
        portable={
            target.name: run.folder / "portable" / target.name
            for target in run.job.targets
            if made.is_for_cpus(run.job, target)
        },
        emulated={
            target.name: (
                run.folder / "emulation" / target.name,
                run.folder / "parity" / target.name / "reference.npy",
            )
            for target in run.job.targets
            if target.isa != "host"
        },
        today=run.today,
        folder=out,
    )


def report(run: Run, out: Path, checkpoints: Path) -> None:
    """HTML, Markdown, JSON and JUnit."""
    from edgecomp.report.stage import write_report

    write_report(run_folder=run.folder, job=run.job, folder=out)
