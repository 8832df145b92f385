"""From data to the students: what trains."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecomp.arms import TEACHER
from edgecomp.config.job import EXACT
from edgecomp.config.loss_terms import Term
from edgecomp.config.parts.teachers import Teacher
from edgecomp.pipeline import loaders, practice, several_teachers, trying
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.scoring import try_score
from edgecomp.pipeline.stages import health
from edgecomp.pipeline.taken import augmenting, cleaning, synthesising

if TYPE_CHECKING:
    from torch import nn

    from edgecomp.training.practice import Judge


def data(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes the splits of `run` and its preprocessing into `out`; checkpoints: where a teacher's answers are kept that writes examples. Raises DataError,
    UsageError."""
    from edgecomp.data import splits
    from edgecomp.data.tokens import Tokenizer
    from edgecomp.models.references import resolve

    settings, folder = run.job.recipe.data, Path(run.job.folder)
    augmenting.check(run.job.recipe)
    variation = augmenting.variation(run, out, checkpoints)
    source = cleaning.source(run, out)
    splits.check_varied(source, task=run.job.recipe.meant, varied=augmenting.varied(run.job.recipe))
    synthesis = synthesising.maker(run, source, out, checkpoints)
    notes = splits.write_splits(
        source,
        task=run.job.recipe.meant,
        standardise=run.job.recipe.teacher.epochs > 0,  # one that is ready answers in the labels' own unit
        test_fraction=settings.test_fraction,
        validation_fraction=settings.validation_fraction,
        calibration_fraction=settings.calibration_fraction,
        limit=settings.limit,
        tokenizer=Tokenizer(resolve(settings.tokenizer, folder), settings.max_length)
        if settings.tokenizer
        else None,
        max_bytes=settings.max_bytes,
        student_inputs=run.job.recipe.student.inputs,
        teacher_inputs=run.job.recipe.teacher.inputs,
        seed=run.job.recipe.seed,
        folder=out,
        mean=settings.mean,
        std=settings.std,
        rows=run.job.recipe.keeps_rows,
        variation=variation,
        views=settings.views,
        synthesis=synthesis,
    )
    for note in notes:
        run.note(f"data: {note}")


