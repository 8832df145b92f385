"""Inputs whose answers must hold, from a file of the user's."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgecomp.config.recipe import Recipe
from edgecomp.errors import DataError, nearest_there
from edgecomp.pipeline import loaders
from edgecomp.pipeline.loaders import Run

if TYPE_CHECKING:
    from edgecomp.benchmark.inputs.examples import Evaluation


def file_of(recipe: Recipe, folder: Path) -> Path:
    """The file that `recipe` names, relative to its `folder` or to the current one. Raises DataError where there is none."""
    assert recipe.health is not None
    assert recipe.health.key_samples is not None
    named = Path(recipe.health.key_samples).expanduser()
    found = next((base / named for base in (folder, Path()) if (base / named).is_file()), None)
    if found is None:
        raise DataError(f"health.key_samples: no such file: {folder / named}{nearest_there(folder / named)}")
    return found.absolute()


def key_samples(run: Run) -> "Evaluation | None":
    """Those that the recipe of `run` names, as its network takes them, with labels that are its classes; None where it names none. Raises DataError."""
    from edgecomp.benchmark.inputs import examples
    from edgecomp.runtimes import Port

    recipe = run.job.recipe
    if recipe.health is None or recipe.health.key_samples is None:
        return None
    data = loaders.preprocessing(run)
    ports = [
        Port(
            name,
            tuple(None if axis in free else size for axis, size in enumerate(values.shape)),
            values.dtype.name,
        )
        for (name, values), free in zip(data.example().items(), data.dynamic_axes, strict=True)
    ]
    found = examples.read(file_of(recipe, Path(run.job.folder)), ports)
    if found.labels is None:
        raise DataError(f"health.key_samples: {found.file} has no `label`: the answers that must hold")
    classes = max(2, len(data.classes))
    if not (found.labels.min() >= 0 and found.labels.max() < classes):
        raise DataError(f"health.key_samples: {found.file}: labels are from 0 to {classes - 1}, and there is {found.labels.min()} to {found.labels.max()}")  # fmt: skip
    return found
