"""Which figures stand."""

import numpy as np
import pytest

from edgecomp.bench.noise import Host, during, grade, host

CPU = np.full((5, 100), 1_000_000)
QUIET = [
    {
        "stolen_share": 0.0,
        "waiting_share": 0.01,
        "throttled": 0,
        "involuntary_per_s": 1.0,
        "frequency_khz": None,
    }
]


def test_a_quiet_machine_is_an_a() -> None:
    quality = grade(CPU + 10_000, CPU, QUIET, threads=1)
    assert (quality.grade, quality.advice) == ("A", "quiet")
    assert quality.facts["wall_over_cpu"] == pytest.approx(1.01)
    assert quality.facts["frequency_khz"] is None


def test_wall_time_over_cpu_time_is_contention_and_cpu_figures_stand() -> None:
    quality = grade(CPU * 18 // 10, CPU, QUIET, threads=1)
    assert quality.grade == "C"
    assert quality.advice == "host contended: wall/CPU = 1.80; CPU figures stand, wall figures do not"


def test_with_two_threads_the_ratio_says_nothing_and_the_kernel_does() -> None:
    assert grade(CPU // 2, CPU, QUIET, threads=2).grade == "A"
    stolen = [QUIET[0] | {"stolen_share": 0.3}]
    quality = grade(CPU // 2, CPU, stolen, threads=2)
    assert quality.grade == "C"
    assert "30 % of the time taken by others" in quality.advice


def test_some_noise_is_a_b() -> None:
    assert grade(CPU * 110 // 100, CPU, QUIET, threads=1).grade == "B"


def test_restarts_that_disagree_in_cpu_time_leave_nothing_standing() -> None:
    unsteady = CPU * np.array([100, 101, 99, 100, 130])[:, None] // 100
    quality = grade(unsteady, unsteady, QUIET, threads=1)
    assert quality.grade == "D"
    assert "differs by 31 % between restarts" in quality.advice


def test_throttling_leaves_nothing_standing() -> None:
    assert grade(CPU, CPU, [QUIET[0] | {"throttled": 2}], threads=1).grade == "D"


def test_a_block_is_a_difference_and_what_the_kernel_does_not_say_is_none() -> None:
    before, after = Host(0, 10**9, None, None), Host(0, 15 * 10**8, None, 2_000_000)
    block = during(before, after, 10**9, {"involuntary_switches": 30})
    assert block["waiting_share"] == pytest.approx(0.5)
    assert block["involuntary_per_s"] == pytest.approx(30)
    assert block["throttled"] is None
    assert block["frequency_khz"] == 2_000_000
    assert host().stolen_ns is not None  # Linux says
