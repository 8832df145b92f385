"""What a verdict on a figure of time is worth where others used the machine meanwhile, or the CPU was throttled for heat."""

from collections.abc import Callable
from dataclasses import replace

from edgecomp.config.policy import Threshold
from edgecomp.gate.verdict import Verdict
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.metrics.registry import Metric
from edgecomp.metrics.samples import CPU_OF


def doubt(
    verdict: Verdict, threshold: Threshold, measured: Measurements, judged: Callable[[Measurements], Verdict]
) -> str:
    """Why a verdict on a time does not stand, or nothing.

    threshold: of the check; measured: what it was judged on; judged: gives its verdict on other measurements.
    Others only make a model slower, so a limit of its own that is kept is kept. Everything else that wall
    time says takes CPU time to say the same: over the threads, it is the least that wall time can have been.
    """
    quality = measured.facts.get("quality")
    if quality is None or verdict not in (Verdict.PASS, Verdict.FAIL):
        return ""
    own, advice = threshold.against is None, str(quality["advice"])
    if quality["grade"] == "D" and threshold.what.clock is not None and verdict is Verdict.FAIL:
        return advice
    if quality["grade"] != "C" or not is_wall(threshold.what) or (own and verdict is Verdict.PASS):
        return ""
    try:
        if threshold.what.clock == "wall" and judged(by_cpu_time(measured)) is verdict:
            return ""
    except NotMeasured:  # then it does not say the same
        pass
    return f"{advice}, and CPU time does not say {verdict} as well"


def is_wall(metric: Metric) -> bool:
    """Whether a metric is wall time: of calls, or of a start, of which there is no CPU time."""
    return metric.clock in ("wall", "start")


def by_cpu_time(measured: Measurements) -> Measurements:
    """`measured`, had every inference waited for nothing: wall time is CPU time over the threads."""
    threads = measured.facts["threads"]

    def waiting_for_nothing(arm: Arm) -> Arm:
        taken = {wall: arm.samples[cpu] // threads for wall, cpu in CPU_OF.items() if cpu in arm.samples}
        return replace(arm, samples={**arm.samples, **taken})

    return replace(measured, arms={name: waiting_for_nothing(arm) for name, arm in measured.arms.items()})
