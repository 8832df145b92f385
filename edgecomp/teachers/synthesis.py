"""Synthesis: a teacher behind an API, or a function of the user's own, writes examples of classes that are rare, and of a domain, from templates.

An example is kept only where the teacher itself, asked anew what class it is of, and a filter agree with the class that it was written for, and where
it is no copy of what there is already (data/augmentation/synthetic.py). Requests, budget and journal are those of labels: a run that breaks goes on at
the request where it broke.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp.data.augmentation import synthetic
from edgecomp.data.augmentation.synthetic import KEPT, UNPARSED, Candidate, Judge
from edgecomp.data.personal import pseudonyms
from edgecomp.data.personal.kinds import find
from edgecomp.errors import UsageError
from edgecomp.files.writing import write_json
from edgecomp.progress import Note, Track
from edgecomp.tasks import Labels
from edgecomp.teachers.api import labelling
from edgecomp.teachers.api.asked import Asked, Request
from edgecomp.teachers.api.journal import Journal
from edgecomp.teachers.api.labelling import Examples
from edgecomp.teachers.api.prompts import Prompts
from edgecomp.teachers.api.protocols import TABLE
from edgecomp.teachers.api.transport import Transport

FOLDER, WRITTEN, TOLD = "synthesis", "written.csv", "synthesis.json"
FIELDS = ("label", "classes", "domain", "examples", "number")
BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d{1,3}[.):])\s+")
QUOTES = "\"'“”‘’`"


@dataclass(frozen=True)
class Wanted:
    """templates: Jinja, each asked `each` times a class; classes: places of those that are written of; domain: what examples are about; shots: how
    many training examples of the class a prompt may show; by_line: whether each line of an answer is an example, or the whole of it; near: the
    likeness from which one is a copy; writer, labeller: how the teacher is asked to write, and what class a text is of; seed: of what is shown."""

    templates: Sequence[str]
    classes: Sequence[int]
    each: int
    domain: str
    shots: int
    by_line: bool
    near: float
    writer: Asked
    labeller: Asked
    seed: int


def check(wanted: Wanted, classes: Sequence[str]) -> None:
    """Raises UsageError with what is wrong with what is `wanted` of these `classes`, before anything is asked."""
    if not TABLE[wanted.writer.kind].by_prompt:
        raise UsageError(
            f"synthesis: kind {wanted.writer.kind} writes no texts: take openai-chat, openai-completions or function"
        )
    writer = wanted.writer
    for number, named in enumerate(Prompts(wanted.templates, FIELDS).named):
        if "label" not in named:
            raise UsageError(
                f"synthesis.write[{number}]: does not say which class to write of: put {{{{ label }}}} in it"
            )
        varies = writer.temperature > 0 or writer.kind == "function" or named & {"number", "examples"}
        if wanted.each > 1 and not varies:
            raise UsageError(
                f"synthesis.write[{number}]: at temperature 0 all {wanted.each} answers are the same: set synthesis.temperature, or use {{{{ number }}}}"
            )
    labelling.check(wanted.labeller, {"train": Examples(["a text"])}, classes)


def write(
    wanted: Wanted,
    real: Mapping[str, Sequence[str]],
    labels: Labels,
    classes: Sequence[str],
    *,
    judge: Judge,
    secret: str | None,
    call: Callable[[Any], Any] | None,
    journal: Path,
    out: Path,
    track: Track,
    note: Note,
    before: Path | None = None,
    transport: Transport | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> list[Candidate]:
    """The examples that were written and are kept; written.csv in `out` has all of them with what became of each, synthesis.json the counts and the cost.

    wanted: what is written; real: by split the texts that there are; labels: of the training split, int64 [N]; classes: their names; judge: the filter; secret, call, journal,
    track, note, before, transport, sleep: as `labelling.label` takes them. Raises UsageError, DataError, TeacherError, SpentError, RuntimeUnavailableError.
    """
    check(wanted, classes)
    asked = list(_requests(wanted, real["train"], labels, classes))
    with closing(Journal(journal / labelling.JOURNAL)) as kept:
        labelling.ask_missing(
            wanted.writer, ((one, None) for one, _, _, _ in asked), kept, "synthesis", secret=secret, call=call, before=before, track=track, note=note,
            transport=transport, sleep=sleep,
        )  # fmt: skip
        found = [
            one
            for request, label, template, number in asked
            for one in _candidates(kept.answers[request.id].text, wanted.by_line, label, template, number)
        ]
    found = synthetic.without_copies(found, real, wanted.near, track)
    found = synthetic.judged(found, judge, synthetic.FILTERED)
    out.mkdir(parents=True, exist_ok=True)

    def teacher(texts: Sequence[str], labels: Sequence[int]) -> list[bool]:
        labelling.label(
            wanted.labeller, {"train": Examples(list(texts))}, classes, secret=secret, call=call, journal=journal, out=out, track=track, note=note,
            before=before, transport=transport, sleep=sleep,
        )  # fmt: skip
        said = labelling.read(out / labelling.ANSWERS, classes)["train"]
        return [
            bool(np.isfinite(row).all() and row.argmax() == label)
            for row, label in zip(said, labels, strict=True)
        ]

    found = synthetic.judged(found, teacher, synthetic.OTHERWISE)
    synthetic.write(out / WRITTEN, found, classes)
    write_json(
        out / TOLD, {"format": 1, "classes": synthetic.counted(found, classes), "requests": len(asked)}
    )
    return [one for one in found if one.became == KEPT]


def _requests(
    wanted: Wanted, texts: Sequence[str], labels: Labels, classes: Sequence[str]
) -> Iterator[tuple[Request, int, int, int]]:
    """Each request, the class that it asks for, and the places of its template and among those of the class."""
    clear = Clear(wanted.writer.send_personal_data)
    for label in wanted.classes:
        own = np.flatnonzero(labels == label)
        for template, text in enumerate(wanted.templates):
            prompts = Prompts([text], FIELDS)
            for number in range(wanted.each):
                random = np.random.default_rng([wanted.seed, label, number])
                shown = random.permutation(own)[: wanted.shots]
                fields = {
                    "label": classes[label],
                    "classes": list(classes),
                    "domain": wanted.domain,
                    "examples": [clear(texts[place]) for place in shown],
                    "number": number + 1,
                }
                (prompt,) = prompts.of(fields)
                yield labelling.request_of(wanted.writer, prompt, None, number), label, template, number


class Clear:
    """Texts as they may be sent: with pseudonyms for personal data, unless originals are declared to be."""

    def __init__(self, send_personal_data: bool) -> None:
        self._as_they_are = send_personal_data
        self._secret: pseudonyms.Pseudonyms | None = None

    def __call__(self, text: str) -> str:
        if self._as_they_are or not list(find(text)):
            return text
        self._secret = self._secret or pseudonyms.from_environment()
        return pseudonyms.replaced(text, self._secret)


def _candidates(answer: str, by_line: bool, label: int, template: int, number: int) -> Iterator[Candidate]:
    """The texts in an `answer`; one that says so where there is none."""
    parts = answer.splitlines() if by_line else [answer]
    texts = [
        one
        for one in (
            BULLET.sub("", part).strip().strip(QUOTES).strip() if by_line else part.strip() for part in parts
        )
        if one
    ]
    for text in texts:
        yield Candidate(text, label, template, number)
    if not texts:
        yield Candidate("", label, template, number, UNPARSED)
