"""Texts that a service writes, in the place of a language model's own teacher: each training prompt is asked once, and what is answered is learnt."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecomp.config.parts.api_teacher import Writer
from edgecomp.errors import DataError
from edgecomp.pipeline.language import loading
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.taken import api_teachers

if TYPE_CHECKING:
    from edgecomp.language.texts import Tokens

NAME = "language.writer"


def check(run: Run, writer: Writer) -> None:
    """Raises UsageError, UserCodeError with what is wrong with the `writer` of `run`, before anything is trained or asked."""
    from edgecomp.teachers import rewriting

    rewriting.check(api_teachers.asked_of(writer), 1, NAME)
    api_teachers.secret_of(writer)
    api_teachers.function_of(writer, Path(run.job.folder))


def texts(run: Run, writer: Writer, tokenizer: Any, out: Path, checkpoints: Path) -> "Tokens":
    """What the `writer` says to the training prompts of `run`, as tokens of the `tokenizer`; its answers and api.json go into `out`, and each is kept in
    `checkpoints` as it comes. Raises DataError where nothing is left to learn, TeacherError, SpentError."""
    from edgecomp.language.texts import Row, encode, stripped
    from edgecomp.teachers import rewriting
    from edgecomp.teachers.api.labelling import JOURNAL

    prompts = [row.prompt for row in loading.rows(run)["train"]]
    found = rewriting.answered(
        api_teachers.asked_of(writer),
        prompts,
        secret=api_teachers.secret_of(writer),
        call=api_teachers.function_of(writer, Path(run.job.folder)),
        journal=checkpoints,
        out=out,
        before=run.folder / "soft_labels" / JOURNAL,
        track=run.track,
        note=lambda said: run.note(f"{NAME}: {said}"),
    )
    said = [Row(prompt, answer) for prompt, answer in dict.fromkeys(found) if answer is not None]
    asked = loading.settings(run)
    learnt = stripped(said) if asked.reasoning == "strip" else said
    run.note(
        f"{NAME}: {len(learnt):,} answers to {len(dict.fromkeys(prompts)):,} prompts are learnt; {len(dict.fromkeys(found)) - len(said):,} prompts have none, "
        f"or one that is cut off at max_tokens, and {len(said) - len(learnt):,} answers have reasoning without an end"
    )
    if not learnt:
        raise DataError(
            f"{NAME}: no answer is left to learn: raise max_tokens, or look into {out.name}/{JOURNAL}"
        )
    length = run.job.recipe.data.max_length + asked.teacher_tokens
    tokens, notes = encode(learnt, tokenizer, length, packed=False)
    for note in notes:
        run.note(f"{NAME}: {note}")
    return tokens
