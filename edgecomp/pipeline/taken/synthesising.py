"""Training examples of a run that a teacher writes, as its recipe says."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecomp.config.parts.augment import Synthesis
from edgecomp.config.parts.data import Data
from edgecomp.config.recipe import Recipe
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.taken import api_teachers
from edgecomp.tasks import DEFAULT, Labels

if TYPE_CHECKING:
    from edgecomp.data.augmentation.synthetic import Judge
    from edgecomp.data.augmentation.synthetic import Synthesis as SynthesisOf
    from edgecomp.data.sources import Source
    from edgecomp.teachers.synthesis import Wanted

BY_WORDS = "words"


def settings(data: Data) -> dict[str, Any]:
    """The values of `data`, of an API that writes those that decide what it answers: more budget goes on where it ended."""
    found = data.model_dump()
    if data.synthesis is not None:
        found["synthesis"]["api"] = api_teachers.decides(data.synthesis.api)
    if data.augment is not None and data.augment.paraphrase is not None:
        found["augment"]["paraphrase"] = api_teachers.decides(data.augment.paraphrase)
    return found


def files(recipe: Recipe, folder: Path) -> list[Path]:
    """What the functions are made of that `data.synthesis` of a `recipe` names. folder: the recipe's. Raises UsageError, UserCodeError."""
    from edgecomp.models.own_code import ANSWERING, FILTER, load_own

    asked = recipe.data.synthesis
    if asked is None:
        return []
    named = [(asked.api.function, ANSWERING), (None if asked.filter == BY_WORDS else asked.filter, FILTER)]
    return [file for name, role in named if name is not None for file in load_own(name, folder, role)[1]]


def maker(run: Run, source: "Source", out: Path, checkpoints: Path) -> "SynthesisOf | None":
    """What writes examples for `run`, of classes of `source`; None where its recipe asks for none. out: of the data step; checkpoints: where each
    answer is kept as it comes. Raises UsageError, DataError, RuntimeUnavailableError, before anything is asked."""
    from edgecomp.data.cleaning.libraries import library
    from edgecomp.errors import DataError, UsageError, nearest
    from edgecomp.teachers import synthesis

    recipe, folder = run.job.recipe, Path(run.job.folder)
    asked = recipe.data.synthesis
    if asked is None:
        return None
    if recipe.meant != DEFAULT or not isinstance(source.splits["train"].values, list):
        raise UsageError(
            "data.synthesis: a teacher writes texts of one class each, and these examples are others: take it out"
        )
    if unknown := [name for name in asked.classes if name not in source.classes]:
        raise DataError(
            f"data.synthesis.classes: {unknown[0]!r} is no class of the data{nearest(unknown[0], source.classes)}; they are {', '.join(source.classes[:10])}"
        )
    library("datasketch")
    wanted = _wanted(asked, [source.classes.index(name) for name in asked.classes], recipe.seed)
    synthesis.check(wanted, source.classes)
    secret, call = api_teachers.secret_of(asked.api), api_teachers.function_of(asked.api, folder)
    if not run.asks:
        return None

    def make(real: Mapping[str, Sequence[str]], labels: Labels) -> tuple[list[tuple[str, int]], str]:
        from edgecomp.data.augmentation import synthetic
        from edgecomp.files.json_files import read_mapping
        from edgecomp.teachers.api.labelling import JOURNAL

        own = replace(wanted, classes=wanted.classes or synthetic.rare(labels, source.classes))
        if not own.classes:
            raise DataError(
                "data.synthesis: no class is rare (less than half of an equal share): name those to write of, data.synthesis.classes"
            )
        found = synthesis.write(
            own, real, labels, source.classes, judge=_judge(asked, real["train"], labels, source.classes, folder), secret=secret, call=call,
            journal=checkpoints, out=out / synthesis.FOLDER,
            before=run.folder / "data" / synthesis.FOLDER / JOURNAL, track=run.track, note=run.note,
        )  # fmt: skip
        told = read_mapping(out / synthesis.FOLDER / synthesis.TOLD, "classes")["classes"]
        return [(one.text, one.label) for one in found], synthetic.said(told)

    return make


def _wanted(asked: Synthesis, classes: Sequence[int], seed: int) -> "Wanted":
    from edgecomp.teachers.synthesis import Wanted

    labeller = api_teachers.asked_of(asked.api)
    return Wanted(
        templates=tuple(asked.write),
        classes=tuple(classes),
        each=asked.each,
        domain=asked.domain,
        shots=asked.shots,
        by_line=asked.answer == "lines",
        near=asked.near,
        writer=replace(labeller, temperature=asked.temperature, max_tokens=asked.max_tokens, logprobs=False),
        labeller=labeller,
        seed=seed,
    )


def _judge(
    asked: Synthesis, texts: Sequence[str], labels: Labels, classes: Sequence[str], folder: Path
) -> "Judge":
    from edgecomp.data.augmentation import synthetic
    from edgecomp.models.own_code import FILTER, load_own

    if asked.filter == BY_WORDS:
        return synthetic.by_words(texts, labels)
    own = load_own(asked.filter, folder, FILTER)[0]
    return lambda given, wanted: [
        bool(own(text, classes[label])) for text, label in zip(given, wanted, strict=True)
    ]


def added(run: Run, source: "Source") -> "Source":
    """The `source` of `run` with what was written and kept behind its training examples, in their order."""
    import numpy as np

    from edgecomp.data.augmentation import synthetic
    from edgecomp.teachers import synthesis

    if run.job.recipe.data.synthesis is None:
        return source
    written = synthetic.kept(run.folder / "data" / synthesis.FOLDER / synthesis.WRITTEN)
    train = source.splits["train"]
    assert isinstance(train.values, list)
    labels = np.asarray([source.classes.index(label) for _, label in written], train.labels.dtype)
    more = replace(
        train,
        values=[*train.values, *(text for text, _ in written)],
        labels=np.concatenate([train.labels, labels]),
    )
    return replace(source, splits={**source.splits, "train": more})
