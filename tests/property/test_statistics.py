"""Properties of the gate's statistics: what they equal, what they cover, and which way they may move."""

import math
from collections.abc import Callable
from functools import cache

import judging
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from sklearn.metrics import accuracy_score, f1_score

from edgecomp.config.policy import Threshold
from edgecomp.gate.judge import decide, judge_check
from edgecomp.gate.verdict import Verdict
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.stats import intervals as stats
from edgecomp.stats import order_statistics
from edgecomp.stats.figure import Figure

settings.register_profile("statistics", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("statistics")

Labels = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

# A bound that covers as promised fails a simulation this rarely; the seeds are fixed, so it never flickers.
RARELY = 1e-3
# 4,000 draws place a 95 % quantile to ± 0.34 points (one standard error).
BOOTSTRAP_SLACK = 0.01
BETTER = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1, Verdict.PASS: 2}

confidences = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.975, 0.99, 0.999])
figures = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
restarts = st.lists(figures, min_size=1, max_size=25).map(np.array)


def fewer_draws(monkeypatch: pytest.MonkeyPatch, draws: int) -> None:
    """For simulations: the bootstrap's own noise is then a little larger, its coverage the same."""
    monkeypatch.setattr(stats, "BOOTSTRAP_DRAWS", draws)


# The median across restarts


@pytest.mark.parametrize("count", range(5, 13))
@pytest.mark.parametrize("draw", ["lognormal", "pareto", "standard_cauchy", "standard_exponential"])
def test_bounds_on_the_median_cover_it_however_skewed_the_values_are(draw: str, count: int) -> None:
    random = np.random.default_rng(count)
    sample: Callable[..., Values] = getattr(random, draw)
    arguments = {"lognormal": (0.0, 2.0), "pareto": (0.7,)}.get(draw, ())
    median = {"lognormal": 1.0, "pareto": 2 ** (1 / 0.7) - 1, "standard_cauchy": 0.0}.get(draw, math.log(2))
    trials = 250
    bounds = [order_statistics.median_bounds(sample(*arguments, size=count), 0.95) for _ in range(trials)]
    under = sum(lower is not None and lower <= median for lower, _ in bounds)
    over = sum(upper is not None and upper >= median for _, upper in bounds)
    assert binom.cdf(under, trials, 0.95) > RARELY
    assert binom.cdf(over, trials, 0.95) > RARELY


@given(count=st.integers(1, 80), confidence=confidences)
def test_bounds_on_the_median_are_the_tightest_order_statistics_that_cover(
    count: int, confidence: float
) -> None:
    lower, upper = order_statistics.median_bounds(np.arange(1, count + 1, dtype=float), confidence)
    if lower is None or upper is None:
        assert 1 - 0.5**count < confidence
        return

    def covers(rank: int) -> float:
        return float(sum(math.comb(count, k) for k in range(rank, count + 1)) / 2**count)

    assert covers(int(lower)) >= confidence - 1e-12
    assert covers(int(lower) + 1) < confidence + 1e-12
    assert upper == count + 1 - lower


@given(confidence=st.floats(0.5, 0.99999))
def test_restarts_needed_is_where_bounds_on_the_median_begin(confidence: float) -> None:
    needed = order_statistics.restarts_needed(confidence)
    assert order_statistics.median_bounds(np.zeros(needed), confidence) == (0, 0)
    assert order_statistics.median_bounds(np.zeros(needed - 1), confidence) == (None, None)


@given(values=restarts, confidence=confidences, factor=st.sampled_from([2.0**-20, 0.5, 8.0, 2.0**30]))
def test_bounds_on_the_median_change_unit_with_the_values(
    values: Values, confidence: float, factor: float
) -> None:
    lower, upper = order_statistics.median_bounds(values, confidence)
    scaled = (None, None) if lower is None or upper is None else (factor * lower, factor * upper)
    assert order_statistics.median_bounds(factor * values, confidence) == scaled


@given(values=restarts, confidence=confidences)
def test_bounds_on_the_median_treat_both_sides_alike(values: Values, confidence: float) -> None:
    lower, upper = order_statistics.median_bounds(values, confidence)
    mirrored = (None, None) if lower is None or upper is None else (-upper, -lower)
    assert order_statistics.median_bounds(-values, confidence) == mirrored
    assert order_statistics.median_bounds(values[::-1], confidence) == (lower, upper)


