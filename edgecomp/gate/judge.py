"""One row of a policy and the measurements of one target → a verdict with its reason."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgecomp.config.policy import Threshold
from edgecomp.gate.contention import doubt
from edgecomp.gate.estimates import against, estimate
from edgecomp.gate.missing import NotMeasured
from edgecomp.gate.verdict import Estimate, Reason, Verdict
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.registry import METRICS
from edgecomp.metrics.units import format_value, parse_quantity

MOST_EXAMPLES = 1e7
GAIN_POINTS = 5.0  # over a reference, that nobody believes


@dataclass(frozen=True)
class Row:
    """`limit_value` is in the estimate's dimension; the row passes on its better side."""

    target: str
    name: str
    metric: str
    title: str
    limit: str
    limit_value: float
    passes: str  # "below" or "above" the limit
    estimate: Estimate | None
    verdict: Verdict
    reason: Reason
    sentence: str
    waiver: dict[str, Any] | None = None  # a valid one
    severity: str = "block"  # or "warn": shown, and does not decide

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def judge_row(
    target: str,
    name: str,
    threshold: Threshold,
    measured: Measurements | None,
    fail_confidence: float | None = None,
    wall: str = "auto",
) -> Row:
    """The row's verdict. What is missing, broken or not bounded is never PASS.

    fail_confidence: of the bound that a FAIL takes, where it is not the row's own confidence; wall: as in Policy.
    """
    metric = METRICS[threshold.metric]
    passes = "below" if metric.better == "lower" else "above"
    limit = limit_of(threshold)
    found, verdict, reason, why = None, Verdict.INCONCLUSIVE, Reason.NOT_RUN, "it was not measured"
    if measured is not None and measured.not_run:
        why = measured.not_run
    elif measured is not None and measured.student in measured.deaths:
        death = measured.deaths[measured.student]
        why = death.message
        if death.certain:
            verdict, reason = Verdict.FAIL, Reason.BUDGET_EXCEEDED
    elif measured is not None:

        def judged(measured: Measurements) -> tuple[Estimate, Verdict, Reason, str]:
            found = _estimate(threshold, measured, threshold.confidence)
            strict = _estimate(threshold, measured, fail_confidence) if fail_confidence else None
            return found, *decide(found, limit, passes, strict, implausible_of(threshold))

        try:
            found, verdict, reason, why = judged(measured)
            doubted = doubt(verdict, threshold, measured, lambda other: judged(other)[1])
            if doubted and wall == "auto":
                verdict, reason, why = Verdict.INCONCLUSIVE, Reason.CONTENDED, f"{why}; but {doubted}"
        except NotMeasured as missing:
            verdict, reason, why = missing.verdict, missing.reason, str(missing)
    return Row(
        target=target,
        name=name,
        metric=metric.id,
        title=metric.title,
        limit=threshold.text,
        limit_value=limit,
        passes=passes,
        estimate=found,
        verdict=verdict,
        reason=reason,
        sentence=f"{target}: {metric.title}: {why}{_noted(found)}.",
        severity=threshold.severity,
    )


def _noted(found: Estimate | None) -> str:
    """What a figure says of itself; where it has no bounds the reason says it."""
    return f" ({found.note})" if found is not None and found.note and found.lower is not None else ""


