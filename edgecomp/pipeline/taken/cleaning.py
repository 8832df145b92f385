"""The source of a run, as its recipe cleans it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgecomp.config.recipe import Recipe
from edgecomp.pipeline import loaders
from edgecomp.pipeline.loaders import Run

if TYPE_CHECKING:
    from edgecomp.data.sources import Source

LIBRARIES = ("cleanlab", "datasketch", "imagehash", "py3langid")  # whose versions change what is found


def source(run: Run, out: Path | None) -> "Source":
    """The data of `run`, read, cleaned, and without classes that are too rare, where its recipe says so. out: of findings.csv and cleaning.json;
    None: they are there, and what they say is done again. Raises DataError, UsageError."""
    from edgecomp.data import rare

    fewest = run.job.recipe.data.fewest
    found = _cleaned(run, out)
    return found if fewest is None else rare.without_rare(found, fewest)


def _cleaned(run: Run, out: Path | None) -> "Source":
    from edgecomp.data import sources
    from edgecomp.data.cleaning import search, stage

    recipe, folder = run.job.recipe, Path(run.job.folder)
    wanted, asked = loaders.wanted(recipe), recipe.data.clean
    if asked is None:
        return sources.read(wanted, folder)
    answers, table = (
        None if path is None else place(path, folder) for path in (asked.answers, asked.findings)
    )
    if out is None:
        table = run.folder / "data" / stage.TABLE
    limits = asked.model_dump(include={"rules", "near", "longest", "confidence", "outlier", "languages"})
    found = stage.clean(
        sources.read(replace(wanted, to_clean=True), folder),
        search.Asked(**limits, seed=recipe.seed),
        task=recipe.meant,
        answers=answers,
        table=table,
        personal=asked.personal_data,
        track=run.track,
        note=run.note,
    )
    if out is not None:
        found.save(out)
    return found.source


def place(path: str, folder: Path) -> Path:
    """Where the file `path` that `data.clean` names lies. folder: the recipe's. Raises DataError."""
    from edgecomp.data.sources.paths import named

    return named(path, folder, "data.clean: no such file")


def files(recipe: Recipe, folder: Path) -> list[Path]:
    """What `data.clean` of a `recipe` names. folder: the recipe's. Raises DataError."""
    asked = recipe.data.clean
    return (
        []
        if asked is None
        else [place(path, folder) for path in (asked.answers, asked.findings) if path is not None]
    )


def key_id(recipe: Recipe) -> str:
    """What tells the key of pseudonyms, and who looks for names, from another, where a `recipe` replaces personal data, or may in what it sends and learns from; else nothing.
    Raises UsageError where it is needed and there is none."""
    import os

    from edgecomp.data.personal import names
    from edgecomp.data.personal.pseudonyms import KEY, from_environment

    asked, augment = recipe.data.clean, recipe.data.augment
    if asked is not None and asked.personal_data != "ignore":
        replaces = asked.personal_data == "replace"
        return (from_environment().key_id if replaces else "") + names.identity()
    writers = [augment and augment.paraphrase, recipe.language and recipe.language.writer]
    may = any(one and not one.send_personal_data for one in writers) and os.environ.get(KEY)
    return from_environment().key_id + names.identity() if may else ""
