"""What a verdict on a figure of time is worth where others used the machine meanwhile, or the CPU was throttled for heat."""

from collections.abc import Callable
from dataclasses import replace

from edgecomp.config.policy import Threshold
from edgecomp.gate.estimates import TIMES
from edgecomp.gate.missing import NotMeasured
from edgecomp.gate.verdict import Verdict
from edgecomp.metrics.measurements import Arm, Measurements

STARTS = ("cold_start_p50_ms", "load_p50_ms")  # wall times as well, of which no CPU time is taken
CLOCKS = {"single_stream_wall_ns": "single_stream_cpu_ns", "offline_wall_ns": "offline_cpu_ns"}


def doubt(
    verdict: Verdict, threshold: Threshold, measured: Measurements, judged: Callable[[Measurements], Verdict]
) -> str:
    """Why a verdict on a time does not stand, or nothing. judged: gives the row's verdict on other measurements.

    Others only make a model slower, so a limit of its own that is kept is kept. Everything else that wall time says takes CPU time
    to say the same: over the threads, it is the least that wall time can have been.
    """
    quality = measured.facts.get("quality")
    if quality is None or verdict not in (Verdict.PASS, Verdict.FAIL):
        return ""
    own, advice = threshold.against is None, str(quality["advice"])
    if quality["grade"] == "D" and threshold.metric in (*TIMES, *STARTS) and verdict is Verdict.FAIL:
        return advice
    if quality["grade"] != "C" or not is_wall(threshold.metric) or (own and verdict is Verdict.PASS):
        return ""
    try:
        if threshold.metric not in STARTS and judged(by_cpu_time(measured)) is verdict:
            return ""
    except NotMeasured:  # then it does not say the same
        pass
    return f"{advice}, and CPU time does not say {verdict} as well"


def is_wall(metric: str) -> bool:
    return metric in STARTS or (metric in TIMES and not metric.startswith("cpu_"))


def by_cpu_time(measured: Measurements) -> Measurements:
    """The same, had every inference waited for nothing: wall time is CPU time over the threads."""
    threads = measured.facts["threads"]

    def waiting_for_nothing(arm: Arm) -> Arm:
        taken = {wall: arm.samples[cpu] // threads for wall, cpu in CLOCKS.items() if cpu in arm.samples}
        return replace(arm, samples={**arm.samples, **taken})

    return replace(measured, arms={name: waiting_for_nothing(arm) for name, arm in measured.arms.items()})
