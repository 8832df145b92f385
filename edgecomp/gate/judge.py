"""One check of a policy and the measurements of one target → a verdict with its reason."""

import math
from collections.abc import Iterable, Mapping
from typing import Literal

from edgecomp.config.policy import DIFFERENCES, Threshold
from edgecomp.gate.contention import doubt
from edgecomp.gate.document import Check
from edgecomp.gate.verdict import UNMEASURED, Reason, Verdict
from edgecomp.metrics.estimates import against, estimate
from edgecomp.metrics.estimators import own_score
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.metrics.registry import METRICS, Metric
from edgecomp.metrics.units import format_value, parse_quantity
from edgecomp.stats.figure import Figure

MOST_EXAMPLES = 1e7
UNDECIDED = "the threshold {} lies inside the confidence interval"
DEVICE = "device"  # the check that a target's own runtime has run
GAIN_POINTS = 5.0  # over a reference, that nobody believes


def judge_check(
    target: str,
    name: str,
    threshold: Threshold,
    measured: Measurements | None,
    fail_confidence: float | None = None,
    wall: str = "auto",
) -> Check:
    """The check's verdict. What is missing, broken or not bounded is never PASS.

    target, name: as the check is shown; threshold: the check itself; measured: None where the target was not
    measured; fail_confidence: of the bound that a FAIL takes, where it is not the check's own confidence;
    wall: as in Policy.
    """
    metric, title = METRICS[threshold.metric], METRICS[threshold.metric].title
    if threshold.output is not None:
        measured, title = (
            measured and measured.of_output(threshold.output),
            f"output {threshold.output}: {title}",
        )
    passes: Literal["below", "above"] = "below" if metric.better == "lower" else "above"
    limit = limit_of(threshold)
    found, verdict, reason, why = None, Verdict.INCONCLUSIVE, Reason.NOT_RUN, "it was not measured"
    if measured is not None and measured.not_run and (metric.is_of_the_device or not measured.arms):
        why = measured.not_run
    elif measured is not None and measured.student in measured.deaths:
        death = measured.deaths[measured.student]
        why = death.message
        if death.certain:
            verdict, reason = Verdict.FAIL, Reason.BUDGET_EXCEEDED
    elif measured is not None:

        def judged(measured: Measurements) -> tuple[Figure, Verdict, Reason, str]:
            found = _estimate(threshold, measured, threshold.confidence)
            strict = _estimate(threshold, measured, fail_confidence) if fail_confidence else None
            return found, *decide(found, limit, passes, strict, implausible_of(threshold))

        try:
            found, verdict, reason, why = judged(measured)
            doubted = doubt(verdict, threshold, measured, lambda other: judged(other)[1])
            if doubted and wall == "auto":
                verdict, reason, why = Verdict.INCONCLUSIVE, Reason.CONTENDED, f"{why}; but {doubted}"
        except NotMeasured as missing:
            (verdict, reason), why = UNMEASURED[type(missing)], str(missing)
    return Check(
        target=target,
        name=name,
        metric=metric.id,
        title=title,
        limit=threshold.text,
        limit_value=limit,
        passes=passes,
        estimate=found,
        verdict=verdict,
        reason=reason,
        sentence=f"{target}: {title}: {why}{_noted(found)}{_stood_in(metric, found, measured)}.",
        severity=threshold.severity,
    )


def _noted(found: Figure | None) -> str:
    """What a figure says of itself; where it has no bounds the reason says it."""
    return f" ({found.note})" if found is not None and found.note and found.low is not None else ""


def _stood_in(metric: Metric, found: Figure | None, measured: Measurements | None) -> str:
    """Of a figure of answers that the target's own runtime did not give: what gave them."""
    if measured is None or found is None or metric.source not in ("answers", "health", "export"):
        return ""
    of_export = (measured.arms[measured.student].parity or {}).get("stand_in", "")
    said = of_export if metric.source == "export" else measured.stand_in
    return f" ({said})" if said else ""


def never_ran(target: str, measured: Measurements, checks: Iterable[Check]) -> list[Check]:
    """A check that cannot pass, of a target whose device did not run, where no other of its checks says so:
    answers that another runtime gave are no release. measured: of the target, whose `stand_in` tells; checks:
    the target's."""
    if not measured.stand_in or any(
        one.reason is Reason.NOT_RUN and one.severity == "block" for one in checks
    ):
        return []
    return [
        Check(
            target=target,
            name=DEVICE,
            metric=DEVICE,
            title="executed on its device",
            limit="it is",
            limit_value=0.0,
            passes="above",
            estimate=None,
            verdict=Verdict.INCONCLUSIVE,
            reason=Reason.NOT_RUN,
            sentence=f"{target}: executed on its device: {measured.not_run}; every other check is of answers, {measured.stand_in}.",
        )
    ]


