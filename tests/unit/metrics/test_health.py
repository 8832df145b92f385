"""How sure a classifier is of its answers, from logits of each kind; and whether it answers slices alike, beside fairlearn."""

from typing import Any

import numpy as np
import pytest

from edgecomp.metrics.estimators.health.calibration import FEWEST, calibration_error, sureness
from edgecomp.metrics.estimators.health.fairness import demographic_parity, equalised_odds
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.missing import Impossible, NotMeasured

LABELS = np.arange(FEWEST) % 2


def measured(outputs: Any, task: str = "classification", labels: Any = LABELS) -> Measurements:
    arm = Arm({}, np.asarray(outputs, np.float32), {}, 0, {}, None)
    return Measurements(
        "here", "onnxruntime-cpu", {"student": arm}, labels, 1, {"task": task}, student="student"
    )


def test_logits_of_any_kind_say_how_sure_they_are() -> None:
    odds = np.log(3.0)
    two = np.stack([np.where(LABELS == 0, odds, 0.0), np.where(LABELS == 1, odds, 0.0)], axis=1)
    for given, task in (
        (two, "classification"),
        (two + 500, "classification"),  # that the exponential of would be infinite
        (np.where(LABELS == 1, odds, -odds)[:, None], "binary"),
        (np.where(two > 0, 0.75, 0.25), "probabilities"),
    ):
        sure, right = sureness(measured(given, task), "student")
        assert sure == pytest.approx(np.full(FEWEST, 0.75), abs=1e-5)  # of float32 at 500
        assert right.all()
    figure = calibration_error(measured(two), "student", 0.95)
    assert figure.estimate == pytest.approx(25, abs=0.1)  # always right, and sure of it at 75 %
    assert figure.low is not None
    assert figure.high is not None
    assert 20 < figure.low < figure.estimate < figure.high < 30


def test_what_is_no_probability_and_what_is_too_few() -> None:
    with pytest.raises(Impossible, match="not from 0 to 1"):
        calibration_error(measured(np.full((FEWEST, 2), 2.0), "probabilities"), "student", 0.95)
    with pytest.raises(NotMeasured, match=f"199 test examples .* it takes {FEWEST}"):
        calibration_error(measured(np.zeros((199, 2)), labels=LABELS[:199]), "student", 0.95)


def in_slices(given: Any, labels: Any, slices: Any, classes: int = 2) -> Measurements:
    arm = Arm({}, np.eye(classes, dtype=np.float32)[given], {}, 0, {}, None)
    return Measurements(
        "here", "onnxruntime-cpu", {"student": arm}, labels, 1, {"task": "classification"}, student="student", slices=slices
    )  # fmt: skip


def drawn(seed: int, examples: int, favoured: float, classes: int = 2) -> tuple[Any, Any, Any]:
    """Answers, labels and slices; slice b is given the last class by so much oftener."""
    random = np.random.default_rng(seed)
    labels, slices = random.integers(0, classes, examples), random.choice(["a", "b", "c"], examples)
    given = np.where(random.random(examples) < 0.85, labels, random.integers(0, classes, examples))
    return (
        np.where((slices == "b") & (random.random(examples) < favoured), classes - 1, given),
        labels,
        slices,
    )


@pytest.mark.parametrize("seed", range(5))
def test_gaps_are_fairlearns(seed: int) -> None:
    fairlearn = pytest.importorskip("fairlearn.metrics", reason="it is in the extra `test`")
    given, labels, slices = drawn(seed, 300, 0.3)
    ours = in_slices(given, labels, slices)
    parity = fairlearn.demographic_parity_difference(labels, given, sensitive_features=slices)
    odds = fairlearn.equalized_odds_difference(labels, given, sensitive_features=slices)
    assert demographic_parity(ours, "student", 0.95).estimate == pytest.approx(100 * parity)
    assert equalised_odds(ours, "student", 0.95).estimate == pytest.approx(100 * odds)


def test_a_biased_one_is_told_from_three_hundred_that_are_not() -> None:
    biased = in_slices(*drawn(0, 600, 0.5))
    for gap in (demographic_parity, equalised_odds):
        found = gap(biased, "student", 0.95)
        assert found.low is not None
        assert found.low > 10
        assert "in slice b" in found.note
        clean = [gap(in_slices(*drawn(seed, 600, 0.0)), "student", 0.95) for seed in range(300)]
        assert sum(one.low is not None and one.low > 10 for one in clean) == 0


@pytest.mark.parametrize("favoured", [0.0, 0.3])
def test_the_bounds_cover_the_widest_gap(favoured: float) -> None:
    """Of which the true one is known: slice b is favoured among those who are not given the last class anyway."""
    found = [
        demographic_parity(in_slices(*drawn(seed, 400, favoured)), "student", 0.95) for seed in range(300)
    ]
    true = 100 * favoured * 0.5
    assert np.mean([one.low > true + 1e-9 for one in found if one.low is not None]) <= 0.05
    assert np.mean([one.high < true for one in found if one.high is not None]) <= 0.05


def test_one_slice_and_a_slice_of_three() -> None:
    given, labels, _ = drawn(1, 300, 0.0)
    with pytest.raises(NotMeasured, match="of one slice"):
        demographic_parity(in_slices(given, labels, np.full(300, "a")), "student", 0.95)
    few = np.where(np.arange(300) < 3, "few", "many")
    found = equalised_odds(in_slices(given, labels, few), "student", 0.95)
    assert found.low is not None
    assert found.high is not None
    assert found.low == 0 or found.low < 10
    assert found.high > 60  # it tells nothing: a check of it is undecided
