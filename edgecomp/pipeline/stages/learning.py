"""From data to the students: what trains."""

from pathlib import Path

from edgecomp.pipeline import loaders, practice
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.scoring import try_score


def data(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes the splits of `run` and its preprocessing into `out`; checkpoints: not needed. Raises DataError,
    UsageError."""
    from edgecomp.data import sources, splits
    from edgecomp.data.tokens import Tokenizer
    from edgecomp.models.references import resolve

    settings, folder = run.job.recipe.data, Path(run.job.folder)
    source = sources.read(loaders.wanted(run.job.recipe), folder)
    splits.check_varied(source, task=run.job.recipe.meant, shift=settings.shift, flip=settings.flip)
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
        seed=run.job.recipe.seed,
        folder=out,
        mean=settings.mean,
        std=settings.std,
    )
    for note in notes:
        run.note(f"data: {note}")


def teacher(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes a network of `run` trained on hard labels into `out`; checkpoints: where it goes on from. Both
    networks, and a score of the user's own, are tried before any time is spent."""
    from edgecomp.teachers.trained import train_teacher

    recipe = run.job.recipe
    try_score(run)
    train_teacher(
        loaders.tried(run),
        loaders.views(run),
        loaders.meaning(run),
        epochs=recipe.teacher.epochs,
        batch_size=recipe.teacher.batch_size,
        learning_rate=recipe.teacher.learning_rate,
        weight_decay=recipe.teacher.weight_decay,
        seed=recipe.seed,
        practice=practice.practice(run, recipe.teacher.loop),
        folder=out,
        checkpoints=checkpoints,
        track=run.track,
    )


def soft_labels(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes the logits of the teacher of `run` for every view of every training example into `out`;
    checkpoints: not needed."""
    from edgecomp.teachers.trained import store_soft_labels

    recipe = run.job.recipe
    store_soft_labels(
        loaders.trained_teacher(run),
        run.folder / "teacher" / "teacher.safetensors",
        loaders.views(run),
        count=recipe.data.views,
        bf16=run.job.precision == "bf16",
        folder=out,
        track=run.track,
    )


def distill(run: Run, out: Path, checkpoints: Path) -> None:
    """Writes the student of `run`, in fp32, into `out`; checkpoints: where it goes on from."""
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
            practice=practice.practice(run, recipe.distill.loop),
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
    from edgecomp.distill.precision import choose_precision
    from edgecomp.training.loop import load_weights

    settings = run.job.recipe.quantize
    with loaders.distillation_data(run) as data:
        choose_precision(
            loaders.captured_student(run),
            load_weights(run.made("quantize") / "student_int8.safetensors"),
            data,
            practice.qad(run),
            named=loaders.named_float_layers(run),
            max_drop_pt=settings.max_drop_pt,
            folder=out,
            checkpoints=checkpoints,
            track=run.track,
        )
