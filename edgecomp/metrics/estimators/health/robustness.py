"""How a classifier does when somebody means harm, or a sensor is dirty.

Estimators are (measured, arm_name, confidence) → Figure, comparators (measured, arm_name, reference, kind, confidence) → Figure, with kind `points`.
All of them read `measured.health`: answers to the first examples of the test split.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.metrics.estimators.common import of_bounds, proportion
from edgecomp.metrics.estimators.own_score import bounds_of_difference, bounds_of_mean
from edgecomp.metrics.measurements import Health, Logits, Measurements
from edgecomp.metrics.missing import NotFinite, NotMeasured
from edgecomp.stats import intervals as stats
from edgecomp.stats.figure import Figure

ATTACK, CORRUPTION, CLEAN = "attack.", "corruption.", "clean"
MEMBERS, KEYS = "members", "keys"
FEWEST_RIGHT = 20
"""Right answers that an attack needs, for a share of them to tell anything."""


def adversarial_accuracy(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """The share of examples that are right under each of the declared attacks, in per cent (the worst case by example, as Croce & Hein 2020,
    arXiv:2003.01690, have it). measured: of one target; arm_name: which arm; confidence: of each bound. Raises NotMeasured, NotFinite."""
    right = _unturned(measured, arm_name)
    found = proportion(int(right.sum()), len(right), confidence)
    return found.model_copy(update={"note": _each(measured, arm_name)})


def adversarial_accuracy_against(
    measured: Measurements, arm_name: str, reference: str, kind: str, confidence: float
) -> Figure:
    """The difference of that share from the `reference`'s, each attacked by its own gradients, example by example, in points. measured: of one target;
    arm_name: which arm; kind: `points`; confidence: of each bound. Raises NotMeasured, NotFinite."""
    _in_points(kind)
    ours, theirs = (_unturned(measured, name) for name in (arm_name, reference))
    wins, losses = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
    return of_bounds(
        stats.difference_bounds(wins, losses, len(ours), confidence), 100, kind, len(ours), confidence
    )


def attacks_withstood(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """Of the examples that are right as they are, the share that is right under each of the declared attacks as well, in per cent. measured: of one
    target; arm_name: which arm; confidence: of each bound. Raises NotMeasured, NotFinite."""
    before, right = _right(measured, arm_name, CLEAN), _unturned(measured, arm_name)
    if before.sum() < FEWEST_RIGHT:
        raise NotMeasured(
            f"{before.sum()} of {len(before)} examples are right before any attack: it takes {FEWEST_RIGHT}"
        )
    found = proportion(int((before & right).sum()), int(before.sum()), confidence)
    return found.model_copy(update={"note": _each(measured, arm_name)})


def corrupted_accuracy(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """Accuracy on corrupted inputs, in per cent: the mean over the declared corruptions, their severities and the examples, which alone are the sample
    (Hendrycks & Dietterich 2019, arXiv:1903.12261). measured: of one target; arm_name: which arm; confidence: of each bound. Raises NotMeasured, NotFinite."""
    shares = _shares(measured, arm_name)
    bounds = bounds_of_mean(shares, confidence, ends=(0, 1))
    return of_bounds(bounds, 100, "percent", len(shares), confidence).model_copy(
        update={"note": _worst_corruption(measured, arm_name)}
    )


def corrupted_accuracy_against(
    measured: Measurements, arm_name: str, reference: str, kind: str, confidence: float
) -> Figure:
    """The difference of that mean from the `reference`'s, example by example, in points. measured: of one target; arm_name: which arm; kind: `points`;
    confidence: of each bound. Raises NotMeasured, NotFinite."""
    _in_points(kind)
    ours, theirs = (_shares(measured, name) for name in (arm_name, reference))
    return of_bounds(
        bounds_of_difference(ours, theirs, confidence, ends=(0, 1)), 100, kind, len(ours), confidence
    )


def accuracies(measured: Measurements, arm_name: str, named: str) -> dict[str, float]:
    """By what was asked, the accuracy in per cent, of what is called so. measured: of one target; arm_name: which arm; named: how its name begins,
    ATTACK or CORRUPTION. Raises NotMeasured, NotFinite."""
    asked = [name for name in _answers(measured, arm_name) if name.startswith(named)]
    return {name.removeprefix(named): 100 * float(_right(measured, arm_name, name).mean()) for name in asked}


def _unturned(measured: Measurements, arm_name: str) -> npt.NDArray[np.bool_]:
    """Of each example, whether it is right as it is and under every attack."""
    attacks = [name for name in _answers(measured, arm_name) if name.startswith(ATTACK)]
    if not attacks:
        raise NotMeasured("no attack is declared (health.attacks)")
    every = [_right(measured, arm_name, name) for name in (CLEAN, *attacks)]
    return np.asarray(np.all(every, axis=0))


def _each(measured: Measurements, arm_name: str) -> str:
    before, found = _right(measured, arm_name, CLEAN), accuracies(measured, arm_name, ATTACK)
    told = (f"{name} {share:.1f} %" for name, share in found.items())
    return f"accuracy {100 * before.mean():.1f} % as they are; under {', '.join(told)}"


def _shares(measured: Measurements, arm_name: str) -> stats.Values:
    """Of each example, the share of corruptions and severities that it is right under."""
    asked = [name for name in _answers(measured, arm_name) if name.startswith(CORRUPTION)]
    if not asked:
        raise NotMeasured("no corruption is declared (health.corruptions)")
    return np.asarray(np.mean([_right(measured, arm_name, name) for name in asked], axis=0))


def _worst_corruption(measured: Measurements, arm_name: str) -> str:
    by_name: dict[str, list[float]] = {}
    for name, share in accuracies(measured, arm_name, CORRUPTION).items():
        by_name.setdefault(name.partition(".")[0], []).append(share)
    worst = min(by_name, key=lambda name: float(np.mean(by_name[name])))
    clean = 100 * _right(measured, arm_name, CLEAN).mean()
    return f"{clean:.1f} % as they are; worst with {worst}: {np.mean(by_name[worst]):.1f} %"


def _right(measured: Measurements, arm_name: str, asked: str) -> npt.NDArray[np.bool_]:
    labels = health_of(measured).labels
    return np.asarray(measured.task.answers(given(measured, arm_name, asked)) == labels)


def given(measured: Measurements, arm_name: str, asked: str) -> Logits:
    """What an arm answered, [examples, classes]. measured: of one target; arm_name: which arm; asked: what, as Health has it. Raises NotMeasured, NotFinite."""
    found: Logits | None = _answers(measured, arm_name).get(asked)
    if found is None or not len(found):
        raise NotMeasured(f"{arm_name} was not asked that: {asked}")
    if not np.isfinite(found).all():
        raise NotFinite(f"{arm_name} gave logits that are not finite ({asked})")
    return found


def _answers(measured: Measurements, arm_name: str) -> Mapping[str, Any]:
    health = health_of(measured)
    if not health.answers and (why := health.facts.get("why")):
        raise NotMeasured(f"not run: {why}")
    found = health.answers.get(arm_name)
    if found is None:
        raise NotMeasured(f"{arm_name} was not asked about its health")
    return found


def health_of(measured: Measurements) -> Health:
    """What was asked of the model's health. measured: of one target. Raises NotMeasured."""
    if measured.health is None:
        raise NotMeasured("the recipe asks nothing of the model's health (health)")
    return measured.health


def _in_points(kind: str) -> None:
    if kind != "points":
        raise NotMeasured("it is compared in points")
