"""Which figures stand."""

from typing import Any

import numpy as np
import pytest

from edgecomp.benchmark.quality import Quality, grade
from edgecomp.benchmark.worker.noise import Host, during, host

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


def of(wall: Any, cpu: Any = CPU, *, threads: int = 1, blocks: Any = QUIET, waits: bool = False) -> Quality:
    samples = {"single_stream_wall_ns": wall, "single_stream_cpu_ns": cpu}
    return grade(samples, blocks, threads=threads, waits=waits)


def test_a_quiet_machine_is_an_a() -> None:
    quality = of(CPU + 10_000)
    assert (quality.grade, quality.advice) == ("A", "quiet")
    assert quality.facts["wall_over_cpu"] == pytest.approx(1.01)
    assert quality.facts["frequency_khz"] is None


def test_wall_time_over_cpu_time_is_contention_and_cpu_figures_stand() -> None:
    quality = of(CPU * 18 // 10)
    assert quality.grade == "C"
    assert quality.advice == "host contended: wall/CPU = 1.80; CPU figures stand, wall figures do not"


def test_a_few_long_waits_among_short_inferences_are_contention_too() -> None:
    wall = CPU.copy()
    wall[:, ::10] *= 10  # a median would not see it
    assert of(wall).advice.startswith("host contended: wall/CPU = 1.90")


def test_one_stall_is_not_a_contended_host() -> None:
    wall = CPU.copy()
    wall[2, 3] *= 1000
    assert of(wall).grade == "A"


def test_offline_batches_count_as_well() -> None:
    batches = np.full((5, 8), 30_000_000)
    alone = {"single_stream_wall_ns": CPU, "single_stream_cpu_ns": CPU, "offline_cpu_ns": batches}
    assert grade(alone | {"offline_wall_ns": batches}, QUIET, threads=1).grade == "A"
    assert grade(alone | {"offline_wall_ns": batches * 2}, QUIET, threads=1).grade == "C"


def test_with_two_threads_the_ratio_says_nothing_and_the_kernel_does() -> None:
    assert of(CPU // 2, threads=2).grade == "A"
    quality = of(CPU // 2, threads=2, blocks=[QUIET[0] | {"stolen_share": 0.3}])
    assert quality.grade == "C"
    assert "30 % of the time taken by others" in quality.advice


def test_a_model_that_waits_for_a_device_is_not_a_contended_host() -> None:
    assert of(CPU * 5, waits=True).grade == "A"
    assert of(CPU * 5, waits=True, blocks=[QUIET[0] | {"waiting_share": 0.3}]).grade == "C"


def test_some_noise_is_a_b() -> None:
    assert of(CPU * 110 // 100).grade == "B"


def test_restarts_that_differ_in_cpu_time_are_what_intervals_are_for() -> None:
    unsteady = CPU * np.array([100, 101, 99, 100, 130])[:, None] // 100
    quality = of(unsteady, unsteady)
    assert quality.grade == "B"
    assert "differs by 31 % between restarts" in quality.advice


def test_throttling_leaves_nothing_standing() -> None:
    assert of(CPU, blocks=[QUIET[0] | {"throttled": 2}]).grade == "D"


def test_a_block_is_a_difference_and_what_the_kernel_does_not_say_is_none() -> None:
    before, after = Host(0, 10**9, None, None, at_ns=7), Host(0, 15 * 10**8, None, 2_000_000, at_ns=10**9 + 7)
    block = during(before, after, {"involuntary_switches": 30})
    assert block["waiting_share"] == pytest.approx(0.5)
    assert block["involuntary_per_s"] == pytest.approx(30)
    assert block["throttled"] is None
    assert block["frequency_khz"] == 2_000_000
    assert host().stolen_ns is not None  # Linux says
