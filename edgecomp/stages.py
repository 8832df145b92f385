"""Each stage, told from a job: settings become plain arguments here, and nowhere else.

A stage reads the run folder and writes into `out`; a long one keeps what it needs to resume in `checkpoints`.
Heavy libraries are imported where a stage begins its work, so that a run with nothing to do takes no time.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgecomp.progress import Track
from edgecomp.recipe import Job, Network
from edgecomp.targets import Target

if TYPE_CHECKING:
    from torch import fx, nn

    from edgecomp.data.splits import Preprocessing


BESIDE_ITERATIONS, BESIDE_BATCHES = 96, 8  # enough for a median


@dataclass(frozen=True)
class Run:
    job: Job
    folder: Path
    track: Track


def scheme_of(job: Job) -> str:
    """The quantisation scheme that all targets of a job share."""
    return job.targets[0].scheme


def data(run: Run, out: Path, checkpoints: Path) -> None:
    """Splits and preprocessing."""
    from edgecomp.data import sources, splits

    recipe = run.job.recipe
    splits.write_splits(
        sources.TABLE[recipe.data.source](recipe.data.image_size),
        test_fraction=recipe.data.test_fraction,
        validation_fraction=recipe.data.validation_fraction,
        seed=recipe.seed,
        folder=out,
    )


def teacher(run: Run, out: Path, checkpoints: Path) -> None:
    """A network trained on hard labels. The student is tried as well, before any time is spent."""
    from edgecomp.data.splits import Split
    from edgecomp.teachers.local import train_teacher

    recipe = run.job.recipe
    _network(run, recipe.student)
    train_teacher(
        _network(run, recipe.teacher),
        train_split=Split.load(run.folder / "data", "train"),
        validation=Split.load(run.folder / "data", "validation"),
        preprocessing=_preprocessing(run),
        shift=recipe.data.shift,
        epochs=recipe.teacher.epochs,
        batch_size=recipe.teacher.batch_size,
        learning_rate=recipe.teacher.learning_rate,
        weight_decay=recipe.teacher.weight_decay,
        seed=recipe.seed,
        folder=out,
        checkpoints=checkpoints,
        track=run.track,
    )


def soft_labels(run: Run, out: Path, checkpoints: Path) -> None:
    """The teacher's logits for every view of every training image."""
    from edgecomp.data.splits import Split
    from edgecomp.teachers.local import store_soft_labels

    recipe = run.job.recipe
    store_soft_labels(
        _trained_teacher(run),
        run.folder / "teacher" / "teacher.safetensors",
        train_split=Split.load(run.folder / "data", "train"),
        preprocessing=_preprocessing(run),
        shift=recipe.data.shift,
        views=recipe.data.views,
        seed=recipe.seed,
        folder=out,
        track=run.track,
    )


def distill(run: Run, out: Path, checkpoints: Path) -> None:
    """The student, in fp32 and through fake-quant."""
    from edgecomp.data.splits import Split
    from edgecomp.distill.student import distill_student

    recipe = run.job.recipe
    distill_student(
        _network(run, recipe.student),
        train_split=Split.load(run.folder / "data", "train"),
        validation=Split.load(run.folder / "data", "validation"),
        preprocessing=_preprocessing(run),
        soft_label_file=run.folder / "soft_labels" / "soft_labels.h5",
        shift=recipe.data.shift,
        temperature=recipe.distill.temperature,
        hard_label_weight=recipe.distill.hard_label_weight,
        epochs=recipe.distill.epochs,
        batch_size=recipe.distill.batch_size,
        learning_rate=recipe.distill.learning_rate,
        weight_decay=recipe.distill.weight_decay,
        scheme=scheme_of(run.job),
        quantize_epochs=recipe.quantize.epochs,
        quantize_learning_rate=recipe.quantize.learning_rate,
        scale_learning_rate=recipe.quantize.scale_learning_rate,
        calibration_batches=recipe.quantize.calibration_batches,
        freeze_batchnorm_epochs=recipe.quantize.freeze_batchnorm_epochs,
        seed=recipe.seed,
        folder=out,
        checkpoints=checkpoints,
        track=run.track,
    )


def export(run: Run, out: Path, checkpoints: Path) -> None:
    """Every model in every format, and the fake-quant student's own answers."""
    from edgecomp.data.splits import Split
    from edgecomp.export.stage import export_all

    fp32, int8 = _trained_students(run)
    export_all(
        teacher=_trained_teacher(run),
        student_fp32=fp32,
        student_int8=int8,
        probes=_preprocessing(run).apply(Split.load(run.folder / "data", "train").images),
        folder=out,
        track=run.track,
    )


