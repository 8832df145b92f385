"""The score of a recipe's own function: tried before anything is trained, and what the bench gives answers to."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecomp.outputs import by_name
from edgecomp.pipeline import loaders
from edgecomp.pipeline.loaders import Run

if TYPE_CHECKING:
    from edgecomp.stats.intervals import Values
    from edgecomp.tasks import Labels

FEW = 4  # examples that it is tried on


def score(run: Run) -> "Callable[[Mapping[str, Any], Labels], Values] | None":
    """What scores an arm's outputs, by name, and their labels, both in the data's unit; None where the recipe
    of `run` names no function."""
    import numpy as np

    from edgecomp.data.heads import in_own_unit, outputs_in_own_unit
    from edgecomp.models.own_code import load_score
    from edgecomp.tasks import SeveralOutputs

    if run.job.recipe.score is None:
        return None
    own, data = load_score(run.job.recipe.score, Path(run.job.folder)), loaders.preprocessing(run)
    of = loaders.meaning(run)

    def scored(outputs: "Mapping[str, Any]", labels: "Labels") -> "Values":
        if not all(np.isfinite(values).all() for values in outputs.values()):
            return np.full(
                len(labels), np.nan
            )  # of a model that gives no numbers: the function is not blamed
        if not isinstance(of, SeveralOutputs):
            return own(
                in_own_unit(next(iter(outputs.values())), data), in_own_unit(labels, data), len(labels)
            )
        return own(*outputs_in_own_unit(of, outputs, labels, data), len(labels))

    return scored


def try_score(run: Run) -> None:
    """Calls the score function of `run` once, on what a fresh student answers to a few examples. Raises
    UsageError, UserCodeError."""
    import torch

    from edgecomp.data.splits import Split

    if (scored := score(run)) is None:
        return
    few = Split.load(run.folder / "data", "validation").first(FEW)
    inputs = loaders.preprocessing(run).apply(few.arrays)
    with torch.no_grad():
        network = loaders.fresh_network(run, run.job.recipe.student)
        returned = network.eval()(*(torch.from_numpy(values) for values in inputs.values()))
    outputs = dict(enumerate(returned)) if type(returned) is tuple else by_name(returned)
    scored({str(name): values.numpy() for name, values in outputs.items()}, few.labels)
