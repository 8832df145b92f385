"""Properties of a comparison's statistics: how often they are wrong, and which way they may move."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from edgecomp.config.policy import Policy
from edgecomp.config.schema import parse
from edgecomp.errors import RecipeError
from edgecomp.gate.paired import Setting, judge_pair, log_ratios
from edgecomp.gate.verdict import Verdict
from edgecomp.metrics.comparison import AGAIN, ARMS, CANDIDATE, Comparison, Restart
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.registry import METRICS
from edgecomp.stats.sequential import LOOKS, PARTS, bounds, decide_all, level

settings.register_profile("sequential", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("sequential")

RARELY = 1e-3
LIMIT = math.log(1.025)
WORSE = {Verdict.PASS: 0, Verdict.INCONCLUSIVE: 1, Verdict.FAIL: 2}

ratios = st.lists(st.floats(-0.5, 0.5).map(lambda value: round(value, 6)), min_size=5, max_size=20)


# How often a row is wrong


PROCESSES = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "uniform": lambda random, shape: random.uniform(-1, 1, shape),
    "heavy-tailed": lambda random, shape: random.standard_t(3, shape),
    "skewed": lambda random, shape: np.log1p(random.exponential(0.5, shape)),
    "one of two modes": lambda random, shape: (
        random.integers(0, 2, shape) + 0.05 * random.standard_normal(shape)
    ),
    "seldom in another mode": lambda random, shape: (
        (random.random(shape) < 0.05) + 0.05 * random.standard_normal(shape)
    ),
}


@pytest.mark.parametrize("alpha", [0.02, 0.01, 0.0025])
@pytest.mark.parametrize("process", PROCESSES)
def test_over_all_looks_a_row_at_its_margin_is_wrong_no_more_often_than_it_says(
    process: str, alpha: float
) -> None:
    random, gates = np.random.default_rng(1), 60_000
    baseline, again, candidate = PROCESSES[process](random, (3, gates, LOOKS[-1]))
    at_margin = LIMIT + 0.01 * (candidate - (baseline + again) / 2)
    outcomes = decide_all(at_margin, LIMIT, pass_alpha=alpha, fail_alpha=alpha).outcomes
    for verdict in (1, -1):
        assert binom.sf((outcomes == verdict).sum() - 1, gates, alpha) > RARELY, (outcomes == verdict).mean()


def test_what_is_clear_is_decided_soon() -> None:
    same = np.random.default_rng(0).normal(0, 0.006, (4000, LOOKS[-1]))
    passed = decide_all(same, LIMIT, pass_alpha=0.01, fail_alpha=0.0033)
    caught = decide_all(same + math.log(1.05), LIMIT, pass_alpha=0.01, fail_alpha=0.0033)
    assert (passed.outcomes == 1).mean() > 0.999
    assert (caught.outcomes == -1).mean() > 0.999
    assert passed.restarts.mean() < 6
    assert caught.restarts.mean() < 7


def test_the_looks_share_the_level_and_leave_some_of_it() -> None:
    assert sum(PARTS) < 1
    assert sum(level(0.01, look) for look in LOOKS) < 0.01


@given(ratios, st.sampled_from([0.01, 0.0025]))
def test_many_gates_at_once_are_decided_as_each_by_itself(found: list[float], alpha: float) -> None:
    row = np.resize(np.array(found), LOOKS[-1])
    together = decide_all(row[None], LIMIT, pass_alpha=0.01, fail_alpha=alpha)
    outcome, restarts = 0, LOOKS[-1]
    for look in LOOKS:
        low, high = bounds(row[:look], alpha).lower, bounds(row[:look], 0.01).upper
        if min(abs(low - LIMIT), abs(high - LIMIT)) < 1e-9:
            return  # on the edge, two ways to sum may differ
        if low > LIMIT or high <= LIMIT:
            outcome, restarts = (-1 if low > LIMIT else 1), look
            break
    assert (together.outcomes[0], together.restarts[0]) == (outcome, restarts)


# Which way a row may move


def comparison(times: npt.NDArray[np.float64], **more: npt.NDArray[Any]) -> Comparison:
    """times: ns [restarts, arms, rounds, 2, calls], the same by either clock."""
    found = []
    for index, restart in enumerate(times):
        samples = {
            f"{arm}.{clock}_ns": np.ceil(restart[place]).astype(np.int64)
            for place, arm in enumerate(ARMS)
            for clock in ("cpu", "wall")
        }
        for place, arm in enumerate(ARMS):
            samples |= {f"{arm}.{name}": values[index, place] for name, values in more.items()}
        found.append(Restart(samples))
    return Comparison(found)


def times_of(seed: int, restarts: int, spread: float, slower: float = 0.0) -> npt.NDArray[np.float64]:
    random = np.random.default_rng(seed)
    own = random.normal(0, spread, (restarts, len(ARMS), 1, 1, 1))
    noise = random.normal(0, 0.02, (restarts, len(ARMS), 4, 2, 5))
    times = 1e7 * np.exp(own + noise)
    times[:, 2] *= 1 + slower
    return times


def nothing_else() -> Measurements:
    def arm() -> Arm:
        return Arm({}, np.empty((0, 0), np.float32), {}, 100, {"model.onnx": "0"}, None)

    arms = {"baseline": arm(), "candidate": arm()}
    return Measurements("t", "onnxruntime-cpu", arms, np.empty(0, np.int64), 1, {}, CANDIDATE)


CPU = Policy.model_validate({"name": "p", "rows": {"cpu_p50_ms": {"against": "baseline", "margin": "2.5 %"}}})


def judged(times: npt.NDArray[np.float64], policy: Policy = CPU) -> Any:
    return judge_pair(comparison(times), nothing_else(), Setting("t", policy, 1, contended=False))[0]


cases = st.tuples(
    st.integers(0, 10**6),
    st.sampled_from(LOOKS),
    st.sampled_from([0.002, 0.01, 0.03]),
    st.floats(-0.05, 0.15),
)


@given(cases, st.floats(1.0001, 3))
def test_a_slower_candidate_never_gets_a_better_verdict(
    case: tuple[int, int, float, float], factor: float
) -> None:
    seed, restarts, spread, slower = case
    times = times_of(seed, restarts, spread, slower)
    before = judged(times)
    times[:, 2] *= factor
    after = judged(times)
    if (
        before.verdict in WORSE and after.verdict in WORSE
    ):  # the null control has its own say, and the same both times
        assert WORSE[after.verdict] >= WORSE[before.verdict]
    else:
        assert before.verdict is after.verdict is Verdict.INVALID


@given(ratios)
def test_swapping_the_models_negates_estimate_and_interval_exactly(found: list[float]) -> None:
    here = np.array(found[: max(look for look in LOOKS if look <= len(found))])
    one, other = bounds(here, 0.01), bounds(-here, 0.01)
    assert (other.mean, other.lower, other.upper) == (-one.mean, -one.upper, -one.lower)


@given(cases)
def test_swapping_the_processes_negates_each_ratio_exactly(case: tuple[int, int, float, float]) -> None:
    times = times_of(*case)
    swapped = times[:, [1, 0, 2]]  # the baseline and the baseline again
    ours, theirs = (log_ratios(comparison(one), "cpu_p50_ms", len(one), AGAIN) for one in (times, swapped))
    assert (ours == -theirs).all()


@given(cases, st.sampled_from([1e-3, 1e3, 2.0]))
def test_units_change_nothing(case: tuple[int, int, float, float], unit: float) -> None:
    times = np.ceil(times_of(*case))
    here, there = judged(times), judged(times * 1000 * unit)
    assert here.verdict is there.verdict
    if here.estimate is not None:
        assert here.estimate.estimate == pytest.approx(there.estimate.estimate, abs=1e-6)


# Policies of any kind, and measurements that lack something

limits = st.sampled_from(
    ["2.5 %", "1 pt", "3 x", "20 ms", "5 MiB", "0.5 x", "99 %", "", "5", "nan %", "-1 %"]
)
rows = st.fixed_dictionaries(
    {},
    optional={
        "metric": st.sampled_from([*METRICS, "nonsense"]),
        "against": st.sampled_from(["baseline", "teacher", "student_fp32", "nobody"]),
        "max": limits,
        "min": limits,
        "margin": limits,
        "confidence": st.sampled_from([0.5, 0.95, 0.99, 0.999, 1.5]),
        "severity": st.sampled_from(["block", "warn", "shout"]),
        "implausible": limits,
    },
)
policies = st.dictionaries(st.sampled_from([*METRICS, "a", "b"]), rows, max_size=4)


@given(policies, st.sampled_from([0, 1, 4, 5]))
@settings(max_examples=400)
def test_no_policy_crashes_or_passes_on_what_is_missing(rows: dict[str, Any], restarts: int) -> None:
    try:
        policy = parse(Policy, {"name": "fuzzed", "rows": rows}, Path("policy"))
    except RecipeError:
        return
    empty = Comparison([Restart({}) for _ in range(restarts)])
    for found in judge_pair(empty, nothing_else(), Setting("t", policy, 1, contended=False)):
        assert found.verdict is not Verdict.PASS or found.metric == "file_size_bytes", found


@pytest.mark.parametrize("broken", [0, -5])
def test_a_time_that_no_clock_can_give_is_invalid(broken: int) -> None:
    times = times_of(0, 5, 0.01)
    times[2, 1] = broken
    assert judged(times).verdict is Verdict.INVALID


def test_what_is_not_finite_is_invalid() -> None:
    of = comparison(times_of(0, 5, 0.01))
    samples = {name: values.astype(np.float64) for name, values in of.restarts[1].samples.items()}
    samples["candidate.cpu_ns"][:] = np.nan
    of.restarts[1] = dataclasses.replace(of.restarts[1], samples=samples)  # type: ignore[arg-type]  # floats, which no clock gives
    found = judge_pair(of, nothing_else(), Setting("t", CPU, 1, contended=False))[0]
    assert found.verdict is Verdict.INVALID
