"""How the training examples of a run vary, as its recipe says."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgecomp.config.parts.api_teacher import Api
from edgecomp.config.recipe import Recipe
from edgecomp.errors import UsageError
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.taken import api_teachers

if TYPE_CHECKING:
    from edgecomp.data.augmentation import Augmentation
    from edgecomp.data.augmentation.texts import TextVariation

OF = {"shift": "images", "flip": "images", "augment.colour": "images", "augment.cutmix": "images", "augment.mixup": "images or rows"}  # fmt: skip
"""What each that varies is of, where that is not texts."""
ONE_CLASS = ("classification", "binary")
"""Tasks in which an example is of one class."""
READ_LABELS = ("hard-labels", "dkd", "wsld", "crd")
"""Losses that do."""


def varied(recipe: Recipe) -> dict[str, str]:
    """The names of what varies, as the recipe's `data` has them → what they are of."""
    data = recipe.data
    names = [name for name in ("shift", "flip") if getattr(data, name)]
    names += [f"augment.{name}" for name in data.augment.asked] if data.augment else []
    return {name: OF.get(name, "texts") for name in names}


def check(recipe: Recipe) -> None:
    """Raises UsageError where the student of a `recipe` would learn hard labels of blended examples, which have none, and where there is no class to
    blend within."""
    asked, distill = recipe.data.augment, recipe.distill
    if asked is None:
        return
    if (asked.mixup or asked.cutmix) and not asked.across and recipe.meant not in ONE_CLASS:
        raise UsageError(
            "data.augment.within: class blends two examples of one class, and this task's examples are of none: set data.augment.within=all, whose "
            "blends only the teacher answers"
        )
    if not asked.across:
        return
    learns = [term.loss for term in distill.terms if term.loss in READ_LABELS]
    if not distill.terms and distill.hard_label_weight:
        learns = [f"hard_label_weight: {distill.hard_label_weight:g}"]
    learns += [name for name in ("exits", "lifelong", "balance") if getattr(distill, name) is not None]
    if learns:
        raise UsageError(
            f"data.augment.within: all blends examples of different classes, which have no hard label, and distill has {', '.join(learns)}: "
            "set distill.hard_label_weight=0 and take out what reads labels, or set data.augment.within=class"
        )


def variation(run: Run, out: Path, checkpoints: Path) -> "TextVariation | None":
    """How the texts of `run` vary; None where they do not. out: of the data step; checkpoints: where each answer of who writes them anew is kept as it
    comes. Raises DataError, UsageError, UserCodeError, before anything is asked."""
    from edgecomp.data.augmentation.texts import TextVariation, read_synonyms
    from edgecomp.models.own_code import load_rewriting

    recipe, folder = run.job.recipe, Path(run.job.folder)
    asked = recipe.data.augment
    if asked is None or not asked.of_texts:
        return None
    synonyms = {} if asked.synonyms is None else read_synonyms(_synonyms(asked.synonyms, folder))
    rewrite: Callable[[Sequence[str], int], list[str]] | None = None
    if asked.rewrite is not None:
        rewrite = load_rewriting(asked.rewrite, folder)
    if asked.paraphrase is not None:
        rewrite = _paraphrasing(run, asked.paraphrase, out, checkpoints)
    return TextVariation(asked.typos, synonyms, asked.replaced, asked.same_kind, recipe.seed, rewrite)


def _paraphrasing(
    run: Run, api: Api, out: Path, checkpoints: Path
) -> Callable[[Sequence[str], int], list[str]]:
    from edgecomp.teachers import rewriting
    from edgecomp.teachers.api.labelling import JOURNAL

    asked = api_teachers.asked_of(api)
    rewriting.check(asked, run.job.recipe.data.views)
    secret, call = api_teachers.secret_of(api), api_teachers.function_of(api, Path(run.job.folder))
    if not run.asks:
        return lambda texts, view: list(texts)
    return partial(
        rewriting.rewritten, asked, secret=secret, call=call, journal=checkpoints / rewriting.FOLDER, out=out / rewriting.FOLDER, track=run.track, note=run.note,
        before=run.folder / "data" / rewriting.FOLDER / JOURNAL,
    )  # fmt: skip


def augmentation(recipe: Recipe, folder: Path, *, blended: bool = True) -> "Augmentation | None":
    """How the views of a `recipe` differ; None where they do not. folder: of the splits; blended: with examples of different classes as one,
    which only a teacher that has learnt can answer."""
    from edgecomp.data.augmentation.blends import Blend
    from edgecomp.data.augmentation.images import ValueViews
    from edgecomp.data.augmentation.texts import StoredViews

    data, asked = recipe.data, recipe.data.augment
    if asked is not None and asked.of_texts:
        return StoredViews(folder, data.views)
    colour, blend = 0.0, None
    if asked is not None:
        colour = asked.colour
        if (asked.mixup or asked.cutmix) and (blended or not asked.across):
            blend = Blend(asked.mixup, asked.cutmix, asked.within == "class", recipe.seed)
    if not (data.shift or data.flip or colour or blend):
        return None
    return ValueViews(data.shift, data.flip, recipe.seed, colour, blend)


def files(recipe: Recipe, folder: Path) -> list[Path]:
    """What `data.augment` of a `recipe` names. folder: the recipe's. Raises DataError, UsageError, UserCodeError."""
    from edgecomp.models.own_code import ANSWERING, load_own, load_rewriting

    asked = recipe.data.augment
    if asked is None:
        return []
    found = [] if asked.synonyms is None else [_synonyms(asked.synonyms, folder)]
    if asked.rewrite is not None:
        found += load_rewriting(asked.rewrite, folder).files
    if asked.paraphrase is not None and asked.paraphrase.function is not None:
        found += load_own(asked.paraphrase.function, folder, ANSWERING)[1]
    return found


def _synonyms(path: str, folder: Path) -> Path:
    from edgecomp.data.sources.paths import named

    return named(path, folder, "data.augment.synonyms: no such file")
