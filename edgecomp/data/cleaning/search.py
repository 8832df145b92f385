"""Everything that rules of cleaning find in a source, and the source without what is to go."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from edgecomp.data.cleaning import duplicates, languages, predictions, texts
from edgecomp.data.cleaning.findings import KEEP, OFF, REMOVE, RULES, Action, Finding, actions, decided, keys
from edgecomp.data.sources.examples import Examples, Source, chosen
from edgecomp.errors import DataError
from edgecomp.progress import Note, Track, silent, unheard

Index = npt.NDArray[np.int64]
FOUND = Iterator[tuple[str, str, int, float, str, str]]  # rule, split, place in it, score, of, detail


@dataclass(frozen=True)
class Asked:
    """rules: what is done about what each finds, where that is not the default; near: the likeness from which examples are near; longest: a text, in
    characters; confidence: below which a teacher's answer has none; outlier: the factor beyond which an example is one; languages: that texts should be in, ISO 639 codes, none where that is not said; seed: of folds."""

    rules: Mapping[str, str] = field(default_factory=dict)
    near: float = 0.8
    longest: int = 5_000
    confidence: float = 0.5
    outlier: float = 3.0
    languages: Sequence[str] = ()
    seed: int = 0

    @property
    def actions(self) -> dict[str, Action]:
        """What is done about each rule."""
        return actions(self.rules)


@dataclass(frozen=True)
class _Looked:
    """What a search is given. answers: a teacher's, probabilities [N, classes] of the training split, where there are any; of_classes: whether labels
    are one class an example."""

    source: Source
    asked: Asked
    wanted: frozenset[str]
    answers: npt.NDArray[np.float64] | None
    of_classes: bool
    track: Track
    note: Note


def origins(source: Source) -> dict[str, Index]:
    """By split of `source`, the places of its examples in the data as they came, int64 [N]."""
    found = {}
    for name, examples in source.splits.items():
        gone = [place for place, _, _ in source.left_out.get(name, ())]
        found[name] = np.setdiff1d(np.arange(len(examples.labels) + len(gone)), gone)
    return found


def search(
    source: Source,
    asked: Asked,
    *,
    of_classes: bool,
    answers: npt.NDArray[np.float64] | None = None,
    track: Track = silent,
    note: Note = unheard,
) -> list[Finding]:
    """All that the rules find in `source`, each with what is to be done about it, split by split and row by row.

    asked: the rules and their limits; of_classes: whether a label is one class; answers: a teacher's probabilities [N, classes] of the training split, None where there are none;
    track: shows progress; note: is told of what could not be looked for. Raises DataError, RuntimeUnavailableError.
    """
    action_of = asked.actions
    wanted = frozenset(name for name, action in action_of.items() if action != OFF)
    looked = _Looked(source, asked, wanted, answers, of_classes, track, note)
    found = [
        Finding(split, place, rule, 1.0, detail=why)
        for split, odd in source.left_out.items()
        for place, rule, why in odd
    ]
    at, key_of = origins(source), {name: keys(one.values) for name, one in source.splits.items()}
    for rules, look in SEARCHES:
        if wanted & set(rules):
            for rule, split, place, score, of, detail in look(looked):
                row = int(at[split][place])
                found.append(
                    Finding(
                        split, row, rule, score, of=_as_came(of, at), detail=detail, key=key_of[split][place]
                    )
                )
    order = list(RULES)
    return sorted(
        decided(found, action_of),
        key=lambda one: (one.split != "train", one.split, one.row, order.index(one.rule)),
    )


def _as_came(of: str, at: Mapping[str, Index]) -> str:
    split, _, place = of.partition(":")
    return f"{split}:{at[split][int(place)]}" if of else ""


def _texts(looked: _Looked) -> FOUND:
    for name, examples in looked.source.splits.items():
        if not isinstance(examples.values, list):
            return
        for rule, found in (
            ("empty", texts.empty(examples.values)),
            ("too-long", texts.too_long(examples.values, looked.asked.longest)),
            ("encoding", texts.wrongly_encoded(examples.values)),
        ):
            yield from ((rule, name, place, score, "", detail) for place, score, detail in found)


def _languages(looked: _Looked) -> FOUND:
    if not looked.asked.languages:
        if "language" in looked.asked.rules:
            raise DataError(
                "rule language: name the languages that texts should be in, such as `--language en` or `clean.languages: [en]`"
            )
        return
    for name, examples in looked.source.splits.items():
        if not isinstance(examples.values, list):
            raise DataError("clean.languages is of texts, and these are none: take it out")
        shown = looked.track(examples.values, f"languages, texts of {name}", len(examples.values))
        for place, score, detail in languages.other_than(shown, looked.asked.languages):
            yield "language", name, place, score, "", detail


def _same(looked: _Looked) -> FOUND:
    for rule, place, score, of, detail in duplicates.same(looked.source.splits):
        yield rule, *place, score, f"{of[0]}:{of[1]}", detail


def _near(looked: _Looked) -> FOUND:
    for rule, place, score, of, detail in duplicates.near(
        looked.source.splits, looked.asked.near, looked.track
    ):
        yield rule, *place, score, f"{of[0]}:{of[1]}", detail


