"""Teachers of a run behind an API: what decides their answers, and the step that asks."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecomp.config.parts.api_teacher import HOW, Api
from edgecomp.config.parts.teachers import Teachers
from edgecomp.config.recipe import Recipe
from edgecomp.pipeline.loaders import Run, preprocessing

if TYPE_CHECKING:
    from edgecomp.teachers.api.asked import Asked
    from edgecomp.teachers.api.labelling import Examples
    from edgecomp.teachers.several import Stored


def step_of(name: str) -> str:
    """The step that trains or asks the other teacher of that `name`."""
    return f"teachers/{name}"


def of(recipe: Recipe) -> dict[str, Api]:
    """By name, those of the other teachers of `recipe` that are asked."""
    others = {} if recipe.teachers is None else recipe.teachers.others
    return {name: one.api for name, one in others.items() if one.api is not None}


def decides(api: Api) -> dict[str, Any]:
    """What of an `api` decides what it answers: neither its key nor how fast and how far it is asked."""
    return api.model_dump(mode="json", exclude=HOW)


def files(recipe: Recipe, folder: Path) -> list[Path]:
    """What the functions are made of that `recipe` names as teachers. folder: the recipe's. Raises UsageError, UserCodeError."""
    from edgecomp.models.own_code import ANSWERING, load_own

    writer = recipe.language and recipe.language.writer
    given = [*of(recipe).values(), *([writer] if writer else [])]
    asked = [one.function for one in given if one.function is not None]
    return [file for name in asked for file in load_own(name, folder, ANSWERING)[1]]


def settings(teachers: Teachers) -> dict[str, Any]:
    """The values of `teachers`, of an API those that decide its answers."""
    found: dict[str, Any] = teachers.model_dump()
    for name, one in teachers.others.items():
        if one.api is not None:
            found["others"][name]["api"] = decides(one.api)
    return found


def check(run: Run, name: str) -> list[str]:
    """What is wrong with the teacher of `run` of that `name`, in words, before anything is trained or asked."""
    from edgecomp.errors import EdgecompError
    from edgecomp.teachers.api import labelling

    api, data = of(run.job.recipe)[name], run.job.recipe.data
    if data.varies:
        return [
            "an api is asked about the examples as they are: set data.shift=0 and data.flip=false, and leave out data.augment"
        ]
    try:
        secret_of(api)
        function_of(api, Path(run.job.folder))
        labelling.check(asked_of(api), _examples(run), preprocessing(run).classes)
    except EdgecompError as error:
        return [str(error)]
    return []


def label(run: Run, out: Path, checkpoints: Path, name: str) -> None:
    """Asks the teacher of `run` of that `name` for every example; writes its answers into `out`, and keeps each in `checkpoints` as it comes."""
    from edgecomp.teachers.api import labelling

    api = of(run.job.recipe)[name]
    labelling.label(
        asked_of(api),
        _examples(run),
        preprocessing(run).classes,
        secret=secret_of(api),
        call=function_of(api, Path(run.job.folder)),
        journal=checkpoints,
        out=out,
        before=run.folder / step_of(name) / labelling.JOURNAL,
        track=run.track,
        note=lambda said: run.note(f"teacher {name}: {said}"),
    )


def stored(run: Run, step: str) -> "Stored":
    """The answers that the `step` of a teacher of `run` has written."""
    from edgecomp.teachers.api import labelling
    from edgecomp.teachers.several import Stored

    found = labelling.read(run.folder / step / labelling.ANSWERS, preprocessing(run).classes)
    return Stored(found["train"], found["validation"])


RATES = {"requests_per_minute", "tokens_per_minute", "concurrency", "retries", "timeout_s"}
ASKED = {"kind", "url", "model", "system", "samples", "temperature", "max_tokens", "logprobs"}
ASKED_TOO = {"input", "output", "smoothing", "send_personal_data"}


def asked_of(api: Api) -> "Asked":
    """What is asked of an `api`, as plain data."""
    from edgecomp.teachers.api.asked import Asked, Limits, Rule

    parse = api.parse
    return Asked(
        **api.model_dump(include=ASKED | ASKED_TOO),
        prompts=tuple(api.prompts),
        rule=Rule(parse.rule, parse.pattern or "", parse.key, parse.json_schema, parse.names),
        limits=Limits(**api.model_dump(include=RATES), **api.budget.model_dump()),
    )


def secret_of(api: Api) -> str | None:
    """The key of an `api`, from the environment. Raises UsageError where it is not there; it never tells what it found."""
    from edgecomp.errors import UsageError

    if api.key is None:
        return None
    found = os.environ.get(api.key, "").strip()
    if not found:
        raise UsageError(f"api.key: the environment has no {api.key}: set it to the service's key")
    if not (found.isascii() and found.isprintable()):
        raise UsageError(
            f"api.key: {api.key} has characters that no header may have: set it to the service's key alone"
        )
    return found


def function_of(api: Api, folder: Path) -> Callable[[Any], Any] | None:
    """The user's own function that an `api` is; None of a service. folder: the recipe's. Raises UsageError, UserCodeError."""
    from edgecomp.models.own_code import ANSWERING, load_own

    return None if api.function is None else load_own(api.function, folder, ANSWERING)[0]


def _examples(run: Run) -> "dict[str, Examples]":
    """Of the training and the validation split, in their order, what the recipe's data are, before any preprocessing."""
    from edgecomp.data.sources.examples import chosen
    from edgecomp.data.splits import Split
    from edgecomp.errors import UsageError
    from edgecomp.pipeline.taken import cleaning, synthesising
    from edgecomp.teachers.api.labelling import Examples

    source, found = synthesising.added(run, cleaning.source(run, None)), {}
    for name in ("train", "validation"):
        rows = Split.load(run.folder / "data", name).rows
        assert rows is not None
        values = chosen(source.splits[name if name in source.splits else "train"], rows).values
        if isinstance(values, dict):
            raise UsageError(
                "api: a network's inputs by name (data.tensors) cannot be asked about: take stored soft_labels"
            )
        found[name] = Examples(values, source.columns)
    return found
