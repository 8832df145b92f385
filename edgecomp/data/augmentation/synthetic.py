"""Texts that a teacher has written, held to the data that they are to be learnt with: what is empty, a copy of what is there, or of another class than it
was written for by words, goes, and each candidate is told with what became of it."""

import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgecomp.data.cleaning import duplicates
from edgecomp.data.sources.examples import Examples, Source
from edgecomp.errors import DataError
from edgecomp.progress import Track
from edgecomp.tasks import Labels

KEPT = "kept"
UNPARSED, EMPTY, LONG = "no text in the answer", "empty", "too long"
LEAK, COPY, REPEATED = "near a validation or test example", "near a training example", "near an earlier one"
FILTERED, OTHERWISE = "the filter says another class", "the teacher says another class"
WHY = (KEPT, UNPARSED, EMPTY, LONG, LEAK, COPY, REPEATED, FILTERED, OTHERWISE)
"""What may become of a candidate, in the order in which it is asked."""
COLUMNS = ("text", "label", "became", "template", "number")
LONGEST = 5_000  # characters

Synthesis = Callable[[Mapping[str, Sequence[str]], Labels], tuple[Sequence[tuple[str, int]], str]]
"""The texts of each split, and the training split's labels → texts and labels to be learnt from as well, and a sentence on them."""

Judge = Callable[[Sequence[str], Sequence[int]], Sequence[bool]]
"""Texts and the classes that they were written for → whether each is of that class."""


@dataclass(frozen=True)
class Candidate:
    """label: the class that it was written for; became: one of WHY; template, number: which prompt of the class it was written at, from 0."""

    text: str
    label: int
    template: int
    number: int
    became: str = KEPT


def without_copies(
    candidates: Sequence[Candidate], real: Mapping[str, Sequence[str]], near: float, track: Track
) -> list[Candidate]:
    """The `candidates`, those told apart that are nothing, or near to what there is.

    real: by split the texts that there are, `train` and those that are judged on or calibrated with; near: the likeness from which two are, of their
    character 5-grams; track: shows progress. Raises RuntimeUnavailableError without the extra `data`.
    """
    found = [_plain(one) for one in candidates]
    places = [place for place, one in enumerate(found) if one.became == KEPT]
    if not places:
        return found
    held_out = [text for name, texts in real.items() if name != "train" for text in texts]
    told = {
        # What is told is of `train`; the other two are what it is held to, the held-out texts first.
        "test": _examples(held_out),
        "validation": _examples(list(real["train"])),
        "train": _examples([found[place].text for place in places]),
    }
    copies = [(place[1], of[0]) for _, place, _, of, _ in duplicates.same(told) if place[0] == "train"]
    copies += [(place[1], of[0]) for _, place, _, of, _ in duplicates.near(told, near, track)]
    became = {"test": LEAK, "validation": COPY, "train": REPEATED}
    for row, of in copies:
        one = found[places[row]]
        # Of several the gravest is told.
        if one.became == KEPT or WHY.index(became[of]) < WHY.index(one.became):
            found[places[row]] = replace(one, became=became[of])
    return found


def _plain(one: Candidate) -> Candidate:
    if one.became != KEPT:
        return one
    return replace(one, became=EMPTY if not one.text.strip() else LONG if len(one.text) > LONGEST else KEPT)


def _examples(texts: list[str]) -> Examples:
    return Examples(texts, np.zeros(len(texts), np.int64))


def judged(candidates: Sequence[Candidate], judge: Judge, why: str) -> list[Candidate]:
    """The `candidates`, those that were kept and that the `judge` calls another class with `why`. Raises DataError of another number of answers."""
    places = [place for place, one in enumerate(candidates) if one.became == KEPT]
    said = (
        judge([candidates[place].text for place in places], [candidates[place].label for place in places])
        if places
        else []
    )
    if len(said) != len(places):
        raise DataError(
            f"data.synthesis.filter: {len(said)} answers to {len(places)} texts: return whether each is kept"
        )
    found = list(candidates)
    for place, is_kept in zip(places, said, strict=True):
        if not is_kept:
            found[place] = replace(found[place], became=why)
    return found


