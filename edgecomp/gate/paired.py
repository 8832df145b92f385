"""Two models side by side → rows. Times and memory by group-sequential tests on restarts, everything else as in any gate.

The false FAIL of the whole gate is FALSE_FAIL: it is split over the rows that could fail by chance. The false PASS of a row is
1 - its confidence: it needs no split, because every row must pass.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.config.policy import Policy, Threshold
from edgecomp.gate import estimates, scores
from edgecomp.gate.judge import Row, decide, implausible_of, judge_row, limit_of
from edgecomp.gate.missing import Impossible, NotFinite, NotItself, NotMeasured, TooFewSamples
from edgecomp.gate.verdict import Estimate, Reason, Verdict
from edgecomp.metrics.comparison import AGAIN, BASELINE, CANDIDATE, Comparison
from edgecomp.metrics.measurements import LEAST_REPEATED, MOST_TIMED_ERROR, Measurements
from edgecomp.metrics.registry import METRICS
from edgecomp.metrics.units import format_value
from edgecomp.stats.order_statistics import restarts_needed, samples_needed
from edgecomp.stats.sequential import LOOKS, Values, bounds, looks_until, null_bounds

FALSE_FAIL = 0.01
NULL_ALPHA = 0.0005  # on either side
MATERIAL = 0.2  # of the margin: what the baseline may differ from itself by

# By metric, the samples and the percentile within a restart; None where a process has one.
PAIRED: dict[str, tuple[str, float | None]] = {
    "cpu_p50_ms": ("cpu_ns", 50),
    "cpu_p99_ms": ("cpu_ns", 99),
    "latency_p50_ms": ("wall_ns", 50),
    "latency_p90_ms": ("wall_ns", 90),
    "latency_p99_ms": ("wall_ns", 99),
    "load_p50_ms": ("load_ns", None),
    "cold_start_p50_ms": ("cold_start_ns", None),
    "peak_memory_bytes": ("peak_memory_bytes", None),
    "model_memory_bytes": ("model_memory_bytes", None),
}


# Metrics that a comparison measures: of both models, and of the candidate's answers beside the baseline's.
OF_BOTH = {*PAIRED, "file_size_bytes", *scores.COMPARED}
OF_PAIRS = {scores.FLIPS, "baseline_agreement_pct", estimates.OUTPUTS}


def not_measured(policy: Policy) -> list[str]:
    """Rows that no comparison can answer, in words, and what can be asked instead."""
    found = []
    for name, row in policy.rows.items():
        known = OF_BOTH if row.against else OF_BOTH | OF_PAIRS
        if row.against not in (None, BASELINE):
            found.append(
                f"rows.{name}: a comparison has no {row.against}, but a baseline: write `against: baseline`, or leave it out"
            )
        elif row.metric not in known:
            kind = "hold it against the baseline" if row.metric in OF_PAIRS else f"measure {row.metric}"
            found.append(
                f"rows.{name}: a comparison does not {kind}; rows{' against: baseline' if row.against else ''} can be of "
                f"{', '.join(sorted(known))}"
            )
    return found


def is_sequential(threshold: Threshold) -> bool:
    """Whether a row is a log ratio of restarts."""
    return threshold.against == BASELINE and threshold.metric in PAIRED


def is_wall(threshold: Threshold) -> bool:
    return threshold.metric.startswith("latency_")


def takes_restarts(policy: Policy) -> bool:
    """Whether any row is of what a process does: answers and files need none."""
    return any(row.metric in estimates.BY_RESTART for row in policy.rows.values())


def judges_outputs(policy: Policy) -> bool:
    return any(row.metric == estimates.OUTPUTS for row in policy.rows.values())


def times_starts(policy: Policy) -> bool:
    """Whether a row is of what a start takes: processes that start beside each other share cores, and differ by less."""
    return any(row.metric in ("load_p50_ms", "cold_start_p50_ms") for row in policy.rows.values())


def fail_alpha(policy: Policy) -> float:
    """Of each row that decides and could fail by chance."""
    rows = policy.rows.values()
    fallible = sum(
        row.severity == "block" and row.metric not in (*estimates.EXACT, estimates.OUTPUTS) for row in rows
    )
    return FALSE_FAIL / max(1, fallible)


def least_restarts(policy: Policy) -> int:
    """Before which the rows are not judged: one about the candidate alone takes as many as its order statistics do."""
    alone = [
        restarts_needed(max(row.confidence, 1 - fail_alpha(policy)))
        for row in policy.rows.values()
        if not is_sequential(row) and row.metric in estimates.BY_RESTART
    ]
    return max([LOOKS[0], *alone])


def log_ratios(of: Comparison, metric: str, restarts: int, over: str = CANDIDATE) -> Values:
    """log(`over` / baseline) of each restart, [restarts]; the baseline is the mean of its two processes, where the candidate is over.

    Raises NotMeasured.
    """
    ours, base = _levels(of, over, metric, restarts), _levels(of, BASELINE, metric, restarts)
    if over == CANDIDATE:
        base = (base + _levels(of, AGAIN, metric, restarts)) / 2
    return over_rounds(ours - base) if ours.ndim == 2 else ours - base


def round_totals(times: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """times: ns [..., rounds, 2, calls] → what a round took, there and back, [..., rounds].

    A total, for a median of calls would hide a model that became slow for some inputs only.
    """
    return np.asarray(times.sum(axis=(-2, -1)))


def over_rounds(ratios: Values) -> Values:
    """[..., rounds] → [...]: rounds are compared one by one, on the same inputs at the same time, and a restart's ratio is their
    median, for a burst falls on a few of them."""
    return np.asarray(np.median(ratios, axis=-1), np.float64)


def _levels(of: Comparison, arm: str, metric: str, restarts: int) -> Values:
    """Logarithms, [restarts, rounds] of what is compared by rounds, and else [restarts]."""
    name, percentile = PAIRED[metric]
    try:
        if name == "model_memory_bytes":
            peak, imports = (
                of.samples(arm, what, restarts) for what in ("peak_memory_bytes", "imports_peak_bytes")
            )
            values = peak - imports
        else:
            values = of.samples(arm, name, restarts)
    except KeyError as missing:
        raise NotMeasured(f"there are no samples {missing}") from None
    if values.min() < 0:
        raise Impossible(f"{arm}: {metric} is {values.min()} in a restart: no clock gives that")
    if percentile is None:
        return _log(values, arm, metric)
    if percentile == 50:
        return _log(round_totals(values), arm, metric)
    whole = values.reshape(restarts, -1)
    needed = samples_needed(percentile)
    if whole.shape[1] < needed:
        raise TooFewSamples(
            f"{whole.shape[1]} samples a restart cannot show a p{percentile:g}: it takes {needed}"
        )
    return _log(np.percentile(whole, percentile, axis=1), arm, metric)


def _log(values: npt.NDArray[Any], arm: str, metric: str) -> Values:
    if (values == 0).any():
        raise Impossible(f"{arm}: {metric} is 0 in a restart, and nothing is a multiple of that")
    return np.asarray(np.log(values), np.float64)


@dataclass(frozen=True)
class Setting:
    """What the rows are judged under. contended: others use this host, so wall time of one thread is theirs as well."""

    target: str
    policy: Policy
    threads: int
    contended: bool

    def advises(self, threshold: Threshold) -> bool:
        """Whether a row that would decide only advises here."""
        return is_wall(threshold) and self.threads == 1 and self.contended and self.policy.wall == "auto"


def judge_pair(of: Comparison, measured: Measurements, at: Setting, before: Sequence[Row] = ()) -> list[Row]:
    """All rows, after as many restarts as there are. before: of an earlier look, whose rows stand that are not log ratios: they are
    judged once, so that no look after look makes them fail."""
    known = {row.name: row for row in before if not is_sequential(at.policy.rows[row.name])}
    rows = []
    for name, threshold in at.policy.rows.items():
        if is_sequential(threshold):
            row = _sequential(name, threshold, of, at)
        elif name in known:
            row = known[name]
        else:
            strict = max(threshold.confidence, 1 - fail_alpha(at.policy))
            row = judge_row(at.target, name, threshold, measured, strict, at.policy.wall)
        if at.advises(threshold) and row.severity == "block":
            row = replace(row, severity="warn", sentence=f"{row.sentence} Advisory: others use this host.")
        rows.append(row)
    return rows


def is_clear(rows: list[Row], policy: Policy, restarts: int) -> bool:
    """Whether more restarts would not change the whole: a row of times fails, or every one is decided. rows: those that decide."""
    timed = [row for row in rows if is_sequential(policy.rows[row.name])]
    if restarts >= LOOKS[-1]:
        return True
    if restarts < least_restarts(policy) or restarts not in LOOKS:
        return False
    return any(row.verdict is Verdict.FAIL for row in timed) or all(
        row.verdict is not Verdict.INCONCLUSIVE or row.reason is Reason.ANOMALOUS for row in timed
    )


def _sequential(name: str, threshold: Threshold, of: Comparison, at: Setting) -> Row:
    """The verdict of the first look that decided, or of the last one."""
    metric = METRICS[threshold.metric]
    restarts = len(of.restarts)
    found: Estimate | None = None
    verdict, reason = Verdict.INCONCLUSIVE, Reason.TOO_FEW_SAMPLES
    why = f"{restarts} restarts; the first look is taken after {LOOKS[0]}"
    limit = math.log(limit_of(threshold))
    try:
        _is_itself(of, threshold)
        for look in looks_until(restarts):
            found, verdict, reason, why = _look(threshold, of, look, limit, at)
            if verdict is not Verdict.INCONCLUSIVE or reason is Reason.ANOMALOUS:
                break
        if found is not None and (doubt := _null_control(threshold, of, limit)):
            verdict, reason, why = Verdict.INVALID, Reason.NULL_CONTROL, doubt
    except NotMeasured as missing:
        verdict, reason, why = missing.verdict, missing.reason, str(missing)
    return Row(
        target=at.target,
        name=name,
        metric=metric.id,
        title=metric.title,
        limit=threshold.text,
        limit_value=limit,
        passes="below" if metric.better == "lower" else "above",
        estimate=found,
        verdict=verdict,
        reason=reason,
        sentence=f"{at.target}: {metric.title}: {why}.",
        severity=threshold.severity,
    )


def _look(
    threshold: Threshold, of: Comparison, look: int, limit: float, at: Setting
) -> tuple[Estimate, Verdict, Reason, str]:
    ratios = log_ratios(of, threshold.metric, look)
    if not np.isfinite(ratios).all():
        raise NotFinite("a restart gave a ratio that is not finite")

    def estimate(confidence: float) -> Estimate:
        middle, lower, upper = bounds(ratios, 1 - confidence)
        return Estimate(middle, lower, upper, "log_ratio", look, "restarts", confidence)

    found = estimate(threshold.confidence)
    strict = estimate(max(threshold.confidence, 1 - fail_alpha(at.policy)))
    implausible = implausible_of(threshold)
    verdict, reason, _ = decide(
        found, limit, "below", strict, None if implausible is None else math.log(implausible)
    )
    return found, verdict, reason, SENTENCES[reason](found, strict, limit)


def _null_control(threshold: Threshold, of: Comparison, limit: float) -> str:
    """What the baseline differs from itself by, where that is shown and matters to the margin; else nothing."""
    middle, lower, upper = null_bounds(
        log_ratios(of, threshold.metric, len(of.restarts), over=AGAIN), NULL_ALPHA
    )
    if (lower <= 0 <= upper) or abs(middle) <= MATERIAL * abs(limit):
        return ""
    shown = [format_value(value, "log_ratio") for value in (middle, lower, upper)]
    return (
        f"the baseline beside itself differs by {shown[0]} ({shown[1]} to {shown[2]}): this machine, now, calls the same model "
        "different, and nothing can be concluded"
    )


def _is_itself(of: Comparison, threshold: Threshold) -> None:
    """Raises NotFinite, NotItself where what was timed is not the model: outputs that are no numbers, or not those of the run for its
    answers, or that come from memory."""
    if threshold.metric not in estimates.TIMES:
        return
    scores.check_finite(of.facts)
    for arm, error in of.facts.get("timed_error", {}).items():
        if not error <= MOST_TIMED_ERROR:
            raise NotItself(f"the {arm}'s outputs while it was timed differ from those of its answers by {error:.2f} of their "
                            f"deviation, more than {MOST_TIMED_ERROR:g}")  # fmt: skip
    repeated = of.facts.get("repeated_over_fresh")
    if repeated is not None and not repeated >= LEAST_REPEATED:
        raise NotItself(f"the candidate takes {repeated:.2f} of the time for an input that is asked again, less than "
                        f"{LEAST_REPEATED:g} of a new one's: it seems to answer from memory")  # fmt: skip


def _span(found: Estimate) -> str:
    value, lower, upper = (format_value(one, "log_ratio") for one in (found.value, found.lower, found.upper))
    return f"{value} ({lower} to {upper}, {found.count} restarts)"


def _undecided(found: Estimate, strict: Estimate, limit: float) -> str:
    shown = format_value(limit, "log_ratio")
    if found.lower is not None and found.lower > limit:
        return (
            f"{_span(found)} is over {shown} at a confidence of {found.confidence:g}, and not at the {strict.confidence:.4g} that a "
            "FAIL takes, so that the whole gate fails by chance in 1 % of runs at most: more restarts would tell (--max-time)"
        )
    return (
        f"{_span(found)} holds the limit {shown}: more restarts (--max-time) or a quieter machine would tell"
    )


SENTENCES: Mapping[Reason, Callable[[Estimate, Estimate, float], str]] = {
    Reason.WITHIN_LIMIT: lambda found, _, limit: (
        f"{_span(found)} is within {format_value(limit, 'log_ratio')}"
    ),
    Reason.OVER_LIMIT: lambda found, _, limit: f"{_span(found)} is over {format_value(limit, 'log_ratio')}",
    Reason.ANOMALOUS: lambda found, _, limit: (
        f"{_span(found)} is better than is plausible: look at what was measured"
    ),
    Reason.UNDECIDED: _undecided,
}