@given(values=restarts, worse=st.lists(st.floats(0, 1e6), min_size=25, max_size=25), confidence=confidences)
def test_slower_restarts_never_lower_the_bounds(
    values: Values, worse: list[float], confidence: float
) -> None:
    lower, upper = order_statistics.median_bounds(values, confidence)
    if lower is None or upper is None:
        reject()
    slower_lower, slower_upper = order_statistics.median_bounds(values + worse[: len(values)], confidence)
    assert slower_lower is not None
    assert slower_upper is not None
    assert slower_lower >= lower
    assert slower_upper >= upper


@given(percentile=st.sampled_from([90.0, 95.0, 99.0, 99.9]), confidence=st.sampled_from([0.9, 0.99]))
def test_fewer_samples_than_needed_can_all_lie_under_the_percentile(
    percentile: float, confidence: float
) -> None:
    needed = order_statistics.samples_needed(percentile, confidence)
    assert (percentile / 100) ** needed <= 1 - confidence < (percentile / 100) ** (needed - 1)


# Proportions


@st.composite
def proportions(draw: st.DrawFn) -> tuple[int, int]:
    count = draw(st.integers(1, 2000))
    return draw(st.integers(0, count) | st.sampled_from([0, count])), count


@given(proportion=proportions(), confidence=confidences)
def test_bounds_on_a_proportion_are_those_of_scipy(proportion: tuple[int, int], confidence: float) -> None:
    hits, count = proportion
    lower, upper = stats.proportion_bounds(hits, count, confidence)
    more = binomtest(hits, count, alternative="greater").proportion_ci(confidence, "exact")
    less = binomtest(hits, count, alternative="less").proportion_ci(confidence, "exact")
    assert lower == pytest.approx(more.low, abs=1e-9)
    assert upper == pytest.approx(less.high, abs=1e-9)


@given(
    count=st.integers(1, 60), rate=st.integers(0, 10_000).map(lambda n: n / 10_000), confidence=confidences
)
@settings(max_examples=40)
def test_bounds_on_a_proportion_cover_it_at_every_rate(count: int, rate: float, confidence: float) -> None:
    hits = np.arange(count + 1)
    bounds = np.array([stats.proportion_bounds(int(k), count, confidence) for k in hits])
    chance = binom.pmf(hits, count, rate)
    assert chance[bounds[:, 0] <= rate + 1e-9].sum() >= confidence - 1e-6
    assert chance[bounds[:, 1] >= rate - 1e-9].sum() >= confidence - 1e-6


# Scores


@st.composite
def answered(draw: st.DrawFn, classes: int | None = None) -> tuple[Labels, Labels, Labels, int]:
    """Labels, a candidate's and a reference's answers, and the number of classes."""
    classes = classes or draw(st.integers(2, 6))
    count = draw(st.integers(1, 40))
    column = st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)
    labels, candidate, reference = (np.array(draw(column), np.int64) for _ in range(3))
    return labels, candidate, reference, classes


@given(data=answered(), seed=st.integers(0, 1000))
def test_scores_are_those_of_scikit_learn_in_every_draw(
    data: tuple[Labels, Labels, Labels, int], seed: int
) -> None:
    labels, predicted, _, classes = data
    count = len(labels)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=3)
    weights = np.vstack([np.ones(count, int), draws])
    accuracies = stats.accuracy(labels, predicted, weights.astype(float), classes)
    f1s = stats.macro_f1(labels, predicted, weights.astype(float), classes)
    for row, found_accuracy, found_f1 in zip(weights, accuracies, f1s, strict=True):
        truth, answer = np.repeat(labels, row), np.repeat(predicted, row)
        assert found_accuracy == pytest.approx(accuracy_score(truth, answer))
        assert found_f1 == pytest.approx(f1_score(truth, answer, average="macro", zero_division=0))


@given(data=answered(classes=4), order=st.permutations(range(4)))
def test_scores_do_not_depend_on_how_classes_are_numbered(
    data: tuple[Labels, Labels, Labels, int], order: list[int]
) -> None:
    labels, predicted, _, classes = data
    ones, renamed = np.ones((1, len(labels))), np.array(order)
    for score in (stats.accuracy, stats.macro_f1):
        assert score(renamed[labels], renamed[predicted], ones, classes) == pytest.approx(
            score(labels, predicted, ones, classes)
        )


def points(candidate: Values, reference: Values) -> Values:
    return candidate - reference


def paired(
    score: stats.Score, labels: Labels, candidate: Labels, reference: Labels, classes: int, confidence: float
) -> tuple[float, float, float]:
    return stats.paired_bounds(
        score, points, labels, candidate, reference, classes, confidence=confidence, seed=0
    )