def decide(
    found: Figure,
    limit: float,
    passes: str,
    strict: Figure | None = None,
    implausible: float | None = None,
) -> tuple[Verdict, Reason, str]:
    """PASS where the whole interval is on the good side, FAIL where it is on the bad, else INCONCLUSIVE.

    found: the figure; limit: in its dimension; passes: the good side, `below` or `above`; strict: the same
    figure at the confidence that a FAIL takes, where that is higher. A figure that is for certain better than
    `implausible` is INCONCLUSIVE, one that is not finite INVALID. The text says why.
    """
    strict = strict or found

    def shown(value: float | None) -> str:
        return format_value(value, found.dimension)

    figures = [value for value in (found.estimate, found.low, found.high, limit) if value is not None]
    figures += [value for value in (strict.low, strict.high) if value is not None]
    if not all(map(math.isfinite, figures)):
        return Verdict.INVALID, Reason.NOT_FINITE, f"a figure is not finite: {figures}"
    if found.low is None or found.high is None:
        return Verdict.INCONCLUSIVE, Reason.TOO_FEW_SAMPLES, f"{shown(found.estimate)}, but {found.note}"
    inside, outside = (
        (found.high <= limit, strict.low is not None and strict.low > limit)
        if passes == "below"
        else (found.low >= limit, strict.high is not None and strict.high < limit)
    )
    too_good = implausible is not None and (
        found.high < implausible if passes == "below" else found.low > implausible
    )
    interval = (
        "exactly"
        if found.is_exact
        else f"{shown(found.low)} to {shown(found.high)} ({found.confidence_text}) around"
    )
    if too_good:
        return (
            Verdict.INCONCLUSIVE,
            Reason.ANOMALOUS,
            f"{interval} {shown(found.estimate)} is better than is plausible ({shown(implausible)}): look at what was measured",
        )
    if inside:
        return (
            Verdict.PASS,
            Reason.WITHIN_LIMIT,
            f"{interval} {shown(found.estimate)} is {passes} {shown(limit)}",
        )
    if outside:
        return (
            Verdict.FAIL,
            Reason.OVER_LIMIT,
            f"{interval} {shown(found.estimate)} is not {passes} {shown(limit)}",
        )
    return (
        Verdict.INCONCLUSIVE,
        Reason.UNDECIDED,
        f"{UNDECIDED.format(shown(limit))}, {interval} {shown(found.estimate)}{_needed(found, limit)}",
    )


def _needed(found: Figure, limit: float) -> str:
    """How many examples would tell, where the figure is right: an interval shrinks with the root of their number."""
    if found.unit != "examples" or found.estimate is None or found.low is None or found.high is None:
        return ""
    if found.dimension == "percent" and found.estimate == 100 and found.confidence and 0 < limit < 100:
        perfect = math.ceil(
            math.log(1 - found.confidence) / math.log(limit / 100)
        )  # without one that differs
        return f"; {perfect:,} examples would tell, there are {found.n:,}"
    distance = abs(found.estimate - limit)
    half = (found.high - found.low) / 2
    most = found.n * (half / distance) ** 2 if distance else math.inf
    if most > MOST_EXAMPLES:
        return f"; no reasonable number of them would tell (of {found.n:,} examples now)"
    needed = math.ceil(max(most, found.n + 1))
    return f"; some {float(f'{needed:.2g}'):,.0f} examples would tell, there are {found.n:,}"


def limit_of(threshold: Threshold) -> float:
    """The limit of `threshold` in its figure's dimension.

    A margin of 3 pt for F1 becomes -3, of 5 % for latency 1.05.
    """
    limit = threshold.limit
    if threshold.kind != "margin":
        return limit.value
    worse = 1 if METRICS[threshold.metric].better == "lower" else -1
    return worse * limit.value if limit.dimension in DIFFERENCES else 1 + worse * limit.value / 100


def implausible_of(threshold: Threshold) -> float | None:
    """What a check's figure cannot be better than, in its dimension.

    threshold: of the check; where it names none, 5 points over a reference's score, and None for other
    metrics. None where it is against no reference.
    """
    if threshold.against is None:
        return None
    differs = threshold.kind == "margin" and threshold.limit.dimension in DIFFERENCES
    if threshold.implausible is None:
        return GAIN_POINTS if differs and threshold.limit.dimension == "points" else None
    gain = parse_quantity(threshold.implausible).value
    return gain if differs or METRICS[threshold.metric].better == "higher" else 1 / gain


def _estimate(threshold: Threshold, measured: Measurements, confidence: float) -> Figure:
    if threshold.against is None:
        return estimate(measured, measured.student, threshold.metric, confidence)
    kind = "points" if threshold.limit.dimension in DIFFERENCES else "multiple"
    if threshold.limit.dimension == "score":
        own_score.check_margin(measured, (measured.student, threshold.against), threshold.limit.value)
    found = against(measured, measured.student, threshold.against, threshold.metric, kind, confidence)
    return (
        found.model_copy(update={"dimension": "ratio"}) if threshold.limit.dimension == "percent" else found
    )


def judge(
    thresholds: Mapping[str, Mapping[str, Threshold]],
    measured: Mapping[str, Measurements],
    wall: str = "auto",
) -> list[Check]:
    """All checks of all targets, in the policy's order.

    thresholds: target → check → threshold; measured: by target; wall: as in Policy.
    """
    return [
        judge_check(target, name, threshold, measured.get(target), wall=wall)
        for target, named in thresholds.items()
        for name, threshold in named.items()
    ]
