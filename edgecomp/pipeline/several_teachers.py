"""Who teaches beside the teacher of a run: loaded, and tried before anything is trained."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgecomp import arms
from edgecomp.config.parts.teachers import Another, Teacher
from edgecomp.config.recipe import Recipe
from edgecomp.errors import EdgecompError, RecipeError
from edgecomp.pipeline import loaders
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.taken import api_teachers
from edgecomp.pipeline.taken.api_teachers import step_of

if TYPE_CHECKING:
    from torch import nn

    from edgecomp.teachers.several import Answers, Stored


def networks(recipe: Recipe) -> "dict[str, SeededTeacher]":
    """By name, those of the other teachers of `recipe` that are networks, each with a seed of its own."""
    return {name: one for name, one in _seeded(recipe).items() if one is not None}


def _seeded(recipe: Recipe) -> "dict[str, SeededTeacher | None]":
    others = {} if recipe.teachers is None else recipe.teachers.others
    return {
        name: None if one.network is None else _as_teacher(one, recipe.seed + 1 + place)
        for place, (name, one) in enumerate(others.items())
    }


def _as_teacher(one: Another, seed: int) -> "SeededTeacher":
    assert one.network is not None
    told = one.model_dump(exclude={"soft_labels", "api", "weight", "seed"})
    return SeededTeacher(**told, seed=(seed if one.seed is None else one.seed) % 2**32)


class SeededTeacher(Teacher):
    """One beside the teacher: `seed` is of its weights and the order of its examples."""

    seed: int


def answers(run: Run) -> "dict[str, Answers]":
    """By name, what the teachers of `run` say of every example, its own teacher's first."""
    from edgecomp.teachers.several import Network

    bf16, views = run.job.precision == "bf16", loaders.views(run, arms.TEACHER)
    found: dict[str, Answers] = {arms.TEACHER.name: Network(loaders.trained_teacher(run), views, bf16)}
    for name, one in _seeded(run.job.recipe).items():
        if name in api_teachers.of(run.job.recipe):
            found[name] = api_teachers.stored(run, step_of(name))
        else:
            found[name] = (
                _stored(run, name) if one is None else Network(_trained(run, name, one), views, bf16)
            )
    return found


def _trained(run: Run, name: str, wanted: Teacher) -> "nn.Module":
    from edgecomp.training.loop import load_weights

    network = loaders.fresh_network(run, wanted)
    network.load_state_dict(load_weights(run.folder / step_of(name) / "teacher.safetensors"))
    return network.eval()


def try_others(run: Run) -> None:
    """Raises RecipeError with all that is wrong with the other teachers of `run`, before anything is trained."""
    problems = list(_problems(run))
    if problems:
        raise RecipeError("teachers.others", problems)


def _problems(run: Run) -> Iterator[str]:
    for name, one in _seeded(run.job.recipe).items():
        try:
            if name in api_teachers.of(run.job.recipe):
                yield from (f"{name}: {said}" for said in api_teachers.check(run, name))
                continue
            if one is None:
                yield from (f"{name}: {said}" for said in _wrong_with_stored(run, name))
                continue
            network = loaders.fresh_network(run, one)
            if one.epochs == 0:
                loaders.check_ready_made(run, network, one)
        except EdgecompError as error:
            yield f"{name}: {error}"


def _wrong_with_stored(run: Run, name: str) -> list[str]:
    from edgecomp.files.array_files import read_npz
    from edgecomp.files.json_files import read_mapping
    from edgecomp.teachers.several import check_stored

    recipe, classes = run.job.recipe, loaders.preprocessing(run).classes
    if recipe.data.varies:
        return [
            "stored answers are to the examples as they are: set data.shift=0 and data.flip=false, and leave out data.augment"
        ]
    file = _file_of(run, name)
    rows = read_mapping(run.folder / "data" / "splits.json", "source")["source"]
    width = loaders.meaning(run).width(classes)
    return check_stored(read_npz(file), str(file), rows=rows, classes=classes, width=width)


def _stored(run: Run, name: str) -> "Stored":
    from edgecomp.data.splits import Split
    from edgecomp.errors import DataError
    from edgecomp.files.array_files import read_npz
    from edgecomp.files.json_files import read_mapping
    from edgecomp.teachers.several import stored

    if wrong := _wrong_with_stored(run, name):
        raise DataError("; ".join(wrong))
    rows = {}
    for split in ("train", "validation"):
        kept = Split.load(run.folder / "data", split).rows
        assert kept is not None
        rows[split] = kept
    of_source = read_mapping(run.folder / "data" / "splits.json", "source")["source"]
    return stored(
        read_npz(_file_of(run, name)),
        rows,
        own_validation="validation" in of_source,
        classes=loaders.preprocessing(run).classes,
    )


def _file_of(run: Run, name: str) -> Path:
    from edgecomp.data.sources.paths import stored_answers

    assert run.job.recipe.teachers is not None
    path = run.job.recipe.teachers.others[name].soft_labels
    assert path is not None
    return stored_answers(path, Path(run.job.folder))
