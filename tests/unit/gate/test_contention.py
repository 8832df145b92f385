"""Verdicts on times where others used the machine: what stands, and what is not known."""

from typing import Any

import numpy as np
import pytest

from edgecomp.config.policy import Threshold
from edgecomp.gate.document import Check
from edgecomp.gate.judge import judge
from edgecomp.gate.next_step import RunRemedies, next_step
from edgecomp.gate.verdict import Reason, Verdict
from edgecomp.metrics.measurements import Arm, Measurements

RESTARTS, ADVICE = 7, "host contended: wall/CPU = 1.80; CPU figures stand, wall figures do not"
SLOW = {"metric": "latency_p50_ms", "max": "1 ms"}
THROUGHPUT = {"metric": "throughput_p50_per_s", "against": "teacher", "min": "3 x"}
START = {"metric": "cold_start_p50_ms", "max": "1 ms"}
STARTS_SOONER = {"metric": "cold_start_p50_ms", "against": "teacher", "max": "0.5 x"}
CPU = {"metric": "cpu_p50_ms", "max": "1 ms"}


def arm(wall_ms: float, cpu_ms: float) -> Arm:
    """Every wall time, and every CPU time, is the same."""
    wall, cpu = np.full((RESTARTS, 20), round(wall_ms * 1e6)), np.full((RESTARTS, 20), round(cpu_ms * 1e6))
    samples = {
        "single_stream_wall_ns": wall,
        "single_stream_cpu_ns": cpu,
        "offline_wall_ns": wall,
        "offline_cpu_ns": cpu,
        "cold_start_ns": wall[:, 0],
    }
    return Arm(samples, np.empty((0, 2), np.float32), {}, 1, {}, 1)


def verdict(
    threshold: dict[str, Any],
    student: Arm,
    teacher: Arm | None = None,
    *,
    grade: str = "C",
    threads: int = 1,
    wall: str = "auto",
) -> Check:
    measured = Measurements(
        target="board",
        runtime="some",
        arms={"student_int8": student, "teacher": teacher or arm(10, 10)},
        labels=np.empty(0, np.int64),
        offline_batch=32,
        facts={"threads": threads, "quality": {"grade": grade, "advice": ADVICE}},
    )
    (row,) = judge({"board": {"row": Threshold.model_validate(threshold)}}, {"board": measured}, wall)
    if row.reason is Reason.CONTENDED:
        assert row.verdict is Verdict.INCONCLUSIVE
        assert ADVICE in row.sentence
        assert "a quieter machine" in next_step(row.verdict, [row], RunRemedies({"board": measured}))
    return row


def test_a_limit_broken_by_waiting_alone_is_not_a_fail() -> None:
    row = verdict(SLOW, arm(wall_ms=1.8, cpu_ms=0.9))
    assert row.reason is Reason.CONTENDED
    assert row.estimate is not None
    assert row.estimate.estimate == pytest.approx(1.8)  # what was measured is shown


def test_a_limit_broken_by_cpu_time_as_well_is_a_fail() -> None:
    assert verdict(SLOW, arm(wall_ms=1.8, cpu_ms=1.1)).verdict is Verdict.FAIL


def test_a_limit_that_is_kept_in_spite_of_others_is_kept() -> None:
    assert verdict(SLOW, arm(wall_ms=0.9, cpu_ms=0.5)).verdict is Verdict.PASS


def test_with_two_threads_cpu_time_is_shared_between_them() -> None:
    assert verdict(SLOW, arm(wall_ms=1.8, cpu_ms=1.6), threads=2).reason is Reason.CONTENDED
    assert verdict(SLOW, arm(wall_ms=1.8, cpu_ms=2.4), threads=2).verdict is Verdict.FAIL


def test_a_teacher_that_waited_makes_no_student_fast() -> None:
    """A long inference is interrupted and a short one is not, so that a ratio of wall times flatters the short one."""
    student = arm(wall_ms=1, cpu_ms=1)
    assert verdict(THROUGHPUT, student, arm(wall_ms=4, cpu_ms=2)).reason is Reason.CONTENDED
    assert verdict(THROUGHPUT, student, arm(wall_ms=8, cpu_ms=4)).verdict is Verdict.PASS
    assert verdict(THROUGHPUT, student, arm(wall_ms=2, cpu_ms=4)).reason is Reason.CONTENDED
    assert verdict(THROUGHPUT, student, arm(wall_ms=2, cpu_ms=2)).verdict is Verdict.FAIL


def test_starts_have_no_cpu_time_to_say_the_same() -> None:
    assert verdict(START, arm(2, 2)).reason is Reason.CONTENDED
    assert verdict(START, arm(0.5, 0.5)).verdict is Verdict.PASS
    assert verdict(STARTS_SOONER, arm(0.5, 0.5)).reason is Reason.CONTENDED


def test_cpu_rows_stand_on_a_contended_host() -> None:
    assert verdict(CPU, arm(4, 2)).verdict is Verdict.FAIL
    assert verdict(CPU, arm(4, 0.5)).verdict is Verdict.PASS


@pytest.mark.parametrize("threshold", [SLOW, THROUGHPUT, START, STARTS_SOONER, CPU], ids=str)
def test_heat_breaks_limits_and_does_not_keep_them(threshold: dict[str, Any]) -> None:
    assert verdict(threshold, arm(11, 11), grade="D").reason is Reason.CONTENDED
    assert verdict(threshold, arm(0.1, 0.1), grade="D").verdict is Verdict.PASS


@pytest.mark.parametrize("grade", ["A", "B"])
def test_on_any_other_machine_wall_time_decides(grade: str) -> None:
    assert verdict(SLOW, arm(1.8, 0.9), grade=grade).verdict is Verdict.FAIL
    assert verdict(THROUGHPUT, arm(1, 1), arm(4, 2), grade=grade).verdict is Verdict.PASS


def test_a_policy_may_want_wall_time_to_decide_whatever_others_do() -> None:
    """Of a model that waits by itself, for a device or a lock."""
    assert verdict(SLOW, arm(1.8, 0.9), wall="required").verdict is Verdict.FAIL
