"""The networks of a recipe, tried before anything is trained."""

from typing import TYPE_CHECKING

from edgecomp.pipeline import loaders
from edgecomp.pipeline.loaders import Run

if TYPE_CHECKING:
    from torch import nn

    from edgecomp.distill.losses import Loss


def tried(run: Run) -> "nn.Module":
    """A fresh teacher of `run`. Raises CaptureError, UsageError or RuntimeOptionError where it, the student
    or a target cannot be what the recipe asks, and notes where both are the same network: before anything is
    trained."""
    from edgecomp.config.target import check_options
    from edgecomp.distill.student import check_layers

    recipe = run.job.recipe
    for target in (*run.job.targets, *run.job.ungated_targets):
        check_options(target)
    loaders.example_weights(run)
    student = loaders.fresh_network(run, recipe.student)
    if not recipe.quantize.in_float:
        check_layers(loaders.captured(run, student), recipe.quantize.float_layers)
    check_loss(run).bind(loaders.fresh_network(run, recipe.student), tuple(loaders.example(run).values()))
    teacher = loaders.fresh_network(run, recipe.teacher)
    if recipe.teacher.epochs == 0:
        loaders.check_ready_made(run, teacher, recipe.teacher)
    if _structure(student) == _structure(teacher):
        count = sum(parameter.numel() for parameter in teacher.parameters())
        run.note(f"student and teacher are the same network, of {count:,} parameters: nothing is made smaller but by its integers; "
                 "give the student fewer or smaller layers (student.arguments)")  # fmt: skip
    return teacher


def check_loss(run: Run) -> "Loss":
    """The loss of `run`, of a teacher that is not trained yet. Raises RecipeError with all that is wrong with its terms and its stages."""
    from edgecomp.distill import stages
    from edgecomp.errors import RecipeError

    settings = run.job.recipe.distill.model_dump()
    found = stages.problems(settings, loaders.fresh_network(run, run.job.recipe.student))
    try:
        made = loaders.loss(run, trained=False)
    except RecipeError as error:
        raise RecipeError(error.where, [*error.problems, *found]) from None
    if found:
        raise RecipeError("distill", found)
    return made


def _structure(network: "nn.Module") -> list[tuple[str, object]]:
    """What a network is made of, without its weights' values."""
    parts = [(name, type(part).__name__) for name, part in network.named_modules()]
    return [*parts, *((name, tensor.shape) for name, tensor in network.state_dict().items())]