def _labels(looked: _Looked) -> FOUND:
    train = looked.source.splits["train"]
    if not looked.of_classes:
        looked.note(
            "label errors are of one class an example, and these labels are others: they were not looked for"
        )
        return
    given = looked.answers
    if given is None:
        looked.note(f"label errors: predictions out of fold for {len(train.labels):,} training examples")
        given = predictions.out_of_fold(train, seed=looked.asked.seed)
    if given is None:
        looked.note(
            "label errors: a class has one example, which no other could speak for: they were not looked for"
        )
        return
    for place, score, detail in predictions.label_errors(train.labels, given):
        likeliest = int(detail.rpartition(" ")[2])
        yield "label-error", "train", place, score, "", f"likeliest: {looked.source.classes[likeliest]}"


def _confidence(looked: _Looked) -> FOUND:
    if looked.answers is not None:
        for place, score, detail in predictions.low_confidence(looked.answers, looked.asked.confidence):
            yield "low-confidence", "train", place, score, "", detail


def _outliers(looked: _Looked) -> FOUND:
    for place, score, detail in predictions.outliers(
        looked.source.splits["train"].values, looked.asked.outlier
    ):
        yield "outlier", "train", place, score, "", detail


SEARCHES: Sequence[tuple[tuple[str, ...], Callable[[_Looked], FOUND]]] = (
    (("empty", "too-long", "encoding"), _texts),
    (("language",), _languages),
    (("duplicate", "contradiction", "leak"), _same),
    (("near-duplicate", "near-leak"), _near),
    (("label-error",), _labels),
    (("low-confidence",), _confidence),
    (("outlier",), _outliers),
)


def check_table(findings: Iterable[Finding], source: Source, where: str) -> None:
    """Raises DataError where `findings`, read from the table `where`, are not of `source`: rows that it has not, or other examples in them."""
    at = {name: {int(row): place for place, row in enumerate(rows)} for name, rows in origins(source).items()}
    key_of = {name: keys(one.values) for name, one in source.splits.items()}
    gone = {(name, place) for name, odd in source.left_out.items() for place, _, _ in odd}
    for one in findings:
        place = at.get(one.split, {}).get(one.row)
        if place is None and (one.split, one.row) not in gone:
            raise DataError(
                f"{where}: {one.split} has no row {one.row:,}: it was found in other data; look again with `edgecomp data clean`"
            )
        if place is not None and one.key and one.key != key_of[one.split][place]:
            raise DataError(
                f"{where}: row {one.row:,} of {one.split} is not the example that was found there: the data have changed; look again with `edgecomp data clean`"
            )


def cleaned(source: Source, findings: Sequence[Finding]) -> tuple[Source, list[str]]:
    """The `source` without what the `findings` remove, and a sentence of what went for each rule. Raises DataError where a whole class would go, or a
    split."""
    kept_by_user = {(one.split, one.row) for one in findings if one.action == KEEP}
    going = [one for one in findings if one.action == REMOVE and (one.split, one.row) not in kept_by_user]
    at, splits = origins(source), dict(source.splits)
    for name, examples in source.splits.items():
        rows = {one.row for one in going if one.split == name}
        stays = np.flatnonzero(~np.isin(at[name], list(rows)))
        if len(stays) < len(at[name]):
            _check_classes(name, examples, source.classes, stays, [one for one in going if one.split == name])
            splits[name] = chosen(examples, stays)
    return replace(
        source, splits=splits, left_out={}, notes=(*source.notes, *(notes := list(said(findings))))
    ), notes


def _check_classes(
    name: str, examples: Examples, classes: Sequence[str], stays: Index, going: Sequence[Finding]
) -> None:
    rules = ", ".join(dict.fromkeys(one.rule for one in going))
    if not len(stays):
        raise DataError(
            f"cleaning would remove all of the {name} split ({rules}): set those rules to report, or keep examples in the table"
        )
    if examples.labels.ndim != 1 or examples.labels.dtype.kind not in "iu":
        return
    if lost := sorted(set(examples.labels.tolist()) - set(examples.labels[stays].tolist())):
        called = classes[lost[0]] if lost[0] < len(classes) else str(lost[0])
        raise DataError(
            f"cleaning would remove every example of class {called!r} from the {name} split ({rules}): set those rules to report, or write `keep` as the action "
            "of some of its rows in the table of findings"
        )


def counts(findings: Sequence[Finding]) -> dict[str, dict[str, int]]:
    """By rule, in their order, how many `findings` there are, and how many examples go by it."""
    return {
        name: {
            "found": sum(one.rule == name for one in findings),
            "removed": sum(one.rule == name and one.action == REMOVE for one in findings),
        }
        for name in RULES
        if any(one.rule == name for one in findings)
    }


def said(findings: Sequence[Finding]) -> Iterator[str]:
    """A sentence for each rule that has `findings`: how many, and how many went."""
    for name, of in counts(findings).items():
        gone = f"{of['removed']:,} removed" if of["removed"] else "reported, none removed"
        yield f"cleaning, {name}: {of['found']:,} {RULES[name].title}; {gone}"
