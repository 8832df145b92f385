"""Digests of what a job names outside: its data's files, networks of one's own, answers of other teachers, a tokenizer, a score."""

import os
from collections.abc import Sequence
from pathlib import Path

from edgecomp.config.job import Job
from edgecomp.config.parts.language import TASK as LANGUAGE
from edgecomp.config.parts.teachers import Network
from edgecomp.config.recipe import Recipe
from edgecomp.pipeline.loaders import wanted
from edgecomp.pipeline.taken import api_teachers, augmenting, cleaning, synthesising
from edgecomp.pipeline.taken.key_samples import file_of as key_samples


def fingerprinted(job: Job) -> Job:
    """The job with digests of what it names outside: its data's files, networks of one's own, a tokenizer.

    Raises DataError, UsageError where they are missing.
    """
    from edgecomp.data.sources import source_files

    folder = Path(job.folder)
    if job.recipe.task == LANGUAGE:
        from edgecomp.language.texts import files

        read = [path for paths in files(wanted(job.recipe), folder).values() for path in paths]
    else:
        read = source_files(wanted(job.recipe), folder)
    data_files = digests_by_path(read)
    return job.model_copy(update={"data_files": data_files, "outside": _outside(job.recipe, folder)})


def digests_by_path(files: Sequence[Path]) -> dict[str, str]:
    """sha256 by the path from the folder that holds them all: of two files of one name, and of one that moves."""
    from edgecomp.files.writing import sha256

    root = Path(os.path.commonpath([file.parent for file in files])) if files else Path()
    return {file.relative_to(root).as_posix(): sha256(file) for file in files}


def _outside(recipe: Recipe, folder: Path) -> dict[str, str]:
    """A digest of each of the `files_outside`, by name; and `pseudonyms` → what tells their key from another."""
    from edgecomp.files.writing import digest_of

    named = files_outside(recipe, folder)
    found = {name: digest_of(digests_by_path(files)) for name, files in named.items()}
    key = cleaning.key_id(recipe)
    return found | {"pseudonyms": key} if key else found


def files_outside(recipe: Recipe, folder: Path) -> dict[str, list[Path]]:
    """`teacher`, `student`, `teachers`, `tokenizer`, `cleaning`, `augmentation`, `synthesis`, `score`, `key_samples` → the files it is made with, where those are
    not edgecomp's own. folder: the recipe's. Raises DataError, UsageError, UserCodeError.

    An argument of a network that is a file, such as its weights, is one of them.
    """
    from edgecomp.data.sources.paths import stored_answers
    from edgecomp.models import own_files
    from edgecomp.models.own_code import load_score
    from edgecomp.models.references import files_of

    def of(wanted: Network) -> list[Path]:
        words = [value for value in wanted.arguments.values() if isinstance(value, str)]
        paths = dict.fromkeys((base / word).absolute() for word in words for base in (folder, Path()))
        given = [path for path in paths if os.path.isfile(path)]
        return given if wanted.network == "teacher" else [*own_files(wanted.network, folder), *given]

    others = recipe.teachers.others.values() if recipe.teachers else ()
    stored = [stored_answers(one.soft_labels, folder) for one in others if one.soft_labels]
    beside = [Network(network=one.network, arguments=one.arguments) for one in others if one.network]
    named = {
        "teacher": of(recipe.teacher),
        "student": of(recipe.student),
        "teachers": [
            *dict.fromkeys(
                (*stored, *(file for one in beside for file in of(one)), *api_teachers.files(recipe, folder))
            )
        ],
        "tokenizer": files_of(recipe.data.tokenizer, folder) if recipe.data.tokenizer else [],
        "cleaning": cleaning.files(recipe, folder),
        "augmentation": augmenting.files(recipe, folder),
        "synthesis": synthesising.files(recipe, folder),
        "key_samples": [key_samples(recipe, folder)] if recipe.health and recipe.health.key_samples else [],
        "score": [*load_score(recipe.score, folder).files] if recipe.score else [],
    }
    return {name: files for name, files in named.items() if files}