def by_words(texts: Sequence[str], labels: Labels) -> Judge:
    """What tells classes apart by words and pairs of words, each class counting the same: logistic regression. texts, labels: of the training split, int64 [N]."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]")
    model = make_pipeline(words, LogisticRegression(C=10, max_iter=300, class_weight="balanced"))
    model.fit(list(texts), labels)

    def judge(asked: Sequence[str], wanted: Sequence[int]) -> list[bool]:
        return [bool(one) for one in model.predict(list(asked)) == np.asarray(wanted)]

    return judge


def rare(labels: Labels, classes: Sequence[str]) -> list[int]:
    """The places of the `classes` that have fewer than half of an equal share of the examples. labels: int64 [N]."""
    counts = np.bincount(labels, minlength=len(classes))
    return [place for place, count in enumerate(counts) if 2 * count * len(classes) < len(labels)]


def write(file: Path, candidates: Sequence[Candidate], classes: Sequence[str]) -> None:
    """Writes each of the `candidates` into a CSV `file`, with the name of its class, among `classes`, and what became of it."""
    with file.open("w", encoding="utf-8", errors="replace", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(COLUMNS)
        writer.writerows(
            (one.text, classes[one.label], one.became, one.template, one.number) for one in candidates
        )


def kept(file: Path) -> list[tuple[str, str]]:
    """Text and class of those in `file`, which `write` wrote, that were kept, in order. Raises DataError."""
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            return [(row["text"], row["label"]) for row in csv.DictReader(opened) if row["became"] == KEPT]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise DataError(
            f"{file}: no table of synthetic examples ({error}): make the data step again"
        ) from error


def counted(candidates: Sequence[Candidate], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """By class, what became of how many of the `candidates`. classes: their names."""
    found: dict[str, dict[str, int]] = {}
    for place in dict.fromkeys(one.label for one in candidates):
        counts = Counter(one.became for one in candidates if one.label == place)
        found[classes[place]] = {name: counts[name] for name in WHY if counts[name]}
    return found


def said(found: Mapping[str, Mapping[str, int]]) -> str:
    """A sentence of what `counted` has `found`."""
    total = Counter[str]()
    for of in found.values():
        total.update(of)
    gone = ", ".join(f"{total[name]:,} {name}" for name in WHY[1:] if total[name])
    of_classes = ", ".join(f"{of.get(KEPT, 0):,} of {name}" for name, of in found.items())
    return (
        f"synthesis: {total[KEPT]:,} of {sum(total.values()):,} examples that a teacher wrote are learnt from, and in no other split ({of_classes})"
        + (f"; left out: {gone}" if gone else "")
    )


def with_written(
    source: Source,
    carved: Mapping[str, npt.NDArray[np.int64]],
    places: dict[str, npt.NDArray[np.int64]],
    synthesis: Synthesis | None,
) -> tuple[Source, npt.NDArray[np.int64]]:
    """The `source` with what `synthesis` writes behind its training examples, and the places of that; `places`, of each split's examples, have them in
    the training split, in the order in which they were written.

    carved: whose keys are the splits that are of the training data; places: by split int64 [n]; synthesis: None where nothing is written.
    """
    train, texts = source.splits["train"], {name: one.values for name, one in source.splits.items()}
    if synthesis is None or not isinstance(train.values, list):
        return source, np.empty(0, np.int64)
    real = {
        name: [str(texts["train" if name in carved else name][place]) for place in index]
        for name, index in places.items()
    }
    made, sentence = synthesis(real, train.labels[places["train"]])
    written = len(train.labels) + np.arange(len(made))
    more = replace(
        train,
        values=[*train.values, *(text for text, _ in made)],
        labels=np.concatenate([train.labels, np.asarray([label for _, label in made], train.labels.dtype)]),
        slices=None
        if train.slices is None
        else np.concatenate([train.slices, np.full(len(made), "", train.slices.dtype)]),
    )
    places["train"] = np.concatenate([places["train"], written])
    return replace(source, splits={**source.splits, "train": more}, notes=(*source.notes, sentence)), written
