"""Scores of the answers to the test examples: of one model, or of two on the same examples.

Estimators are (measured, arm_name, confidence) → Figure; comparators are (measured, arm_name, reference, kind, confidence) → Figure,
with kind `points` (a difference) or `multiple`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecomp import arms
from edgecomp.metrics import comparison
from edgecomp.metrics.estimators.common import arm_of, check_finite, finite, of_bounds, proportion
from edgecomp.metrics.measurements import Logits, Measurements
from edgecomp.metrics.missing import Impossible, NotFinite, NotMeasured
from edgecomp.stats import intervals as stats
from edgecomp.stats.figure import Figure, exact

SEED = 0  # of the bootstrap: the same measurements give the same verdict

TEACHER, BASELINE = arms.TEACHER.name, comparison.BASELINE

Estimator = Callable[[Measurements, str, float], Figure]
Comparator = Callable[[Measurements, str, str, str, float], Figure]


class Group(NamedTuple):
    """places: of its examples, int64."""

    name: str
    places: stats.Labels


Groups = Callable[[Measurements], list[Group]]


def _of_score(scored: stats.Score | None) -> Estimator:
    """scored: None: the macro F1 of the tail, which the labels tell."""

    def estimated(measured: Measurements, arm_name: str, confidence: float) -> Figure:
        given = answers(measured, arm_name)
        score = scored or _tail_macro_f1(measured)
        classes = len_of_classes(measured, arm_name)
        bounds = stats.score_bounds(score, measured.labels, given, classes, confidence=confidence, seed=SEED)
        return of_bounds(bounds, 100, "percent", len(given), confidence)

    return estimated


def _of_worst(groups: Groups) -> Estimator:
    def estimated(measured: Measurements, arm_name: str, confidence: float) -> Figure:
        hits, found = answers(measured, arm_name) == measured.labels, groups(measured)
        bounds = []
        for group in found:
            right, count = int(hits[group.places].sum()), len(group.places)
            lower, _ = stats.proportion_bounds(right, count, confidence)
            _, upper = stats.proportion_bounds(right, count, each_of(found, confidence))
            bounds.append((right / count, lower, upper))

        def told(group: Group) -> str:
            return f"{group.name}: {hits[group.places].sum()} of {len(group.places)} right"

        return _worst(bounds, found, 100, "percent", confidence, told)

    return estimated


def _of_agreement(other: str) -> Estimator:
    def estimated(measured: Measurements, arm_name: str, confidence: float) -> Figure:
        given, wanted = (outputs(measured, name) for name in (arm_name, other))
        if given.shape != wanted.shape:
            raise NotMeasured(
                f"outputs of shape {list(given.shape[1:])} are not held against {other}'s, {list(wanted.shape[1:])}"
            )
        same = measured.task.agreeing(given, wanted)
        return proportion(int(same.sum()), len(same), confidence)

    return estimated


def negative_flips(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """Right in the baseline, wrong here, in per cent of examples (Yan et al. 2021, Positive-congruent
    training, arXiv:2011.09161). measured: of a comparison; arm_name: the candidate's; confidence: of each
    bound. Raises NotMeasured, Impossible, NotFinite."""
    given, labels = answers(measured, arm_name), measured.labels
    flips = (answers(measured, BASELINE) == labels) & (given != labels)
    return proportion(int(flips.sum()), len(given), confidence)


def validation_drop(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """Points that integers cost on the validation split, exactly. measured: of one target; arm_name: the
    student's; confidence: told with the figure. Raises NotMeasured, NotFinite."""
    drop = measured.facts.get("validation_drop_pt")
    if arm_name != measured.student or drop is None:
        raise NotMeasured("known of a student that was trained through its integers only")
    return exact(finite("the drop", drop), "points", confidence)


