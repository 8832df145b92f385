"""Recall at a fixed rate of false alarms: scikit-learn's curve is its oracle, and the bounds hold, ties or not."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_curve

from edgecomp.metrics.estimators.alarms import recall, strict_recall
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.missing import Impossible, NotFinite, NotMeasured, TooFewSamples
from edgecomp.stats.false_alarms import others_needed, recall_bounds

APART = 2.0  # of the alarms' scores from the others', in deviations


def drawn(seed: int, others: int, alarms: int, step: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    scores = np.concatenate([random.normal(0, 1, others), random.normal(APART, 1, alarms)])
    if step:
        scores = np.round(scores / step) * step
    return scores, np.arange(others + alarms) >= others


def true_recall(rate: float, step: float) -> float:
    """Of the scores' distribution, which with a step has its values at multiples of it."""
    if not step:
        return float(norm.sf(norm.isf(rate) - APART))
    edges = (np.arange(-60, 61) + 0.5) * step
    threshold = edges[norm.sf(edges) <= rate][0]
    return float(norm.sf(threshold - APART))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("step", [0.0, 0.25])
def test_the_estimate_is_scikit_learns(seed: int, step: float) -> None:
    scores, alarms = drawn(seed, 900, 120, step)
    false, true, _ = roc_curve(alarms, scores, drop_intermediate=False)
    estimate, lower, upper = recall_bounds(scores, alarms, 0.01, 0.95)
    assert estimate == pytest.approx(true[false <= 0.01].max())
    assert lower <= estimate <= upper


@pytest.mark.parametrize("step", [0.0, 0.25])
@pytest.mark.parametrize(("others", "alarms"), [(400, 60), (3000, 500)])
def test_each_bound_holds_in_95_of_100(others: int, alarms: int, step: float) -> None:
    true = true_recall(0.01, step)
    found = [recall_bounds(*drawn(seed, others, alarms, step), 0.01, 0.95) for seed in range(1000)]
    assert np.mean([lower > true for _, lower, _ in found]) <= 0.05
    assert np.mean([upper < true for _, _, upper in found]) <= 0.05


def test_more_examples_bound_it_closer() -> None:
    widths = []
    for count in (500, 5000, 50_000):
        _, lower, upper = recall_bounds(*drawn(0, count, count // 10), 0.01, 0.95)
        widths.append(upper - lower)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_too_few_others_bound_nothing_from_below() -> None:
    enough = others_needed(0.01, 0.95)
    assert enough == 368
    assert recall_bounds(*drawn(0, enough - 1, 50), 0.01, 0.95)[1] == 0
    assert recall_bounds(*drawn(0, enough, 50), 0.01, 0.95)[1] > 0


def measured(logits: np.ndarray, labels: np.ndarray, task: str, classes: list[str]) -> Measurements:
    arm = Arm({}, logits.astype(np.float32), {}, 1, {}, None)
    return Measurements(
        target="cpu", runtime="onnxruntime-cpu", arms={"student": arm}, student="student", labels=labels, offline_batch=1,
        facts={"task": task, "classes": classes},
    )  # fmt: skip


def test_one_number_two_numbers_and_several_labels_tell_the_same() -> None:
    scores, alarms = drawn(0, 2000, 200)
    of_one = recall(
        measured(scores[:, None], alarms.astype(int), "binary", ["calm", "alert"]), "student", 0.95
    )
    two = np.stack([-scores / 2, scores / 2], 1)
    of_two = recall(measured(two, alarms.astype(int), "classification", ["calm", "alert"]), "student", 0.95)
    assert of_one.estimate == of_two.estimate
    assert of_one.note.startswith("alert: 200 alarms and 2000 others")
    other = np.roll(scores, 1)
    several = measured(
        np.stack([scores, other], 1),
        np.stack([alarms, alarms], 1).astype(int),
        "multilabel",
        ["fire", "flood"],
    )
    worst = recall(several, "student", 0.95)
    assert worst.estimate <= of_one.estimate
    assert worst.low <= of_one.low


def test_what_cannot_be_told_is_said() -> None:
    scores, alarms = drawn(0, 2000, 200)
    labels = alarms.astype(int)
    with pytest.raises(
        TooFewSamples,
        match=r"2000 test examples are no alarm \(alert\), and cannot show a rate of 0.1 %: it takes 3688",
    ):
        strict_recall(measured(scores[:, None], labels, "binary", ["calm", "alert"]), "student", 0.95)
    with pytest.raises(NotMeasured, match=r"no test example is an alarm \(alert\)"):
        recall(measured(scores[:, None], 0 * labels, "binary", ["calm", "alert"]), "student", 0.95)
    with pytest.raises(Impossible, match="there are 3 classes"):
        recall(measured(np.zeros((2200, 3)), labels, "classification", ["a", "b", "c"]), "student", 0.95)
    with pytest.raises(NotMeasured, match="the evaluation set is empty"):
        recall(measured(np.zeros((0, 0)), labels[:0], "classification", []), "student", 0.95)
    scores[3] = np.nan
    with pytest.raises(NotFinite):
        recall(measured(scores[:, None], labels, "binary", ["calm", "alert"]), "student", 0.95)
