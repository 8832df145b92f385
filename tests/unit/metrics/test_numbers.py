"""Scores of several labels and of numbers: estimates are scikit-learn's, and bounds cover what they say."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk

from edgecomp.metrics.estimates import against, estimate
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.missing import NotMeasured


def measured(task: str, labels: np.ndarray, **arms: np.ndarray) -> Measurements:
    found = {name: Arm({}, values.astype(np.float32), {}, 1, {"m": "0"}, 1) for name, values in arms.items()}
    return Measurements("t", "fake", found, labels, 1, {"task": task}, student="student")


def labelled(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, (count, 5))
    noisy = [(2 * labels - 1) + random.normal(0, spread, labels.shape) for spread in (0.8, 0.9)]
    return labels, noisy[0], noisy[1]


def numbers(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.normal(0, 2, (count, 1)).astype(np.float32)
    return labels, labels + random.normal(0, 1.0, labels.shape), labels + random.normal(0, 1.1, labels.shape)


def test_estimates_are_scikit_learns() -> None:
    labels, ours, theirs = labelled(0)
    of, answers = measured("multilabel", labels, student=ours, teacher=theirs), (ours > 0).astype(int)
    for metric, wanted in (
        ("micro_f1_pct", sk.f1_score(labels, answers, average="micro")),
        ("label_macro_f1_pct", sk.f1_score(labels, answers, average="macro")),
        ("exact_match_pct", sk.accuracy_score(labels, answers)),
    ):
        assert estimate(of, "student", metric, 0.95).estimate == pytest.approx(100 * wanted)
    labels, ours, theirs = numbers(0)
    of = measured("regression", labels, student=ours, teacher=theirs)
    for metric, wanted in (
        ("r2_pct", 100 * sk.r2_score(labels, ours)),
        ("mae_units", sk.mean_absolute_error(labels, ours)),
        ("rmse_units", sk.root_mean_squared_error(labels, ours)),
    ):
        assert estimate(of, "student", metric, 0.95).estimate == pytest.approx(wanted, rel=1e-4)
    found = against(of, "student", "teacher", "r2_pct", "points", 0.95)
    assert found.estimate == pytest.approx(
        100 * (sk.r2_score(labels, ours) - sk.r2_score(labels, theirs)), rel=1e-3
    )


def test_errors_are_told_in_the_labels_unit() -> None:
    labels, ours, _ = numbers(1)
    plain = measured("regression", labels, student=ours)
    scaled = replace(plain, facts=plain.facts | {"target_std": [74.8]})
    one, other = (estimate(of, "student", "mae_units", 0.95) for of in (plain, scaled))
    assert other.estimate == pytest.approx(74.8 * (one.estimate or 0))
    assert estimate(scaled, "student", "r2_pct", 0.95) == estimate(plain, "student", "r2_pct", 0.95)


@pytest.mark.parametrize(
    ("task", "metric", "made"), [("multilabel", "micro_f1_pct", labelled), ("regression", "r2_pct", numbers)]
)
def test_bounds_cover_the_truth_as_often_as_they_say(
    task: str, metric: str, made: Callable[[int, int], tuple[np.ndarray, ...]]
) -> None:
    """Of 60 samples a one-sided 95 % bound misses 3: 9 or more happen once in 500."""
    labels, ours, _ = made(10_000, 200_000)
    truth = 100 * (
        sk.r2_score(labels, ours) if task == "regression" else sk.f1_score(labels, ours > 0, average="micro")
    )
    missed = {"low": 0, "high": 0}
    for seed in range(60):
        labels, ours, _ = made(seed, 150)
        found = estimate(measured(task, labels, student=ours), "student", metric, 0.95)
        assert found.low is not None
        assert found.high is not None
        missed["low"] += found.low > truth
        missed["high"] += found.high < truth
    assert max(missed.values()) < 9, missed


def test_a_model_without_a_fault_is_not_known_to_have_none() -> None:
    labels, _, _ = labelled(2, 60)
    found = estimate(
        measured("multilabel", labels, student=(2.0 * labels - 1)), "student", "micro_f1_pct", 0.95
    )
    assert found.estimate == 100
    assert found.low is not None
    assert 90 < found.low < 100


def test_a_score_of_another_task_is_not_measured() -> None:
    labels, ours, _ = numbers(3)
    with pytest.raises(
        NotMeasured, match="is of classification, probabilities and binary, and the task is regression"
    ):
        estimate(measured("regression", labels, student=ours), "student", "accuracy_pct", 0.95)