def parity(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """The int8 file, as its runtime executes it, held against the fake-quant student."""
    import numpy as np

    from edgecomp.artifacts import write_json
    from edgecomp.data.splits import Split
    from edgecomp.export.parity import compare
    from edgecomp.export.stage import model_file

    found = compare(
        run.folder / "export" / model_file("student_int8", target.runtime),
        target.runtime,
        options=target.options,
        inputs=_preprocessing(run).apply(Split.load(run.folder / "data", "train").images),
        reference=np.load(run.folder / "export" / "reference.npy", allow_pickle=False),
    )
    write_json(out / "parity.json", found)


def deploy(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """What goes to one device."""
    from edgecomp.data.splits import Split
    from edgecomp.export.deploy import write_deploy_folder
    from edgecomp.export.stage import model_file

    write_deploy_folder(
        model=run.folder / "export" / model_file("student_int8", target.runtime),
        runtime=target.runtime,
        options=target.options,
        threads=target.threads,
        preprocessing=_preprocessing(run),
        validation=Split.load(run.folder / "data", "validation"),
        folder=out,
    )


def bench(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """Measurements of one target; the int8 student is the very file that is deployed."""
    from edgecomp.bench.scenarios import Effort
    from edgecomp.bench.stage import bench_target
    from edgecomp.data.splits import Split
    from edgecomp.export.stage import model_file
    from edgecomp.runtimes import MODEL_FILE

    recipe = run.job.recipe
    gated = target in run.job.targets
    models = {"teacher": run.folder / "export" / model_file("teacher", target.runtime)}
    if gated:
        models["student_fp32"] = run.folder / "export" / model_file("student_fp32", target.runtime)
        models["student_int8"] = run.folder / "deploy" / target.name / MODEL_FILE[target.runtime]
    settings = recipe.bench
    bench_target(
        target=target.name,
        runtime=target.runtime,
        options=target.options,
        threads=target.threads,
        models=models,
        parameters_file=run.folder / "export" / "parameters.json",
        parity_file=run.folder / "parity" / target.name / "parity.json" if gated else None,
        test=Split.load(run.folder / "data", "test"),
        preprocessing=_preprocessing(run),
        folder=out,
        track=run.track,
        effort=Effort(
            restarts=settings.restarts if gated else settings.beside_restarts,
            warmup=settings.warmup,
            iterations=settings.iterations if gated else BESIDE_ITERATIONS,
            offline_batch=settings.offline_batch,
            offline_batches=settings.offline_batches if gated else BESIDE_BATCHES,
            timeout_s=settings.timeout_s,
        ),
    )


def emulation(run: Run, out: Path, checkpoints: Path, target: Target) -> None:
    """The deployed file's answers as the device's CPU gives them, for a sample of the test split and of the probes."""
    from edgecomp.bench.emulation import emulate
    from edgecomp.data.splits import Split
    from edgecomp.runtimes import MODEL_FILE

    settings, prepared = run.job.recipe.bench, _preprocessing(run)
    count = settings.emulated_examples
    emulate(
        isa=target.isa,
        runtime=target.runtime,
        options=target.options,
        model=run.folder / "deploy" / target.name / MODEL_FILE[target.runtime],
        test=prepared.apply(Split.load(run.folder / "data", "test").images[:count]),
        probes=prepared.apply(Split.load(run.folder / "data", "train").images[:count]),
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
        emulated={
            target.name: (run.folder / "emulation" / target.name, run.folder / "export" / "reference.npy")
            for target in run.job.targets
            if target.isa != "host"
        },
        folder=out,
    )


def report(run: Run, out: Path, checkpoints: Path) -> None:
    """HTML, Markdown, JSON and JUnit."""
    from edgecomp.report.stage import write_report

    write_report(run_folder=run.folder, job=run.job, folder=out)


def _preprocessing(run: Run) -> "Preprocessing":
    from edgecomp.data.splits import Preprocessing

    return Preprocessing.load(run.folder / "data" / "preprocessing.json")


def _network(run: Run, wanted: Network) -> "nn.Module":
    """A fresh network with seeded weights; the job's thread count holds from here on."""
    import torch

    from edgecomp.models import build, check_output

    torch.set_num_threads(run.job.recipe.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(run.job.recipe.seed)
    shapes = _preprocessing(run)
    classes = len(shapes.classes)
    network = build(wanted.network, wanted.arguments, Path(run.job.folder), shapes.channels, classes)
    check_output(wanted.network, network, (2, shapes.channels, shapes.height, shapes.width), classes)
    return network


def _trained_teacher(run: Run) -> "nn.Module":
    from safetensors.torch import load_file

    network = _network(run, run.job.recipe.teacher)
    network.load_state_dict(load_file(run.folder / "teacher" / "teacher.safetensors"))
    return network.eval()


def _trained_students(run: Run) -> "tuple[nn.Module, fx.GraphModule]":
    import torch
    from safetensors.torch import load_file

    from edgecomp.quantize.capture import capture
    from edgecomp.quantize.placement import place

    fp32 = _network(run, run.job.recipe.student)
    shapes = _preprocessing(run)
    example = torch.zeros(2, shapes.channels, shapes.height, shapes.width)
    graph = capture(_network(run, run.job.recipe.student), [example], [{0: "batch"}])
    int8 = place(graph, scheme_of(run.job))
    fp32.load_state_dict(load_file(run.folder / "distill" / "student_fp32.safetensors"))
    int8.load_state_dict(load_file(run.folder / "distill" / "student_int8.safetensors"))
    return fp32.eval(), int8.eval()
