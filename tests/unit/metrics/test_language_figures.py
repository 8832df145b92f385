"""Figures of text that is given and of text that is generated, against the same by hand."""

from dataclasses import replace

import numpy as np
import pytest

from edgecomp.metrics.estimates import estimate
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.missing import NotFinite, NotMeasured
from edgecomp.metrics.samples import GENERATION_WALL, TOKEN_CPU, TOKEN_WALL
from edgecomp.tasks.base import IGNORED

N, LENGTH = 60, 12
RANDOM = np.random.default_rng(0)
LABELS = np.where(RANDOM.random((N, LENGTH)) < 0.2, IGNORED, RANDOM.integers(0, 9, (N, LENGTH)))


def arm(loss: float, seed: int, ms: float = 10) -> Arm:
    draw = np.random.default_rng(seed)
    told = np.stack([-draw.gamma(2, loss / 2, (N, LENGTH)), draw.integers(0, 9, (N, LENGTH))], 2).astype(
        np.float32
    )
    samples = {
        TOKEN_WALL: np.full((5, 4), ms * 1e6, np.int64),
        TOKEN_CPU: np.full((5, 4), ms * 2e6, np.int64),
        GENERATION_WALL: np.full((5, 4), ms * 20e6, np.int64),
    }
    return Arm(samples, told, {}, 1, {}, 1)


MEASURED = Measurements(
    "t",
    "openvino-genai",
    {"teacher": arm(2.0, 1), "student_int8": arm(2.3, 2, 5)},
    LABELS,
    0,
    {"task": "causal-lm", "new_tokens": 16},
)


def test_a_tokens_loss_and_perplexity_are_those_of_what_is_judged() -> None:
    judged = LABELS != IGNORED
    losses = {
        name: -MEASURED.arms[name].logits[..., 0][judged].mean(dtype=np.float64) for name in MEASURED.arms
    }
    found = estimate(MEASURED, "student_int8", "token_loss_nats", 0.95)
    assert found.estimate == pytest.approx(losses["student_int8"], rel=1e-6)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.estimate < found.high
    ratio = estimate(MEASURED, "student_int8", "perplexity_ratio", 0.95)
    assert ratio.estimate == pytest.approx(np.exp(losses["student_int8"] - losses["teacher"]), rel=1e-6)
    assert ratio.dimension == "multiple"
    assert estimate(MEASURED, "teacher", "perplexity_ratio", 0.95).high == pytest.approx(1, abs=1e-3)


def test_agreement_is_of_the_likeliest_tokens_at_places_that_are_judged() -> None:
    judged = LABELS != IGNORED
    ours, theirs = (MEASURED.arms[name].logits[..., 1] for name in ("student_int8", "teacher"))
    found = estimate(MEASURED, "student_int8", "token_agreement_pct", 0.95)
    assert found.estimate == pytest.approx(100 * (ours == theirs)[judged].mean())
    right = estimate(MEASURED, "student_int8", "next_token_pct", 0.95)
    assert right.estimate == pytest.approx(100 * (ours == LABELS)[judged].mean())


def test_speed_is_by_restart() -> None:
    assert estimate(MEASURED, "student_int8", "tpot_p50_ms", 0.95).estimate == pytest.approx(5)
    assert estimate(MEASURED, "student_int8", "tpot_cpu_p50_ms", 0.95).estimate == pytest.approx(10)
    assert estimate(MEASURED, "student_int8", "token_throughput_p50_per_s", 0.95).estimate == pytest.approx(
        160
    )


def test_a_token_of_no_probability_is_no_figure() -> None:
    told = MEASURED.arms["student_int8"].logits.copy()
    told[..., 0] = -np.inf
    arms = {**MEASURED.arms, "student_int8": replace(MEASURED.arms["student_int8"], logits=told)}
    with pytest.raises(NotFinite, match="no probability"):
        estimate(replace(MEASURED, arms=arms), "student_int8", "perplexity_ratio", 0.95)


def test_other_tasks_have_no_perplexity() -> None:
    with pytest.raises(NotMeasured, match="is of causal-lm"):
        estimate(replace(MEASURED, facts={}), "student_int8", "perplexity_ratio", 0.95)


def test_in_a_comparison_figures_are_over_the_baseline() -> None:
    arms = {"baseline": MEASURED.arms["teacher"], "candidate": MEASURED.arms["student_int8"]}
    compared = Measurements("t", "openvino-genai", arms, LABELS, 0, MEASURED.facts)
    for metric in ("perplexity_ratio", "token_agreement_pct"):
        found, wanted = (
            estimate(of, arm, metric, 0.95)
            for of, arm in ((compared, "candidate"), (MEASURED, "student_int8"))
        )
        assert found == wanted
        assert found != estimate(compared, "baseline", metric, 0.95)