def old_task_drop(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """Points of accuracy lost on the classes that a student knew before it learnt new ones, on the test examples of these.

    measured: of one target, whose facts say what was known; arm_name: which arm; confidence: of each bound. Raises NotMeasured, Impossible,
    NotFinite.
    """
    known = measured.facts.get("known_before")
    if known is None:
        raise NotMeasured("nothing was known before: distill.lifelong names old classes")
    places, before = np.asarray(known["examples"], np.int64), np.asarray(known["right"], bool)
    if (
        len(places) == 0
        or len(places) != len(before)
        or places.min() < 0
        or places.max() >= len(measured.labels)
    ):
        raise NotMeasured("what was known before is of other examples")
    now = (answers(measured, arm_name) == measured.labels)[places]
    gained, lost = int((now & ~before).sum()), int((~now & before).sum())
    return of_bounds(
        stats.difference_bounds(lost, gained, len(places), confidence), 100, "points", len(places), confidence
    )


class _Pair:
    """Two models' answers to the same examples. Raises NotMeasured, Impossible, NotFinite."""

    def __init__(self, measured: Measurements, arm_name: str, reference: str, kind: str) -> None:
        self.given, self.wanted = answers(measured, arm_name), answers(measured, reference)
        self.labels, self.classes = measured.labels, len_of_classes(measured, arm_name)
        self.compare: Any = np.subtract if kind == "points" else np.divide
        self.factor = 100 if kind == "points" else 1

    def score(self, score: stats.Score, of: Any, confidence: float) -> stats.Bounds:
        return stats.paired_bounds(
            score,
            self.compare,
            self.labels[of],
            self.given[of],
            self.wanted[of],
            self.classes,
            confidence=confidence,
            seed=SEED,
        )

    def difference(self, of: Any, confidence: float) -> stats.Bounds:
        right, expected = self.given[of] == self.labels[of], self.wanted[of] == self.labels[of]
        wins, losses = int((right & ~expected).sum()), int((~right & expected).sum())
        return stats.difference_bounds(wins, losses, len(right), confidence)


def _tail_macro_f1(measured: Measurements) -> stats.Score:
    return partial(stats.macro_f1, of=stats.tail(measured.labels))


def _scores_against(scored: stats.Score | None) -> Comparator:
    def compared(
        measured: Measurements, arm_name: str, reference: str, kind: str, confidence: float
    ) -> Figure:
        pair, score = _Pair(measured, arm_name, reference, kind), scored or _tail_macro_f1(measured)
        bounds = (
            pair.difference(slice(None), confidence)
            if score is stats.accuracy and kind == "points"
            else pair.score(score, slice(None), confidence)
        )
        return of_bounds(bounds, pair.factor, kind, len(pair.given), confidence)

    return compared


def _worst_against(groups: Groups) -> Comparator:
    def compared(
        measured: Measurements, arm_name: str, reference: str, kind: str, confidence: float
    ) -> Figure:
        pair, found = _Pair(measured, arm_name, reference, kind), groups(measured)
        of_group = pair.difference if kind == "points" else partial(pair.score, stats.accuracy)
        bounds = [
            (*of_group(group.places, confidence)[:2], of_group(group.places, each_of(found, confidence))[2])
            for group in found
        ]

        def told(group: Group) -> str:
            right, expected = (
                int((one[group.places] == pair.labels[group.places]).sum())
                for one in (pair.given, pair.wanted)
            )
            return f"{group.name}: {right} of {len(group.places)} right, {reference} {expected}"

        return _worst(bounds, found, pair.factor, kind, confidence, told)

    return compared


def _worst(
    found: list[stats.Bounds],
    groups: list[Group],
    factor: float,
    dimension: str,
    confidence: float,
    told: Callable[[Group], str],
) -> Figure:
    """The figure of groups that must all be good; its note says which is the worst, and how it does."""
    worst = groups[min(range(len(groups)), key=lambda place: found[place][0])]
    whole = of_bounds(stats.worst(found), factor, dimension, len(worst.places), confidence)
    return whole.model_copy(update={"note": told(worst)})


def each_of(groups: list[Group], confidence: float) -> float:
    """The confidence of each group's upper bound, where all of them together shall have `confidence`: that
    one of several groups is bad must not be said because there are several. By Bonferroni's correction."""
    return 1 - (1 - confidence) / len(groups)


def _classes(measured: Measurements) -> list[Group]:
    return _groups(measured.labels, lambda value: f"class {class_name(measured, value)}")


def _slices(measured: Measurements) -> list[Group]:
    if measured.slices is None:
        raise NotMeasured("the examples have no slices: a column `slice` names the one that each is of")
    return _groups(measured.slices, lambda value: f"slice {value}")


def _groups(of: npt.NDArray[Any], named: Callable[[Any], str]) -> list[Group]:
    return [Group(named(value), np.flatnonzero(of == value)) for value in np.unique(of)]


def class_name(measured: Measurements, index: int) -> str:
    """The name of the class `index` where the data told, else its number. measured: of one target, whose
    facts have the names."""
    named = measured.facts.get("classes", ())
    return str(named[index]) if index < len(named) else str(index)


def len_of_classes(measured: Measurements, arm_name: str) -> int:
    """How many classes the outputs of an arm have, two at least. measured: of one target; arm_name: which
    arm."""
    return max(2, int(measured.arms[arm_name].logits.shape[1]))


def answers(measured: Measurements, arm_name: str) -> npt.NDArray[Any]:
    """What each example was answered, as labels are written: int64 [examples] of classes. measured: of one
    target; arm_name: by which arm. Raises NotMeasured, Impossible, NotFinite."""
    return measured.task.answers(outputs(measured, arm_name))


def outputs(measured: Measurements, arm_name: str) -> Logits:
    """Every test example's outputs, [examples, ...], that fit the labels. measured: of one target; arm_name:
    of which arm. Raises NotMeasured, Impossible, NotFinite."""
    check_finite(measured.facts)
    found, labels = arm_of(measured, arm_name).logits, measured.labels
    if len(labels) == 0:
        raise NotMeasured("the evaluation set is empty: there are no labelled examples")
    widths = {arm.logits.shape[1:] for arm in measured.arms.values()}
    if len(widths) > 1 and measured.task.width(measured.facts.get("classes", ())) is not None:
        raise Impossible(f"logits of shape {sorted(widths)} an example are no answers to one question")
    if why := measured.task.misfit(found, labels):
        raise Impossible(why)
    if found.shape[0] != len(labels):
        raise NotMeasured(f"{arm_name} answered {found.shape[0]} of {len(labels)} examples")
    if not np.isfinite(found).all():
        raise NotFinite(f"{arm_name} gave logits that are not finite")
    return found


def exact_match(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """The share of examples whose every label is right, in per cent. measured: of one target; arm_name: which
    arm; confidence: of each bound. Raises NotMeasured, Impossible, NotFinite."""
    right = _exact(measured, arm_name)
    return proportion(int(right.sum()), len(right), confidence)


def exact_match_against(
    measured: Measurements, arm_name: str, reference: str, kind: str, confidence: float
) -> Figure:
    """The difference of that share from that of the `reference`, example by example, in points only.
    measured: of one target; arm_name: which arm; kind: `points`; confidence: of each bound. Raises
    NotMeasured, Impossible, NotFinite."""
    if kind != "points":
        raise NotMeasured("it is compared in points")
    right, expected = _exact(measured, arm_name), _exact(measured, reference)
    wins, losses = int((right & ~expected).sum()), int((~right & expected).sum())
    return of_bounds(
        stats.difference_bounds(wins, losses, len(right), confidence), 100, kind, len(right), confidence
    )


def _exact(measured: Measurements, arm_name: str) -> npt.NDArray[np.bool_]:
    return np.asarray((answers(measured, arm_name) == measured.labels).all(axis=1))


accuracy, accuracy_against = _of_score(stats.accuracy), _scores_against(stats.accuracy)
macro_f1, macro_f1_against = _of_score(stats.macro_f1), _scores_against(stats.macro_f1)
tail_macro_f1, tail_macro_f1_against = _of_score(None), _scores_against(None)
worst_class, worst_class_against = _of_worst(_classes), _worst_against(_classes)
worst_slice, worst_slice_against = _of_worst(_slices), _worst_against(_slices)
teacher_agreement, baseline_agreement = _of_agreement(TEACHER), _of_agreement(BASELINE)