@given(data=answered())
@settings(max_examples=25)
@pytest.mark.parametrize("score", [stats.accuracy, stats.macro_f1])
def test_swapping_candidate_and_reference_negates_a_difference(
    score: stats.Score, data: tuple[Labels, Labels, Labels, int]
) -> None:
    labels, candidate, reference, classes = data
    point, lower, upper = paired(score, labels, candidate, reference, classes, 0.95)
    swapped, swapped_lower, swapped_upper = paired(score, labels, reference, candidate, classes, 0.95)
    assert swapped == -point
    # The two pseudo-pairs change places, and the draws do not: the bounds agree but for the draws' noise,
    # which with few examples is one example's worth.
    noise = 0.1 * (upper - lower) + 1 / len(labels)
    assert swapped_lower == pytest.approx(-upper, abs=noise)
    assert swapped_upper == pytest.approx(-lower, abs=noise)


@given(data=answered(), pick=st.integers(0, 1000))
@settings(max_examples=25)
@pytest.mark.parametrize("score", [stats.accuracy, stats.macro_f1])
def test_one_more_wrong_answer_never_improves_a_score_or_its_bounds(
    score: stats.Score, data: tuple[Labels, Labels, Labels, int], pick: int
) -> None:
    labels, candidate, reference, classes = data
    right = np.flatnonzero(labels == candidate)
    assume(len(right) > 0)
    spoilt = candidate.copy()
    at = right[pick % len(right)]
    spoilt[at] = (labels[at] + 1 + pick % (classes - 1)) % classes
    before = paired(score, labels, candidate, reference, classes, 0.95)
    after = paired(score, labels, spoilt, reference, classes, 0.95)
    assert all(worse <= better + 1e-12 for worse, better in zip(after, before, strict=True))
    single = [
        stats.score_bounds(score, labels, answers, classes, confidence=0.95, seed=0)
        for answers in (spoilt, candidate)
    ]
    assert all(worse <= better + 1e-12 for worse, better in zip(*single, strict=True))


@given(data=answered(), confidence=st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=25)
def test_bounds_enclose_the_estimate_and_have_a_width(
    data: tuple[Labels, Labels, Labels, int], confidence: float
) -> None:
    labels, candidate, reference, classes = data
    for score in (stats.accuracy, stats.macro_f1):
        for answers in (reference, candidate):
            point, lower, upper = paired(score, labels, candidate, answers, classes, confidence)
            assert lower <= point <= upper
            assert lower < upper


def test_classes_without_examples_do_not_widen_a_difference() -> None:
    """Two models that answer all of 445 examples rightly are within a few points, whatever other classes exist."""
    labels = np.delete(np.repeat([0, 1, 2, 3, 4, 6, 7, 8, 9], 50), slice(200, 205))
    _, lower, upper = paired(stats.macro_f1, labels, labels, labels, 10, 0.95)
    assert upper - lower < 0.03


# Coverage of the bootstrap bounds. An accuracy depends on counts alone, so its coverage is a finite sum.


COUNT = 120


def losing(losses: int) -> tuple[Labels, Labels, Labels]:
    """Labels, candidate and reference, where the candidate alone is wrong `losses` times."""
    labels = np.arange(COUNT, dtype=np.int64) % 2
    candidate = labels.copy()
    candidate[:losses] = 1 - candidate[:losses]
    return labels, candidate, labels.copy()


@cache
def lower_bounds_by_losses() -> tuple[Values, Values]:
    """Lower bounds on the difference of accuracies, and on the candidate's own, after 0, 1, … losses."""
    differences, singles = [], []
    for losses in range(16):
        labels, candidate, reference = losing(losses)
        differences.append(paired(stats.accuracy, labels, candidate, reference, 2, 0.95)[1])
        singles.append(stats.score_bounds(stats.accuracy, labels, candidate, 2, confidence=0.95, seed=0)[1])
    return np.array(differences), np.array(singles)


@pytest.mark.parametrize("expected_losses", [0.5, 1.5, 2.2, 2.9, 4.0, 5.5])
def test_lower_bounds_on_accuracy_and_its_difference_cover_a_candidate_that_only_loses(
    expected_losses: float,
) -> None:
    rate = expected_losses / COUNT
    chance = binom.pmf(np.arange(16), COUNT, rate)
    differences, singles = lower_bounds_by_losses()
    covered = [chance[differences <= -rate + 1e-12].sum(), chance[singles <= 1 - rate + 1e-12].sum()]
    assert min(covered) >= 0.95 - BOOTSTRAP_SLACK


def world(
    count: int, rates: tuple[float, float, float], random: np.random.Generator
) -> tuple[Labels, Labels, Labels]:
    """Three classes (50, 35 and 15 %); both models wrong, only the candidate, only the reference: at `rates`."""
    labels = random.choice(3, size=count, p=[0.5, 0.35, 0.15])
    fate = random.choice(4, size=count, p=[*rates, 1 - sum(rates)])
    wrong = (labels + random.integers(1, 3, size=count)) % 3
    return labels, np.where(fate <= 1, wrong, labels), np.where((fate == 0) | (fate == 2), wrong, labels)


