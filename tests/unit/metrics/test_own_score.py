"""A score of the user's own: its mean, its difference, and an accuracy written so is judged as ours is."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecomp.config.policy import Threshold
from edgecomp.gate.judge import judge_check
from edgecomp.gate.verdict import Reason, Verdict
from edgecomp.metrics.comparison import BASELINE, CANDIDATE
from edgecomp.metrics.estimates import against, estimate
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.missing import Impossible, NotMeasured

CLASSES = 3


def measured(
    labels: npt.NDArray[np.int64], scores: dict[str, npt.NDArray[np.float64]], **given: npt.NDArray[np.int64]
) -> Measurements:
    """given: by arm, the class that is answered."""
    empty = np.empty((0, 0), np.float32)
    arms = {
        arm: Arm({}, np.eye(CLASSES, dtype=np.float32)[given[arm]] if arm in given else empty, {}, 1, {}, None, scores=of)
        for arm, of in scores.items()
    }  # fmt: skip
    return Measurements("t", "onnxruntime-cpu", arms, labels, 1, {}, CANDIDATE)


@given(
    st.lists(st.tuples(*[st.integers(0, CLASSES - 1)] * 3), min_size=1, max_size=300),
    st.sampled_from([0.9, 0.95, 0.99]),
)
def test_an_accuracy_written_as_a_score_has_the_paired_test_of_ours(
    rows: list[tuple[int, int, int]], confidence: float
) -> None:
    labels, base, new = np.array(rows).T
    scores = {BASELINE: (base == labels) * 1.0, CANDIDATE: (new == labels) * 1.0}
    on = measured(labels, scores, baseline=base, candidate=new)
    own = against(on, CANDIDATE, BASELINE, "score", "points", confidence)
    ours = against(on, CANDIDATE, BASELINE, "accuracy_pct", "points", confidence)
    assert [100 * end for end in (own.estimate, own.low, own.high)] == pytest.approx(
        [ours.estimate, ours.low, ours.high]
    )  # type: ignore[operator]
    assert own.n == ours.n


def verdict(scores: dict[str, npt.NDArray[np.float64]], margin: str) -> tuple[Verdict, Reason]:
    row = Threshold.model_validate({"metric": "score", "against": "baseline", "margin": margin})
    check = judge_check("t", "score", row, measured(np.empty(0, np.int64), scores))
    return check.verdict, check.reason


def test_a_score_of_any_unit_is_held_to_a_margin_in_it() -> None:
    base = np.random.default_rng(0).normal(-250, 40, 2000)
    assert verdict({BASELINE: base, CANDIDATE: base}, "5 score") == (Verdict.PASS, Reason.WITHIN_LIMIT)
    assert verdict({BASELINE: 100 * base, CANDIDATE: 100 * base}, "500 score")[0] is Verdict.PASS
    assert verdict({BASELINE: base, CANDIDATE: base - 10}, "5 score") == (Verdict.FAIL, Reason.OVER_LIMIT)
    assert verdict({BASELINE: base, CANDIDATE: base - 4.9}, "5 score")[0] is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("size", [1e-4, 0.0])
def test_a_margin_that_no_answers_could_break_proves_nothing(size: float) -> None:
    base = 0.5 + size * np.random.default_rng(0).random(400)
    assert verdict({BASELINE: base, CANDIDATE: base}, "0.01 score") == (
        Verdict.INCONCLUSIVE,
        Reason.UNTELLING,
    )


def test_two_models_without_a_fault_are_not_known_to_be_equal() -> None:
    right = np.ones(100)
    assert verdict({BASELINE: right, CANDIDATE: right}, "0.01 score")[0] is Verdict.INCONCLUSIVE
    assert verdict({BASELINE: np.ones(1000), CANDIDATE: np.ones(1000)}, "0.01 score")[0] is Verdict.PASS


def test_its_mean_is_a_figure_and_what_nobody_scored_is_none() -> None:
    values = np.random.default_rng(0).random(500)
    on = measured(np.empty(0, np.int64), {CANDIDATE: values})
    found = estimate(on, CANDIDATE, "score", 0.95)
    assert found.estimate == pytest.approx(values.mean())
    assert found.low is not None
    assert found.high is not None
    assert found.low < values.mean() < found.high
    with pytest.raises(NotMeasured, match="no score function was named"):
        estimate(measured(np.zeros(1, np.int64), {CANDIDATE: np.empty(0)}), CANDIDATE, "score", 0.95)


def test_scores_of_other_examples_are_impossible() -> None:
    for scores in (np.ones(3), np.ones((4, 1))):
        with pytest.raises(Impossible, match="are not one of each of 4 examples"):
            estimate(measured(np.zeros(4, np.int64), {CANDIDATE: scores}), CANDIDATE, "score", 0.95)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"against": "baseline", "margin": "5 %"}, "by their difference"),
        ({"against": "baseline", "margin": "-1 score"}, "by their difference"),
        ({"against": "baseline", "min": "1 x"}, "nothing is a multiple of a score"),
        ({"min": "80 %"}, "score is in score"),
    ],
)
def test_limits_in_another_unit_are_refused(row: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Threshold.model_validate({"metric": "score"} | row)


def test_a_score_may_be_below_zero() -> None:
    assert Threshold.model_validate({"metric": "score", "min": "-0.5 score"}).limit.value == -0.5
