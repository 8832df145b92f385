"""How the networks of a run are trained: what its recipe says, as the objects that training takes."""

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from edgecomp.config.parts.loop import Loop
from edgecomp.pipeline import loaders
from edgecomp.pipeline.loaders import Run

if TYPE_CHECKING:
    from edgecomp.distill.stages import Stage
    from edgecomp.distill.student import Qad
    from edgecomp.training.practice import Judge, Practice, Precision

DEFAULT_TRACKER = "tensorboard"


def practice(run: Run, loop: Loop, judge: "Judge | None" = None) -> "Practice":
    """What `loop`, a part of the recipe of `run`, asks for, at the precision that was decided; judge: of each epoch."""
    from edgecomp.training.practice import Practice, nobody

    return Practice(
        precision=cast("Precision", run.job.precision),
        accumulation=loop.gradient_accumulation,
        clip_norm=loop.clip_norm,
        patience=loop.patience,
        optimizer=loop.optimizer,
        schedule=loop.schedule,
        warmup=loop.warmup,
        alarms=loop.alarms.model_dump(),
        trackers=trackers(loop),
        folder=run.folder,
        note=run.note,
        judge=judge or nobody,
    )


def trackers(loop: Loop) -> tuple[str, ...]:
    """Those that `loop` names; without any, TensorBoard where it is installed."""
    if loop.trackers is None:
        return (DEFAULT_TRACKER,) if find_spec(DEFAULT_TRACKER) else ()
    return tuple(loop.trackers)


def not_installed(loop: Loop) -> list[str]:
    """Of the trackers that `loop` names, those that are not here."""
    return [name for name in loop.trackers or () if not find_spec(name)]


def stages(run: Run) -> "list[Stage]":
    """Of the fp32 training of `run`; none where it is one of everything."""
    from edgecomp.distill.stages import of_recipe

    return of_recipe(run.job.recipe.distill.model_dump())


def qad(run: Run) -> "Qad":
    """The settings of `run` for training through fake-quant, with its loss."""
    from edgecomp.distill.student import Qad
    from edgecomp.ptq.correction import correct_biases

    recipe, settings = run.job.recipe, run.job.recipe.quantize
    return Qad(
        loss=loaders.loss(run),
        scheme=run.scheme,
        weight_bits=settings.weight_bits,
        activation_bits=settings.activation_bits,
        first_epoch=recipe.distill.epochs,
        epochs=settings.epochs,
        batch_size=recipe.distill.batch_size,
        learning_rate=settings.learning_rate,
        scale_learning_rate=settings.scale_learning_rate,
        weight_decay=recipe.distill.weight_decay,
        calibration=settings.calibration,
        percentile=settings.percentile,
        calibration_batches=settings.calibration_batches,
        freeze_scales_epochs=settings.freeze_scales_epochs,
        freeze_batchnorm_epochs=settings.freeze_batchnorm_epochs,
        kernel=settings.kernel,
        practice=practice(run, recipe.distill.loop),
        corrected=partial(correct_biases, adds=False) if settings.bias_correction else None,
        without=last[-1].without if (last := stages(run)) else frozenset(),
    )