@pytest.mark.parametrize("rates", [(0.02, 0.01, 0.0), (0.1, 0.05, 0.05)])
def test_lower_bounds_on_macro_f1_and_its_difference_cover(
    rates: tuple[float, float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer_draws(monkeypatch, 600)
    random = np.random.default_rng(1)
    labels, candidate, reference = world(1_000_000, rates, random)
    ones = np.ones((1, len(labels)))
    truth = stats.macro_f1(labels, candidate, ones, 3)[0]
    difference = truth - stats.macro_f1(labels, reference, ones, 3)[0]
    trials, single, double = 200, 0, 0
    for _ in range(trials):
        labels, candidate, reference = world(100, rates, random)
        double += paired(stats.macro_f1, labels, candidate, reference, 3, 0.95)[1] <= difference
        bounds = stats.score_bounds(stats.macro_f1, labels, candidate, 3, confidence=0.95, seed=0)
        single += bounds[1] <= truth
    assert binom.cdf(double, trials, 0.95) > RARELY
    assert binom.cdf(single, trials, 0.95) > RARELY


# From an estimate to a verdict

bounds = st.tuples(figures, figures, figures).map(sorted)


def estimated(lower: float, value: float, upper: float) -> Figure:
    return judging.figure(value, lower, upper)


@given(bounds=bounds, limit=figures)
def test_a_row_passes_only_where_its_whole_interval_is_on_the_good_side(
    bounds: list[float], limit: float
) -> None:
    lower, _, upper = bounds
    found = estimated(*bounds)
    below, above = decide(found, limit, "below")[0], decide(found, limit, "above")[0]
    assert (below is Verdict.PASS) == (upper <= limit)
    assert (below is Verdict.FAIL) == (lower > limit)
    assert (above is Verdict.PASS) == (lower >= limit)
    assert (above is Verdict.FAIL) == (upper < limit)


@given(bounds=bounds, limit=figures, worse=st.floats(0, 1e6))
def test_a_worse_estimate_or_a_harder_limit_never_improves_a_verdict(
    bounds: list[float], limit: float, worse: float
) -> None:
    before = decide(estimated(*bounds), limit, "below")[0]
    slower = decide(estimated(*(bound + worse for bound in bounds)), limit, "below")[0]
    harder = decide(estimated(*bounds), limit - worse, "below")[0]
    assert BETTER[slower] <= BETTER[before]
    assert BETTER[harder] <= BETTER[before]


@given(
    bounds=bounds,
    limit=figures,
    at=st.integers(0, 2),
    broken=st.sampled_from([math.nan, math.inf, -math.inf]),
)
def test_an_estimate_that_is_not_finite_never_passes(
    bounds: list[float], limit: float, at: int, broken: float
) -> None:
    bounds = [*bounds[:at], broken, *bounds[at + 1 :]]
    for passes in ("below", "above"):
        assert decide(estimated(*bounds), limit, passes)[0] is not Verdict.PASS


@given(bounds=bounds)
def test_a_limit_that_is_not_finite_never_passes(bounds: list[float]) -> None:
    for limit in (math.nan, math.inf, -math.inf):
        for passes in ("below", "above"):
            assert decide(estimated(*bounds), limit, passes)[0] is not Verdict.PASS


# From samples to a verdict

wall_ns = st.lists(
    st.lists(st.integers(1_000, 10_000_000), min_size=4, max_size=4), min_size=1, max_size=8
).map(np.array)


def timed(samples: npt.NDArray[np.int64]) -> Arm:
    return Arm(
        samples={"single_stream_wall_ns": samples},
        logits=np.zeros((0, 2), np.float32),
        memory={},
        file_size_bytes=1,
        file_sha256={},
        parameter_bytes=1,
    )


def verdict_on_latency(
    student: npt.NDArray[np.int64], teacher: npt.NDArray[np.int64], limit: dict[str, str]
) -> Verdict:
    measured = Measurements(
        target="here",
        runtime="some",
        arms={"student_int8": timed(student), "teacher": timed(teacher)},
        labels=np.zeros(0, np.int64),
        offline_batch=1,
        facts={},
    )
    return judge_check(
        "here", "row", Threshold.model_validate({"metric": "latency_p50_ms", **limit}), measured
    ).verdict


RELATIVE = {"against": "teacher", "max": "0.8 x"}


@given(student=wall_ns, slower=st.integers(1, 10_000_000))
def test_a_slower_student_never_gets_a_better_row(student: npt.NDArray[np.int64], slower: int) -> None:
    teacher = np.full_like(student, 3_000_000)
    for limit in (RELATIVE, {"max": "3 ms"}):
        before = verdict_on_latency(student, teacher, limit)
        assert BETTER[verdict_on_latency(student + slower, teacher, limit)] <= BETTER[before]


@given(student=wall_ns, factor=st.sampled_from([2, 4, 1024]), seed=st.integers(0, 100))
def test_a_slower_machine_does_not_change_a_comparison(
    student: npt.NDArray[np.int64], factor: int, seed: int
) -> None:
    teacher = np.random.default_rng(seed).integers(1_000, 10_000_000, size=student.shape)
    before = verdict_on_latency(student, teacher, RELATIVE)
    assert verdict_on_latency(student * factor, teacher * factor, RELATIVE) is before
    in_ms = verdict_on_latency(student, teacher, {"max": "2 ms"})
    assert verdict_on_latency(student * factor, teacher, {"max": f"{2 * factor} ms"}) is in_ms


@given(ours=st.integers(1, 9), theirs=st.integers(1, 9))
def test_restarts_without_a_partner_never_pass(ours: int, theirs: int) -> None:
    """A ratio is taken within a restart: one reference restart does not stand for five."""
    assume(ours != theirs)
    verdict = verdict_on_latency(np.full((ours, 4), 1_000), np.full((theirs, 4), 9_000), RELATIVE)
    assert verdict is not Verdict.PASS


# A difference of paired proportions


@pytest.mark.parametrize("confidence", [0.95, 0.99, 0.999])
@pytest.mark.parametrize("count", [80, 400, 2000])
@pytest.mark.parametrize("won", [0.0, 0.005, 0.03])
@pytest.mark.parametrize("loss", [0.01, 0.05])
def test_a_difference_at_its_margin_is_called_better_no_more_often_than_it_says(
    loss: float, won: float, count: int, confidence: float
) -> None:
    """Right for the candidate only with probability `won`, for the reference only with `won + loss`: the difference is -loss."""
    random, trials = np.random.default_rng(0), 20_000
    cells = random.multinomial(count, [won, won + loss, 1 - 2 * won - loss], size=trials)
    pairs, times = np.unique(cells[:, :2], axis=0, return_counts=True)
    bounds = [stats.difference_bounds(int(wins), int(losses), count, confidence) for wins, losses in pairs]
    over = sum(n for (_, lower, _), n in zip(bounds, times, strict=True) if lower > -loss)
    under = sum(n for (_, _, upper), n in zip(bounds, times, strict=True) if upper < -loss)
    # The two are put together by approximation: a tenth more, where that is so.
    allowed = (1 - confidence) * (1.0 if won == 0 else 1.1)
    assert binom.sf(over - 1, trials, allowed) > RARELY, over / trials
    assert binom.sf(under - 1, trials, allowed) > RARELY, under / trials


@pytest.mark.parametrize("confidence", [0.95, 0.999])
@pytest.mark.parametrize("won", [0.15, 0.25, 0.35])
def test_models_that_often_disagree_are_told_apart_no_more_often_than_it_says(
    won: float, confidence: float
) -> None:
    """What is won cannot be lost, so that the two are correlated: without that 0.7 % were called different where 0.1 % may be."""
    count, random, trials, loss = 2000, np.random.default_rng(0), 20_000, 0.03
    cells = random.multinomial(count, [won, won + loss, 1 - 2 * won - loss], size=trials)
    pairs, times = np.unique(cells[:, :2], axis=0, return_counts=True)
    bounds = [stats.difference_bounds(int(wins), int(losses), count, confidence) for wins, losses in pairs]
    over = sum(n for (_, lower, _), n in zip(bounds, times, strict=True) if lower > -loss)
    under = sum(n for (_, _, upper), n in zip(bounds, times, strict=True) if upper < -loss)
    allowed = (1 - confidence) * 1.1  # put together by approximation
    assert binom.sf(over - 1, trials, allowed) > RARELY, over / trials
    assert binom.sf(under - 1, trials, allowed) > RARELY, under / trials


@given(st.integers(0, 300), st.integers(0, 300), st.integers(600, 5000))
def test_swapping_the_models_negates_a_difference_and_its_bounds(wins: int, losses: int, count: int) -> None:
    here = stats.difference_bounds(wins, losses, count, 0.99)
    there = stats.difference_bounds(losses, wins, count, 0.99)
    assert there == pytest.approx((-here[0], -here[2], -here[1]))
