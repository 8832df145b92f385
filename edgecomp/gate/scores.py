"""Scores of the answers to the test examples: of one model, or of two on the same examples."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecomp.gate.missing import Impossible, NotFinite, NotMeasured
from edgecomp.gate.verdict import Estimate
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.stats import intervals as stats

SEED = 0  # of the bootstrap: the same measurements give the same verdict

TEACHER, BASELINE = "teacher", "baseline"
AGREEMENT = {"teacher_agreement_pct": TEACHER, "baseline_agreement_pct": BASELINE}

# Metrics that are a score of the answers on the test split.
SCORES: dict[str, stats.Score] = {"accuracy_pct": stats.accuracy, "macro_f1_pct": stats.macro_f1}

# Metrics that are the worst of a score by group of examples.
GROUPS: dict[str, Callable[[Measurements], npt.NDArray[Any] | None]] = {
    "worst_recall_pct": lambda measured: measured.labels,
    "worst_slice_pct": lambda measured: measured.slices,
}

COMPARED = {*SCORES, *GROUPS}
FLIPS = "negative_flips_pct"
"""Yan et al. 2021, Positive-congruent training, arXiv:2011.09161."""
KNOWN = {*COMPARED, *AGREEMENT, FLIPS}


class Group(NamedTuple):
    """places: of its examples, int64."""

    name: str
    places: stats.Labels


def score(measured: Measurements, arm_name: str, metric: str, confidence: float) -> Estimate:
    """A metric in KNOWN of one arm, in per cent. Raises NotMeasured."""
    given, labels = answers(measured, arm_name), measured.labels
    if metric in SCORES:
        classes = measured.arms[arm_name].logits.shape[1]
        bounds = stats.score_bounds(SCORES[metric], labels, given, classes, confidence=confidence, seed=SEED)
        return score_of(bounds, 100, "percent", len(given), confidence)
    if metric in GROUPS:
        return _worst_group(given == labels, _groups(measured, metric), confidence)
    if metric == FLIPS:
        flips = (answers(measured, BASELINE) == labels) & (given != labels)
        return proportion(int(flips.sum()), len(given), confidence)
    same = given == answers(measured, AGREEMENT[metric])
    return proportion(int(same.sum()), len(given), confidence)


def against(
    measured: Measurements, arm_name: str, reference: str, metric: str, kind: str, confidence: float
) -> Estimate:
    """A metric in COMPARED of one arm against another's, on the same examples: `multiple` or `points`. Raises NotMeasured."""
    given, wanted = answers(measured, arm_name), answers(measured, reference)
    classes, compare = measured.arms[arm_name].logits.shape[1], np.subtract if kind == "points" else np.divide

    def bounds(score: stats.Score, of: Any, confidence: float) -> stats.Bounds:
        return stats.paired_bounds(
            score,
            compare,
            measured.labels[of],
            given[of],
            wanted[of],
            classes,
            confidence=confidence,
            seed=SEED,
        )

    def difference(of: Any, confidence: float) -> stats.Bounds:
        right, expected = given[of] == measured.labels[of], wanted[of] == measured.labels[of]
        wins, losses = int((right & ~expected).sum()), int((~right & expected).sum())
        return stats.difference_bounds(wins, losses, len(right), confidence)

    factor = 100 if kind == "points" else 1
    if metric == "accuracy_pct" and kind == "points":
        return score_of(difference(slice(None), confidence), factor, kind, len(given), confidence)
    if metric in SCORES:
        return score_of(bounds(SCORES[metric], slice(None), confidence), factor, kind, len(given), confidence)
    groups = _groups(measured, metric)
    of_group = difference if kind == "points" else partial(bounds, stats.accuracy)
    found = [
        (*of_group(group.places, confidence)[:2], of_group(group.places, each_of(groups, confidence))[2])
        for group in groups
    ]

    def told(group: Group) -> str:
        right, expected = (
            int((one[group.places] == measured.labels[group.places]).sum()) for one in (given, wanted)
        )
        return f"{group.name}: {right} of {len(group.places)} right, {reference} {expected}"

    return _worst(found, groups, factor, kind, confidence, told)