def decide(
    found: Estimate,
    limit: float,
    passes: str,
    strict: Estimate | None = None,
    implausible: float | None = None,
) -> tuple[Verdict, Reason, str]:
    """PASS where the whole interval is on the good side, FAIL where it is on the bad, else INCONCLUSIVE.

    strict: the same figure at the confidence that a FAIL takes, where that is higher. A figure that is for certain better
    than `implausible` is INCONCLUSIVE.
    """
    strict = strict or found

    def shown(value: float | None) -> str:
        return format_value(value, found.dimension)

    figures = [value for value in (found.value, found.lower, found.upper, limit) if value is not None]
    figures += [value for value in (strict.lower, strict.upper) if value is not None]
    if not all(map(math.isfinite, figures)):
        return Verdict.INVALID, Reason.NOT_FINITE, f"a figure is not finite: {figures}"
    if found.lower is None or found.upper is None:
        return Verdict.INCONCLUSIVE, Reason.TOO_FEW_SAMPLES, f"{shown(found.value)}, but {found.note}"
    inside, outside = (
        (found.upper <= limit, strict.lower is not None and strict.lower > limit)
        if passes == "below"
        else (found.lower >= limit, strict.upper is not None and strict.upper < limit)
    )
    too_good = implausible is not None and (
        found.upper < implausible if passes == "below" else found.lower > implausible
    )
    interval = "exactly" if found.unit == "exact" else f"{shown(found.lower)} to {shown(found.upper)} around"
    if too_good:
        return (
            Verdict.INCONCLUSIVE,
            Reason.ANOMALOUS,
            f"{interval} {shown(found.value)} is better than is plausible ({shown(implausible)}): look at what was measured",
        )
    if inside:
        return (
            Verdict.PASS,
            Reason.WITHIN_LIMIT,
            f"{interval} {shown(found.value)} is {passes} {shown(limit)}",
        )
    if outside:
        return (
            Verdict.FAIL,
            Reason.OVER_LIMIT,
            f"{interval} {shown(found.value)} is not {passes} {shown(limit)}",
        )
    return (
        Verdict.INCONCLUSIVE,
        Reason.UNDECIDED,
        f"{interval} {shown(found.value)} holds the limit {shown(limit)}{_needed(found, limit)}",
    )


def _needed(found: Estimate, limit: float) -> str:
    """How many examples would tell, where the figure is right: an interval shrinks with the root of their number."""
    if found.unit != "examples" or found.value is None or found.lower is None or found.upper is None:
        return ""
    distance = abs(found.value - limit)
    half = (found.upper - found.lower) / 2
    most = found.count * (half / distance) ** 2 if distance else math.inf
    if most > MOST_EXAMPLES:
        return f"; no reasonable number of them would tell (of {found.count:,} examples now)"
    needed = math.ceil(max(most, found.count + 1))
    return f"; some {float(f'{needed:.2g}'):,.0f} examples would tell, there are {found.count:,}"


def limit_of(threshold: Threshold) -> float:
    """The limit in the dimension of the row's estimate: a margin of 3 pt for F1 becomes -3, of 5 % for latency 1.05."""
    limit = threshold.limit
    if threshold.kind != "margin":
        return limit.value
    worse = 1 if METRICS[threshold.metric].better == "lower" else -1
    return worse * limit.value if limit.dimension == "points" else 1 + worse * limit.value / 100


def implausible_of(threshold: Threshold) -> float | None:
    """What a row's estimate cannot be better than, in its dimension: 5 points over a reference's score, unless the row says."""
    if threshold.against is None:
        return None
    points = threshold.kind == "margin" and threshold.limit.dimension == "points"
    if threshold.implausible is None:
        return GAIN_POINTS if points else None
    gain = parse_quantity(threshold.implausible).value
    return gain if points or METRICS[threshold.metric].better == "higher" else 1 / gain


def _estimate(threshold: Threshold, measured: Measurements, confidence: float) -> Estimate:
    if threshold.against is None:
        return estimate(measured, measured.student, threshold.metric, confidence)
    kind = "points" if threshold.limit.dimension == "points" else "multiple"
    found = against(measured, measured.student, threshold.against, threshold.metric, kind, confidence)
    return replace(found, dimension="ratio") if threshold.limit.dimension == "percent" else found


def judge(
    rows: Mapping[str, Mapping[str, Threshold]], measured: Mapping[str, Measurements], wall: str = "auto"
) -> list[Row]:
    """All rows of all targets, in the policy's order. wall: as in Policy."""
    return [
        judge_row(target, name, threshold, measured.get(target), wall=wall)
        for target, thresholds in rows.items()
        for name, threshold in thresholds.items()
    ]
