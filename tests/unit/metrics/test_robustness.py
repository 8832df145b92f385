"""Attacks, corruptions and training examples as figures: from answers that are known, and of many models that are nothing to be alarmed at."""

from typing import Any

import numpy as np
import pytest

from edgecomp.metrics.estimates import against, estimate
from edgecomp.metrics.measurements import Arm, Health, Measurements
from edgecomp.metrics.missing import NotFinite, NotMeasured

NO_LABELS = np.empty(0, np.int64)


def logits(answers: Any, sure: float = 3.0, classes: int = 4) -> Any:
    return (sure * np.eye(classes)[answers]).astype(np.float32)


def measured(
    labels: Any, member_labels: Any = NO_LABELS, why: str = "", **arms: dict[str, Any]
) -> Measurements:
    health = Health({"why": why}, labels, member_labels, arms)
    made = {name: Arm({}, np.zeros((1, 4), np.float32), {}, 0, {}, None) for name in arms}
    return Measurements(
        "here",
        "onnxruntime-cpu",
        made,
        labels,
        1,
        {"task": "classification"},
        student="student",
        health=health,
    )


def wrong(labels: Any, places: Any) -> Any:
    given = labels.copy()
    given[places] = (given[places] + 1) % 4
    return logits(given)


LABELS = np.arange(200) % 4
ONE = {
    "clean": wrong(LABELS, range(20)),
    "attack.fgsm": wrong(LABELS, range(60)),
    "attack.pgd": wrong(LABELS, range(40, 100)),
    "corruption.noise.1": wrong(LABELS, range(20)),
    "corruption.noise.5": wrong(LABELS, range(100)),
}


def test_an_example_counts_where_it_is_right_under_every_attack() -> None:
    of = measured(LABELS, student=ONE)
    right = estimate(of, "student", "adversarial_accuracy_pct", 0.95)
    assert right.estimate == pytest.approx(50)  # all but the first hundred
    assert "fgsm 70.0 %" in right.note
    held = estimate(of, "student", "attacks_withstood_pct", 0.95)
    assert (held.estimate, held.n) == (pytest.approx(100 * 100 / 180), 180)
    assert held.low is not None
    assert held.high is not None
    assert 48 < held.low < 55 < held.high < 63


def test_corruptions_are_a_mean_with_examples_as_the_sample() -> None:
    of = measured(LABELS, student=ONE, teacher=ONE | {"corruption.noise.5": wrong(LABELS, range(20))})
    found = estimate(of, "student", "corrupted_accuracy_pct", 0.95)
    assert (found.estimate, found.n) == (pytest.approx(70), 200)
    assert found.low is not None
    assert found.low < 70
    less = against(of, "student", "teacher", "corrupted_accuracy_pct", "points", 0.95)
    assert less.estimate == pytest.approx(-20)
    assert less.high is not None
    assert less.high < 0
    same = against(of, "teacher", "teacher", "corrupted_accuracy_pct", "points", 0.95)
    assert (same.estimate, same.low is not None and same.low < 0) == (0, True)


def test_against_a_teacher_examples_are_paired() -> None:
    of = measured(LABELS, student=ONE, teacher=ONE | {"attack.fgsm": wrong(LABELS, range(120))})
    found = against(of, "student", "teacher", "adversarial_accuracy_pct", "points", 0.95)
    assert found.estimate == pytest.approx(10)  # a hundred and eighty of two hundred against all but 120


def test_what_was_not_asked_not_run_or_not_finite_is_no_figure() -> None:
    of = measured(LABELS, student={"clean": ONE["clean"]})
    for metric, declared in (("adversarial_accuracy_pct", "attacks"), ("corrupted_accuracy_pct", "corruptions"), ("membership_advantage_pt", "membership")):  # fmt: skip
        with pytest.raises(NotMeasured, match=declared):
            estimate(of, "student", metric, 0.95)
        with pytest.raises(NotMeasured, match="not run: no GPU here"):
            estimate(
                measured(
                    LABELS,
                    LABELS,
                    why="no GPU here",
                ),
                "student",
                metric,
                0.95,
            )
    broken = ONE["attack.fgsm"].copy()
    broken[3, 1] = np.nan
    with pytest.raises(NotFinite, match=r"attack\.fgsm"):
        estimate(
            measured(LABELS, student=ONE | {"attack.fgsm": broken}), "student", "attacks_withstood_pct", 0.95
        )
    poor = {"clean": wrong(LABELS, range(190)), "attack.fgsm": ONE["clean"]}
    with pytest.raises(NotMeasured, match="10 of 200 examples are right before"):
        estimate(measured(LABELS, student=poor), "student", "attacks_withstood_pct", 0.95)


def guessed(seed: int, examples: int, memorised: float) -> Measurements:
    """A model that is as often right and as sure of training examples as of others, but of the share that it has memorised."""
    random = np.random.default_rng(seed)
    inside, outside = (random.integers(0, 4, examples) for _ in range(2))

    def answered(labels: Any, known: float) -> Any:
        drawn = logits(labels) + random.normal(0, 1.5, (examples, 4)).astype(np.float32)
        return np.where((random.random(examples) < known)[:, None], logits(labels, 30), drawn)

    asked = {"clean": answered(outside, 0), "members": answered(inside, memorised)}
    return measured(outside, inside, student=asked)


def test_a_model_that_memorised_is_told_from_three_hundred_that_did_not() -> None:
    found = estimate(guessed(0, 500, 0.5), "student", "membership_advantage_pt", 0.95)
    assert found.low is not None
    assert found.low > 30
    assert "training examples" in found.note
    clean = [
        estimate(guessed(seed, 500, 0), "student", "membership_advantage_pt", 0.95) for seed in range(300)
    ]
    assert sum(one.low is not None and one.low > 10 for one in clean) == 0
    assert (
        np.mean([one.low is not None and one.low > 0 for one in clean]) <= 0.085
    )  # 5 %, and chance over 300
    assert abs(np.mean([one.estimate for one in clean])) < 1  # choosing the threshold gives no advantage


def test_probabilities_and_one_logit_have_the_same_losses() -> None:
    base = guessed(1, 300, 0.3)
    assert base.health is not None
    given = base.health.answers["student"]
    apart = {name: np.exp(one) / np.exp(one).sum(axis=1, keepdims=True) for name, one in given.items()}
    as_probabilities = measured(base.labels, base.health.member_labels, student=apart)
    as_probabilities.facts["task"] = "probabilities"
    wanted = estimate(base, "student", "membership_advantage_pt", 0.95)
    assert estimate(as_probabilities, "student", "membership_advantage_pt", 0.95).estimate == wanted.estimate
    two = {name: one[:, :2] for name, one in given.items()}
    one = {name: (values[:, 1:] - values[:, :1]) for name, values in two.items()}
    labels, members = base.labels % 2, base.health.member_labels % 2
    of_two, of_one = measured(labels, members, student=two), measured(labels, members, student=one)
    of_one.facts["task"] = "binary"
    assert (
        estimate(of_one, "student", "membership_advantage_pt", 0.95).estimate
        == estimate(of_two, "student", "membership_advantage_pt", 0.95).estimate
    )