def _worst_group(hits: npt.NDArray[np.bool_], groups: list[Group], confidence: float) -> Estimate:
    found = []
    for group in groups:
        right, count = int(hits[group.places].sum()), len(group.places)
        lower, _ = stats.proportion_bounds(right, count, confidence)
        _, upper = stats.proportion_bounds(right, count, each_of(groups, confidence))
        found.append((right / count, lower, upper))
    return _worst(
        found,
        groups,
        100,
        "percent",
        confidence,
        lambda group: f"{group.name}: {hits[group.places].sum()} of {len(group.places)} right",
    )


def _worst(
    found: list[stats.Bounds],
    groups: list[Group],
    factor: float,
    dimension: str,
    confidence: float,
    told: Callable[[Group], str],
) -> Estimate:
    """The figure of groups that must all be good; its note says which is the worst, and how it does."""
    worst = groups[min(range(len(groups)), key=lambda place: found[place][0])]
    whole = score_of(stats.worst(found), factor, dimension, len(worst.places), confidence)
    return replace(whole, note=told(worst))


def each_of(groups: list[Group], confidence: float) -> float:
    """Of each group's upper bound: that one of several groups is bad must not be said because there are several."""
    return 1 - (1 - confidence) / len(groups)


def _groups(measured: Measurements, metric: str) -> list[Group]:
    """The examples of each class, or of each slice. Raises NotMeasured."""
    of = GROUPS[metric](measured)
    if of is None:
        raise NotMeasured("the examples have no slices: a column `slice` names the one that each is of")

    def name(value: Any) -> str:
        return f"slice {value}" if metric == "worst_slice_pct" else f"class {class_name(measured, value)}"

    return [Group(name(value), np.flatnonzero(of == value)) for value in np.unique(of)]


def class_name(measured: Measurements, index: int) -> str:
    """Its name where the data told, else its number."""
    named = measured.facts.get("classes", ())
    return str(named[index]) if index < len(named) else str(index)


def answers(measured: Measurements, arm_name: str) -> stats.Labels:
    """The class each example was given, int64 [examples]. Raises NotMeasured, Impossible, NotFinite."""
    check_finite(measured.facts)
    logits, labels = arm_of(measured, arm_name).logits, measured.labels
    if len(labels) == 0:
        raise NotMeasured("the evaluation set is empty: there are no labelled examples")
    widths = {arm.logits.shape[1:] for arm in measured.arms.values()}
    if logits.ndim != 2 or logits.shape[1] < 2 or len(widths) > 1:
        raise Impossible(f"logits of shape {sorted(widths)} an example are no answers to one question")
    if labels.ndim != 1 or labels.dtype.kind != "i" or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise Impossible(f"the labels are not one class of {logits.shape[1]} for each example")
    if logits.shape[0] != len(labels):
        raise NotMeasured(f"{arm_name} answered {logits.shape[0]} of {len(labels)} examples")
    if not np.isfinite(logits).all():
        raise NotFinite(f"{arm_name} gave logits that are not finite")
    return np.asarray(logits.argmax(axis=1), np.int64)


def check_finite(facts: Mapping[str, Any]) -> None:
    """Raises NotFinite where any output of a model that is compared holds what is no number: one is judged, and all are used."""
    told = [
        f"the {arm}'s output {name} holds {what}"
        for arm, outputs in facts.get("not_finite", {}).items()
        for name, what in outputs.items()
    ]
    made_up = ", of inputs that were made up (--data gives real ones)" if facts.get("made_up") else ""
    if told:
        raise NotFinite(f"{', and '.join(told)}{made_up}")


def arm_of(measured: Measurements, name: str) -> Arm:
    if name not in measured.arms:
        raise NotMeasured(f"{name} was not measured under {measured.target}")
    return measured.arms[name]


def score_of(bounds: stats.Bounds, factor: float, dimension: str, count: int, confidence: float) -> Estimate:
    point, lower, upper = (factor * value for value in bounds)
    if not np.isfinite([point, lower, upper]).all():
        raise NotFinite("the reference's score is 0, or may be: nothing is a multiple of that")
    return Estimate(point, lower, upper, dimension, count, "examples", confidence)


def proportion(hits: int, count: int, confidence: float) -> Estimate:
    if count == 0:
        raise NotMeasured("no examples were compared")
    if not 0 <= hits <= count:
        raise Impossible(f"{hits} of {count} examples is no share")
    lower, upper = stats.proportion_bounds(hits, count, confidence)
    return Estimate(100 * hits / count, 100 * lower, 100 * upper, "percent", count, "examples", confidence)