def teacher(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes a network of `run` trained on hard labels into `out`; checkpoints: where it goes on from. Both
    networks, and a score of the user's own, are tried before any time is spent."""
    try_score(run)
    several_teachers.try_others(run)
    health.check(run)
    _train(run, trying.tried(run), run.job.recipe.teacher, run.job.recipe.seed, out, checkpoints)


def another_teacher(run: Run, out: Path, checkpoints: Path, *, name: str) -> None:
    """Writes a network of `run` that teaches beside its teacher into `out`; checkpoints: where it goes on from; name: in the recipe."""
    wanted = several_teachers.networks(run.job.recipe)[name]
    network = loaders.fresh_network(run, wanted)
    _train(run, network, wanted, wanted.seed, out, checkpoints)


def asked_teacher(run: Run, out: Path, checkpoints: Path, *, name: str) -> None:
    """Writes what a teacher of `run` behind an API answers into `out`; checkpoints: where its answers are kept, one by one; name: in the recipe."""
    from edgecomp.pipeline.taken import api_teachers

    api_teachers.label(run, out, checkpoints, name)


def _train(run: Run, network: "nn.Module", wanted: Teacher, seed: int, out: Path, checkpoints: Path) -> None:
    from edgecomp.teachers.trained import train_teacher

    train_teacher(
        network,
        loaders.views(run, TEACHER, blended=False),
        loaders.meaning(run),
        epochs=wanted.epochs,
        batch_size=wanted.batch_size,
        learning_rate=wanted.learning_rate,
        weight_decay=wanted.weight_decay,
        seed=seed,
        practice=practice.practice(run, wanted.loop),
        folder=out,
        checkpoints=checkpoints,
        track=run.track,
    )


def soft_labels(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes the logits of the teacher of `run`, or the mixture of its teachers', for every view of every training example into `out`;
    checkpoints: not needed."""
    from edgecomp.teachers.several import store_mixture
    from edgecomp.teachers.trained import store_soft_labels

    recipe = run.job.recipe
    if recipe.teachers is not None:
        others = recipe.teachers.others
        store_mixture(
            several_teachers.answers(run),
            loaders.views(run, TEACHER),
            loaders.meaning(run),
            by=recipe.teachers.by,
            weights={TEACHER.name: recipe.teachers.weight}
            | {name: one.weight for name, one in others.items()},
            temperature=recipe.distill.temperature,
            count=recipe.data.views,
            teacher_file=run.folder / "teacher" / "teacher.safetensors",
            folder=out,
            track=run.track,
            note=run.note,
        )
        return
    store_soft_labels(
        loaders.trained_teacher(run),
        run.folder / "teacher" / "teacher.safetensors",
        loaders.views(run, TEACHER),
        count=recipe.data.views,
        bf16=run.job.precision == "bf16",
        exact=recipe.task in EXACT,
        folder=out,
        track=run.track,
    )


def old(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes the student of `run` that knows the old classes alone, learnt from their labels, into `out`; checkpoints: where it goes on from."""
    from dataclasses import replace

    from edgecomp.config.recipe import Distill
    from edgecomp.distill.lifelong import of_old, old_places
    from edgecomp.distill.losses import build
    from edgecomp.distill.student import distill_fp32

    recipe, known = run.job.recipe, loaders.old_classes(run)
    asked = recipe.distill.lifelong
    assert asked is not None
    labels = Distill(epochs=asked.epochs, terms=[Term(loss="hard-labels")]).model_dump()
    with loaders.distillation_data(run) as data:
        own = replace(
            data,
            views=of_old(data.views, known),
            only=old_places(data.views.train.labels, known),
            weights=None,
        )
        distill_fp32(
            loaders.fresh_network(run, recipe.student),
            own,
            loss=build(labels, loaders.meaning(run), lambda: loaders.trained_teacher(run)),
            epochs=asked.epochs,
            batch_size=recipe.distill.batch_size,
            learning_rate=recipe.distill.learning_rate,
            weight_decay=recipe.distill.weight_decay,
            calibration_batches=recipe.quantize.calibration_batches,
            practice=practice.practice(run, recipe.distill.loop),
            folder=out,
            checkpoints=checkpoints,
            track=run.track,
        )


def distill(run: Run, out: Path, checkpoints: Path, judge: "Judge | None" = None) -> None:
    """Writes the student of `run`, in fp32, into `out`; checkpoints: where it goes on from; judge: of each epoch."""
    from edgecomp.distill.student import distill_fp32

    recipe = run.job.recipe
    with loaders.distillation_data(run) as data:
        distill_fp32(
            loaders.first_student(run),
            data,
            loss=loaders.loss(run),
            epochs=recipe.distill.epochs,
            batch_size=recipe.distill.batch_size,
            learning_rate=recipe.distill.learning_rate,
            weight_decay=recipe.distill.weight_decay,
            calibration_batches=recipe.quantize.calibration_batches,
            practice=practice.practice(run, recipe.distill.loop, judge),
            stages=practice.stages(run),
            folder=out,
            checkpoints=checkpoints,
            track=run.track,
        )


def quantize(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes the student of `run`, distilled further through fake-quant, into `out`; checkpoints: where it
    goes on from."""
    from edgecomp.distill.student import distill_int8

    with loaders.distillation_data(run) as data:
        distill_int8(
            loaders.captured_student(run),
            data,
            practice.qad(run),
            float_layers=tuple(loaders.named_float_layers(run)),
            folder=out,
            checkpoints=checkpoints,
            track=run.track,
        )


def control(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes the student of `run`, distilled further as it is, into `out`; checkpoints: where it goes on
    from."""
    from edgecomp.distill.student import train_control

    with loaders.distillation_data(run) as data:
        train_control(
            loaders.student_fp32(run),
            data,
            practice.qad(run),
            folder=out,
            checkpoints=checkpoints,
            track=run.track,
        )


def precision(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes into `out` what the integers of each layer of `run` cost, and which layers stay in float;
    checkpoints: where a training that this takes goes on from."""
    from edgecomp.distill.precision import choose_precision, choose_untrained
    from edgecomp.training.loop import load_weights

    settings = run.job.recipe.quantize
    asked: dict[str, Any] = {
        "named": loaders.named_float_layers(run),
        "max_drop_pt": settings.max_drop_pt,
        "folder": out,
        "track": run.track,
    }
    with loaders.distillation_data(run) as data:
        captured, qad = loaders.captured_student(run), practice.qad(run)
        if settings.trains:
            trained = load_weights(run.made("quantize") / "student_int8.safetensors")
            choose_precision(captured, trained, data, qad, checkpoints=checkpoints, **asked)
        else:
            choose_untrained(captured, data, qad, **asked)
