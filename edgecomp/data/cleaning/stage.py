"""Cleaning as a whole: what is found, what goes, what is replaced, and the files that say so."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgecomp.data.cleaning import findings, predictions, search
from edgecomp.data.cleaning.findings import NOT_AN_EXAMPLE, Finding
from edgecomp.data.personal import pseudonyms
from edgecomp.data.sources.examples import Examples, Source
from edgecomp.errors import DataError
from edgecomp.files.array_files import read_npz
from edgecomp.files.writing import write_json
from edgecomp.progress import Note, Track, silent, unheard
from edgecomp.tasks import DEFAULT, Meant

TABLE, SUMMARY = "findings.csv", "cleaning.json"
Personal = Literal["ignore", "report", "replace", "refuse"]


@dataclass(frozen=True)
class Cleaned:
    """source: without what was removed, and with pseudonyms where they were asked for; findings: of every rule; personal: by kind, how many personal
    data there were in what is left; is_replaced: whether pseudonyms stand in their place; key_id: of their key."""

    source: Source
    findings: Sequence[Finding]
    personal: dict[str, int] = field(default_factory=dict)
    is_replaced: bool = False
    key_id: str = ""

    def as_json(self) -> dict[str, Any]:
        """What the summary says: counts, and nothing of any example."""
        found: dict[str, Any] = {
            "format": 1,
            "rules": search.counts(self.findings),
            "examples": {name: len(one.labels) for name, one in self.source.splits.items()},
        }
        if self.personal or self.is_replaced:
            found["personal_data"] = {"found": self.personal, "replaced": self.is_replaced}
        if self.key_id:
            found["personal_data"]["key_id"] = self.key_id
        return found

    def save(self, folder: Path) -> None:
        """Writes findings.csv and cleaning.json into `folder`."""
        findings.write(folder / TABLE, self.findings)
        write_json(folder / SUMMARY, self.as_json())


def clean(
    source: Source,
    asked: search.Asked,
    *,
    task: Meant = DEFAULT,
    answers: Path | None = None,
    table: Path | None = None,
    personal: Personal = "ignore",
    track: Track = silent,
    note: Note = unheard,
) -> Cleaned:
    """The `source`, read to be cleaned, without what rules find in it.

    asked: the rules and their limits; task: what labels are; answers: an .npz of a teacher's answers to the training split; table: findings that
    decide, in place of a search; personal: what is done about personal data in texts; track, note: show progress, and say what could not be looked
    for. Raises DataError, UsageError, RuntimeUnavailableError.
    """
    if table is not None:
        found = findings.read(table)
        search.check_table(found, source, str(table))
        found = _with_what_cannot_stay(found, source)
    else:
        given = None if answers is None else _answers(answers, source)
        found = search.search(
            source, asked, of_classes=task == DEFAULT, answers=given, track=track, note=note
        )
    left, _ = search.cleaned(source, found)
    texts = {name: one.values for name, one in left.splits.items() if isinstance(one.values, list)}
    if personal == "ignore" or not texts:
        return Cleaned(left, found)
    if personal == "refuse":
        for name, values in texts.items():
            pseudonyms.refuse(values, f"the {name} split")
    counted = pseudonyms.count(text for values in texts.values() for text in values)
    if personal != "replace":
        said = (
            f"personal data: {pseudonyms.told(counted)} found in texts, and left as they are"
            if counted
            else ""
        )
        return Cleaned(_noted(left, said), found, dict(counted))
    key = pseudonyms.from_environment()
    splits: dict[str, Examples] = {
        name: replace(left.splits[name], values=[pseudonyms.replaced(text, key) for text in values])
        for name, values in texts.items()
    }
    said = (
        f"personal data: {pseudonyms.told(counted)} in texts, replaced by pseudonyms"
        if counted
        else "personal data: none found in texts"
    )
    return Cleaned(_noted(replace(left, splits=splits), said), found, dict(counted), True, key.key_id)


def _noted(source: Source, said: str) -> Source:
    return replace(source, notes=(*source.notes, said)) if said else source


def _with_what_cannot_stay(found: Sequence[Finding], source: Source) -> list[Finding]:
    """A user's table, and in it whatever cannot be read, whatever is said of it."""
    told = [one for one in found if one.rule not in NOT_AN_EXAMPLE]
    odd = [
        Finding(split, place, rule, 1.0, "remove", detail=why)
        for split, rows in source.left_out.items()
        for place, rule, why in rows
    ]
    return [*odd, *told]


def _answers(file: Path, source: Source) -> npt.NDArray[np.float64]:
    """A teacher's probabilities of the training split, without the rows that cannot be read, in the order of the source's classes."""
    arrays, at = read_npz(file), search.origins(source)["train"]
    if "train" not in arrays:
        raise DataError(
            f"{file} has no array 'train': a teacher's answers [{len(at)}, classes], in the order of the training data"
        )
    rows = len(at) + len(source.left_out.get("train", ()))
    found = predictions.as_probabilities(arrays["train"], len(source.classes), rows, str(file))[at]
    if "classes" not in arrays:
        return found
    named = [str(name) for name in arrays["classes"]]
    if sorted(named) != sorted(source.classes):
        differ = sorted({*named} ^ {*source.classes})
        raise DataError(f"{file}: its classes are not the data's; they differ in {', '.join(differ[:5])}")
    return found[:, [named.index(name) for name in source.classes]]
