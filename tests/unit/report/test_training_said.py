"""Each way in which distillation fails is named, and none in clean trainings."""

import math

import numpy as np
import pytest

from edgecomp.report.training_said import FAILURES, Trainings, alarms, failures

Epochs = list[dict[str, float]]
TERMS = ("soft-labels", "hard-labels", "features-mse of a")


def clean(random: np.random.Generator) -> Trainings:
    """A teacher, and a student that comes near it, with the noise of a validation split."""
    examples, epochs = int(10 ** random.uniform(2, 4.5)), int(random.integers(1, 40))
    best, chance, speed = random.uniform(60, 99), random.uniform(1, 50), random.uniform(0.3, 3)
    behind, explained = random.uniform(-0.5, 6), random.uniform(0.5, 0.99)

    def seen(share: float) -> float:
        return 100 * random.binomial(examples, min(max(share, 0.0), 100.0) / 100) / examples

    student: Epochs = []
    for epoch in range(epochs):
        gone = 1 - math.exp(-speed * (epoch + 1))
        true = chance + (best - behind - chance) * gone
        loss = 0.2 + 3 * (1 - gone)
        student.append(
            {
                "loss": loss,
                "validation_score_pct": seen(true),
                "agreement_pct": seen(true),
                "agreement_on_mistakes_pct": 30 + 20 * gone + random.normal(0, 3),
                "loss: soft-labels": loss * math.exp(random.normal(0, 0.03)),
                "loss: hard-labels": 0.3 * loss * math.exp(random.normal(0, 0.03)),
                "loss: features-mse of a": (1.2 - gone) * math.exp(random.normal(0, 0.03)),
                "cka: a": 0.9 * gone,
                "explained: a": explained * gone,
                "explainable: a": explained,
            }
        )
    return Trainings([{"loss": 0.1, "validation_score_pct": seen(best)}], student, examples, TERMS)


def test_nothing_is_said_of_300_clean_trainings() -> None:
    random = np.random.default_rng(0)
    assert [said for _ in range(300) for said in failures(clean(random))] == []


def good(**more: list[float]) -> Trainings:
    scores = [60.0, 80.0, 88.0, 89.0, 90.0, 90.0]
    student = [
        {"loss": 1 / (place + 1), "validation_score_pct": score, "loss: soft-labels": 1 / (place + 1)}
        for place, score in enumerate(scores)
    ]
    for name, values in more.items():
        for epoch, value in zip(student, values, strict=True):
            epoch[{"hidden": "loss: features-mse of a", "explained": "explained: a", "explainable": "explainable: a",
                   "mistakes": "agreement_on_mistakes_pct", "score": "validation_score_pct", "kl": "loss: soft-labels"}[name]] = value  # fmt: skip
    return Trainings([{"loss": 0.1, "validation_score_pct": 92.0}], student, 2000, TERMS)


PLANTED = {
    "over-imitation": good(score=[60, 80, 90, 86, 82, 78], mistakes=[10, 20, 30, 40, 50, 60]),
    "idle projection": good(explained=[0.0] * 6, explainable=[0.8] * 6),
    "narrow projection": good(explained=[0.1] * 6, explainable=[0.12] * 6),
    "still term": good(hidden=[0.5, 0.5001, 0.4999, 0.5, 0.5, 0.5]),
    "unstable divergence": good(kl=[1, 0.2, 0.9, 0.1, 0.8, 0.3]),
    "weak teacher": good()._replace(teacher=[{"loss": 1, "validation_score_pct": 80.0}]),
    "wide gap": good(score=[30, 50, 62, 63, 63, 63]),
}


@pytest.mark.parametrize("name", FAILURES)
def test_each_failure_is_seen_alone(name: str) -> None:
    said = {row: rule(PLANTED[name]) for row, rule in FAILURES.items()}
    assert [row for row, found in said.items() if found] == [name]
    assert said[name] == failures(PLANTED[name])[0]


def test_nothing_is_said_where_nothing_was_trained() -> None:
    assert failures(good()) == []
    assert failures(good()._replace(student=[{"validation_score_pct": 90.0}])) == []
    assert failures(Trainings([], [], 0, ())) == []


def test_an_alarm_is_told_once_with_the_epoch_that_raised_it() -> None:
    history: Epochs = [{"loss": 1}, {"loss": 1, "alarm: stuck_loss": 1}, {"loss": 1, "alarm: stuck_loss": 1}]
    assert alarms({"student": history, "teacher": [{"loss": 1}]}) == [
        "student, epoch 2: the loss did not move"
    ]


def test_what_an_early_stage_learnt_and_what_needs_no_projection_are_no_failures() -> None:
    learnt_first = good(explained=[0.4, 0.7, 0.1, 0.02, 0.01, 0.01], explainable=[0.8] * 6)
    assert failures(learnt_first) == []
    assert (
        failures(good(explainable=[0.12] * 6)) == []
    )  # relations are compared: there is no map of the layer
