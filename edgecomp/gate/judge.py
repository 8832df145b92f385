"""One row of a policy and the measurements of one target → a verdict with its reason."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgecomp.gate.estimates import (
    Impossible,
    NotFinite,
    NotItself,
    NotMeasured,
    TooFewSamples,
    Untelling,
    against,
    estimate,
)
from edgecomp.gate.verdict import Estimate, Reason, Verdict
from edgecomp.measurements import Measurements
from edgecomp.metrics import METRICS, format_value
from edgecomp.policies import Threshold

MOST_EXAMPLES = 1e7


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

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def judge_row(target: str, name: str, threshold: Threshold, measured: Measurements | None) -> Row:
    """The row's verdict. What is missing, broken or not bounded is never PASS."""
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
        try:
            found = _estimate(threshold, measured)
            verdict, reason, why = decide(found, limit, passes)
        except TooFewSamples as missing:
            reason, why = Reason.TOO_FEW_SAMPLES, str(missing)
        except Untelling as missing:
            reason, why = Reason.UNTELLING, str(missing)
        except NotItself as broken:
            verdict, reason, why = Verdict.INVALID, Reason.NOT_ITSELF, str(broken)
        except NotFinite as broken:
            verdict, reason, why = Verdict.INVALID, Reason.NOT_FINITE, str(broken)
        except Impossible as broken:
            verdict, reason, why = Verdict.INVALID, Reason.IMPOSSIBLE, str(broken)
        except NotMeasured as missing:
            why = str(missing)
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
        sentence=f"{target}: {metric.title}: {why}.",
    )


def decide(found: Estimate, limit: float, passes: str) -> tuple[Verdict, Reason, str]:
    """PASS where the whole interval is on the good side, FAIL where it is on the bad, else INCONCLUSIVE."""

    def shown(value: float | None) -> str:
        return format_value(value, found.dimension)

    figures = [value for value in (found.value, found.lower, found.upper, limit) if value is not None]
    if not all(map(math.isfinite, figures)):
        return Verdict.INVALID, Reason.NOT_FINITE, f"a figure is not finite: {figures}"
    if found.lower is None or found.upper is None:
        return Verdict.INCONCLUSIVE, Reason.TOO_FEW_SAMPLES, f"{shown(found.value)}, but {found.note}"
    inside, outside = (
        (found.upper <= limit, found.lower > limit)
        if passes == "below"
        else (found.lower >= limit, found.upper < limit)
    )
    interval = "exactly" if found.unit == "exact" else f"{shown(found.lower)} to {shown(found.upper)} around"
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
        return f"; no test split of a reasonable size would tell (of {found.count:,} examples now)"
    needed = math.ceil(max(most, found.count + 1))
    return f"; some {float(f'{needed:.2g}'):,.0f} examples would tell, there are {found.count:,}"


def limit_of(threshold: Threshold) -> float:
    """The limit in the dimension of the row's estimate: a margin of 3 pt for F1 becomes -3, of 5 % for latency 1.05."""
    limit = threshold.limit
    if threshold.kind != "margin":
        return limit.value
    worse = 1 if METRICS[threshold.metric].better == "lower" else -1
    return worse * limit.value if limit.dimension == "points" else 1 + worse * limit.value / 100


def _estimate(threshold: Threshold, measured: Measurements) -> Estimate:
    if threshold.against is None:
        return estimate(measured, measured.student, threshold.metric, threshold.confidence)
    kind = "points" if threshold.limit.dimension == "points" else "multiple"
    return against(
        measured, measured.student, threshold.against, threshold.metric, kind, threshold.confidence
    )


def judge(rows: Mapping[str, Mapping[str, Threshold]], measured: Mapping[str, Measurements]) -> list[Row]:
    """All rows of all targets, in the policy's order."""
    return [
        judge_row(target, name, threshold, measured.get(target))
        for target, thresholds in rows.items()
        for name, threshold in thresholds.items()
    ]
