"""A comparison's rows: what decides, what advises, and what is nothing to conclude from."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgecomp.config.policy import Policy, load_policy
from edgecomp.gate.document import Check
from edgecomp.gate.paired import FALSE_FAIL, Setting, fail_alpha, is_clear, judge_pair, least_restarts
from edgecomp.gate.verdict import Reason, Verdict
from edgecomp.metrics.comparison import ARMS, CANDIDATE, Comparison, Restart
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.stats.sequential import LOOKS

CLASSES = 4
LABELS = np.arange(2000) % CLASSES


def answers(wrong: int = 0, of_class: int | None = None) -> npt.NDArray[np.float32]:
    """Logits that miss the first so many examples, or the first of one class."""
    given = LABELS.copy()
    places = np.arange(len(LABELS)) if of_class is None else np.flatnonzero(of_class == LABELS)
    given[places[:wrong]] = (given[places[:wrong]] + 1) % CLASSES
    return np.eye(CLASSES, dtype=np.float32)[given]


def compared(
    restarts: int = 5, *, cpu: float = 1.0, wall: float = 1.0, again: float = 1.0, memory: float = 1.0
) -> Comparison:
    """A baseline of 1 ms that varies by 0.3 % between processes, and a candidate that takes so many times of it."""
    random = np.random.default_rng(3)
    found = []
    for _ in range(restarts):
        samples: dict[str, Any] = {}
        for arm in ARMS:
            factor = {"again": again, CANDIDATE: cpu}.get(arm, 1.0)
            own = 1e6 * random.normal(1, 0.003)
            times = own * random.normal(1, 0.01, (4, 2, 20))
            samples[f"{arm}.cpu_ns"] = (factor * times).astype(np.int64)
            samples[f"{arm}.wall_ns"] = ((wall if arm == CANDIDATE else 1.0) * times).astype(np.int64)
            samples[f"{arm}.peak_memory_bytes"] = np.int64(
                (memory if arm == CANDIDATE else 1) * random.integers(99_900, 100_100)
            )
            samples[f"{arm}.imports_peak_bytes"] = np.int64(40_000)
            samples[f"{arm}.load_ns"] = samples[f"{arm}.cold_start_ns"] = np.int64(
                1e9 * random.normal(1, 0.05)
            )
        found.append(Restart(samples))
    return Comparison(found)


def measured(
    candidate: npt.NDArray[np.float32] | None = None, size: int = 100, slices: Any = None
) -> Measurements:
    def arm(logits: npt.NDArray[np.float32], bytes_: int) -> Arm:
        return Arm({}, logits, {}, bytes_, {}, None)

    arms = {
        "baseline": arm(answers(40), 100),
        CANDIDATE: arm(answers(40) if candidate is None else candidate, size),
    }
    return Measurements("t", "onnxruntime-cpu", arms, LABELS, 1, {}, CANDIDATE, slices=slices)


def rows(
    of: Comparison,
    on: Measurements | None = None,
    *,
    policy: Policy | None = None,
    threads: int = 1,
    contended: bool = False,
) -> dict[str, Check]:
    setting = Setting("t", policy or load_policy("release"), threads, contended)
    return {row.name: row for row in judge_pair(of, on or measured(), setting)}


def policy(wall: str = "auto", on_inconclusive: str = "block", **of: Any) -> Policy:
    return Policy.model_validate({"name": "p", "wall": wall, "on_inconclusive": on_inconclusive, "rows": of})


BASELINE_5 = {"against": "baseline", "margin": "5 %"}


def test_the_same_model_passes_every_row_of_a_release() -> None:
    found = rows(compared())
    assert {row.verdict for row in found.values()} == {Verdict.PASS}, [row.sentence for row in found.values()]
    assert found["cpu_p50_ms"].estimate is not None
    assert found["cpu_p50_ms"].estimate.n in LOOKS
    assert "is within +2.50 %" in found["cpu_p50_ms"].sentence


@pytest.mark.parametrize(
    ("what", "row"),
    [
        ({"cpu": 1.06}, "cpu_p50_ms"),
        ({"wall": 1.3}, "latency_p50_ms"),
        ({"memory": 1.2}, "peak_memory_bytes"),
    ],
)
def test_what_is_worse_fails_its_row_and_no_other(what: dict[str, float], row: str) -> None:
    found = rows(compared(8, **what))
    assert found[row].verdict is Verdict.FAIL, found[row].sentence
    assert {other.verdict for name, other in found.items() if name != row} == {Verdict.PASS}


def test_a_model_that_is_slow_for_some_inputs_only_fails() -> None:
    """Seven of twenty calls: no median of calls moves."""
    of = compared(8)
    for restart in of.restarts:
        restart.samples["candidate.cpu_ns"][..., :7] *= 3
    assert rows(of)["cpu_p50_ms"].verdict is Verdict.FAIL


def test_a_burst_that_falls_on_one_round_changes_nothing() -> None:
    of = compared(8)
    for restart in of.restarts:
        restart.samples["candidate.cpu_ns"][1] *= 5
    assert rows(of)["cpu_p50_ms"].verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("candidate", "row"),
    [
        (answers(100), "accuracy_pct"),
        (answers(90, of_class=2), "worst_recall_pct"),
        (answers(140), "negative_flips_pct"),
    ],
)
def test_worse_answers_fail(candidate: npt.NDArray[np.float32], row: str) -> None:
    assert rows(compared(), measured(candidate))[row].verdict is Verdict.FAIL


def test_a_class_can_fail_where_the_whole_does_not() -> None:
    found = rows(compared(), measured(answers(75, of_class=2)))
    assert found["accuracy_pct"].verdict is not Verdict.FAIL
    assert found["worst_recall_pct"].verdict is Verdict.FAIL


def test_a_slice_can_fail_where_no_class_does() -> None:
    tail = np.where(np.arange(len(LABELS)) < 200, "tail", "head")
    at = policy(worst_slice_pct={"against": "baseline", "margin": "5 pt"})
    assert (
        rows(compared(), measured(answers(80), slices=tail), policy=at)["worst_slice_pct"].verdict
        is Verdict.FAIL
    )
    assert (
        rows(compared(), measured(answers(40), slices=tail), policy=at)["worst_slice_pct"].verdict
        is Verdict.PASS
    )
    missing = rows(compared(), measured(answers(40)), policy=at)["worst_slice_pct"]
    assert missing.reason is Reason.NOT_RUN
    assert "column `slice`" in missing.sentence


def test_too_few_examples_say_how_many_would_tell() -> None:
    few = measured(answers(46))
    on = Measurements(
        "t",
        "r",
        {name: Arm({}, arm.logits[:60], {}, 1, {}, None) for name, arm in few.arms.items()},
        LABELS[:60],
        1,
        {},
        CANDIDATE,
    )
    found = rows(compared(), on)["accuracy_pct"]
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "examples would tell, there are 60" in found.sentence


def test_a_gain_that_nobody_believes_is_looked_into() -> None:
    worse = measured()
    arms = {"baseline": Arm({}, answers(600), {}, 100, {}, None), CANDIDATE: worse.arms[CANDIDATE]}
    found = rows(compared(), Measurements("t", "r", arms, LABELS, 1, {}, CANDIDATE))["accuracy_pct"]
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, Reason.ANOMALOUS)
    fast = rows(compared(5, cpu=0.01))["cpu_p50_ms"]
    assert (fast.verdict, fast.reason) == (Verdict.INCONCLUSIVE, Reason.ANOMALOUS)


def test_answering_from_memory_is_no_speed() -> None:
    of = compared()
    of.facts["repeated_over_fresh"] = 0.2
    found = rows(of)
    assert found["cpu_p50_ms"].reason is found["latency_p50_ms"].reason is Reason.NOT_ITSELF
    assert found["peak_memory_bytes"].verdict is Verdict.PASS


def test_a_baseline_that_differs_from_itself_makes_its_row_invalid() -> None:
    found = rows(compared(8, again=1.03))
    assert (found["cpu_p50_ms"].verdict, found["cpu_p50_ms"].reason) == (Verdict.INVALID, Reason.NULL_CONTROL)
    assert found["latency_p50_ms"].verdict is Verdict.PASS
    assert "calls the same model different" in found["cpu_p50_ms"].sentence


def test_wall_time_of_one_thread_advises_on_a_contended_host_unless_it_is_required() -> None:
    slow = compared(8, wall=1.3)
    release = load_policy("release")
    required = release.model_copy(update={"wall": "required"})
    assert rows(slow, contended=True)["latency_p50_ms"].severity == "warn"
    assert rows(slow, contended=True)["latency_p50_ms"].verdict is Verdict.FAIL
    assert rows(slow, contended=True, policy=required)["latency_p50_ms"].severity == "block"
    assert rows(slow, contended=False)["latency_p50_ms"].severity == "block"
    assert rows(slow, contended=True, threads=2)["latency_p50_ms"].severity == "block"


def test_the_false_fail_of_the_gate_is_split_over_the_rows_that_can_fail_by_chance() -> None:
    at = policy(
        cpu_p50_ms=BASELINE_5,
        latency_p50_ms=BASELINE_5,
        file_size_bytes=BASELINE_5,
        peak_memory_bytes=BASELINE_5 | {"severity": "warn"},
    )
    assert fail_alpha(at) == FALSE_FAIL / 2


def test_a_fail_takes_more_than_the_rows_own_confidence() -> None:
    """At 99 % it is over; at the 99.83 % of six rows it is not, and the sentence says so."""
    margin = {"against": "baseline", "margin": "2.5 %"}
    at = policy(
        cpu_p50_ms=margin,
        **{
            name: margin
            for name in (
                "latency_p50_ms",
                "peak_memory_bytes",
                "load_p50_ms",
                "cold_start_p50_ms",
                "model_memory_bytes",
            )
        },
    )
    for slower in np.arange(1.026, 1.05, 0.001):
        found = rows(compared(5, cpu=slower), policy=at)["cpu_p50_ms"]
        if (
            found.estimate
            and found.estimate.low
            and found.estimate.low > math.log(1.025)
            and found.verdict is Verdict.INCONCLUSIVE
        ):
            assert "and not at the 0.9983 that a FAIL takes" in found.sentence
            return
    raise AssertionError("no slowdown lay between the two")


def test_it_is_clear_once_a_row_of_times_fails_or_all_are_decided() -> None:
    release = load_policy("release")

    def clear(of: Comparison) -> bool:
        found = [row for row in rows(of).values() if row.severity == "block"]
        return is_clear(found, release, len(of.restarts))

    assert clear(compared(5))
    assert clear(compared(5, cpu=1.5))
    assert not clear(compared(5, cpu=1.027))
    assert not clear(compared(7))  # between two looks
    assert clear(compared(LOOKS[-1], cpu=1.025))


def test_a_row_about_the_candidate_alone_waits_for_its_order_statistics() -> None:
    assert least_restarts(load_policy("release")) == LOOKS[0]
    assert least_restarts(policy(cpu_p50_ms={"max": "5 ms", "confidence": 0.99})) == 7
    beside = policy(
        own={"metric": "cpu_p50_ms", "max": "5 ms"}, cpu_p50_ms=BASELINE_5, latency_p50_ms=BASELINE_5
    )
    assert least_restarts(beside) == 9  # a FAIL takes 99.67 %


def test_before_the_first_look_nothing_is_decided() -> None:
    found = rows(compared(3))["cpu_p50_ms"]
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, Reason.TOO_FEW_SAMPLES)


def test_a_percentile_takes_enough_samples() -> None:
    found = rows(compared(), policy=policy(cpu_p99_ms=BASELINE_5))["cpu_p99_ms"]
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, Reason.TOO_FEW_SAMPLES)
    assert "it takes 459" in found.sentence


@pytest.mark.parametrize("metric", ["load_p50_ms", "cold_start_p50_ms", "model_memory_bytes"])
def test_what_a_process_has_once_is_compared_too(metric: str) -> None:
    found = rows(compared(20), policy=policy(**{metric: {"against": "baseline", "margin": "20 %"}}))[metric]
    assert found.verdict is Verdict.PASS, found.sentence


def test_what_is_not_measured_side_by_side_is_no_pass() -> None:
    at = policy(
        throughput_p50_per_s=BASELINE_5 | {"margin": "5 %"},
        teacher_agreement_pct={"min": "90 %"},
        server_per_s={"min": "10 /s"},
        int8_share_pct={"min": "10 %"},
        macro_f1_pct={"against": "teacher", "margin": "5 pt"},
    )
    found = rows(compared(), policy=at)
    assert {row.verdict for row in found.values()} == {Verdict.INCONCLUSIVE}, [
        row.sentence for row in found.values()
    ]
