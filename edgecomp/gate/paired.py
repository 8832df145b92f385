"""Two models side by side → checks. Times and memory by group-sequential tests on restarts, everything else as in any gate.

The false FAIL of the whole gate is FALSE_FAIL: it is split over the checks that could fail by chance. The false PASS of a check is
1 - its confidence: it needs no split, because every check must pass.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.config.policy import Policy, Threshold
from edgecomp.gate.document import Check
from edgecomp.gate.judge import UNDECIDED, decide, implausible_of, judge_check, limit_of
from edgecomp.gate.verdict import UNMEASURED, Reason, Verdict
from edgecomp.metrics.comparison import AGAIN, BASELINE, BY_OUTPUT, CANDIDATE, Comparison
from edgecomp.metrics.estimators.common import check_finite
from edgecomp.metrics.measurements import LEAST_REPEATED, MOST_TIMED_ERROR, Measurements
from edgecomp.metrics.missing import Impossible, NotFinite, NotItself, NotMeasured, TooFewSamples
from edgecomp.metrics.registry import METRICS, Metric
from edgecomp.metrics.samples import IN_COMPARISON
from edgecomp.metrics.units import format_value
from edgecomp.stats.figure import Figure, confidence_text
from edgecomp.stats.order_statistics import restarts_needed, samples_needed
from edgecomp.stats.sequential import LOOKS, Values, bounds, looks_until, null_bounds

FALSE_FAIL = 0.01
NULL_ALPHA = 0.0005  # on either side
MATERIAL = 0.2  # of the margin: what the baseline may differ from itself by


def not_measured(policy: Policy) -> list[str]:
    """Checks of `policy` that no comparison can answer, in words, and what can be asked instead."""
    found = []
    for name, threshold in policy.rows.items():
        compared = threshold.what.compared
        if threshold.against not in (None, BASELINE):
            found.append(f"checks.{name}: a comparison has no {threshold.against}, but a baseline: write `against: baseline`, or leave it "
                         "out")  # fmt: skip
        elif compared is None or (threshold.against and compared != "both"):
            kind = "hold it against the baseline" if compared else f"measure {threshold.metric}"
            found.append(f"checks.{name}: a comparison does not {kind}; checks{' against: baseline' if threshold.against else ''} can be "
                         f"of {', '.join(_measured(bool(threshold.against)))}")  # fmt: skip
    return found


def _measured(against: bool) -> list[str]:
    """The metrics of a comparison: those of both models, and where nothing is held `against` the baseline those of the pair."""
    return sorted(
        metric.id
        for metric in METRICS.values()
        if metric.compared == "both" or (metric.compared and not against)
    )


def is_sequential(threshold: Threshold) -> bool:
    """Whether a threshold's check is of log ratios of restarts."""
    metric = threshold.what
    return threshold.against == BASELINE and metric.source == "restarts" and metric.compared == "both"


def is_wall(threshold: Threshold) -> bool:
    """Whether a threshold's check is of the wall time of calls."""
    return threshold.what.clock == "wall"


def takes_restarts(policy: Policy) -> bool:
    """Whether any check of `policy` is of what a process does: answers and files need none."""
    return any(threshold.what.source == "restarts" for threshold in policy.rows.values())


def judges_outputs(policy: Policy) -> bool:
    """Whether any check of `policy` is of all outputs."""
    return any(threshold.what.source == "outputs" for threshold in policy.rows.values())


def by_output(policy: Policy, facts: Mapping[str, Any]) -> tuple[Policy, list[str]]:
    """The policy with a check of each output in place of one of all, and what was taken out, in words: what no output has.

    facts: of a comparison, `outputs` and what else edgecomp.metrics.comparison.BY_OUTPUT names. A model of one output has one check.
    """
    named = {(row.metric, row.output) for row in policy.rows.values()}
    rows, taken_out = {}, []
    for name, row in policy.rows.items():
        if row.what.source != "outputs" or row.output is not None:
            rows[name] = row
            continue
        known = facts.get(BY_OUTPUT[row.metric], {})
        if not known:
            taken_out.append(f"{name} taken out ({row.text}), for no output is of such a shape")
        if len(facts["outputs"]) == 1 and known:
            rows[name] = row
            continue
        for output in known:
            if (row.metric, output) not in named:
                rows[f"{name}[{output}]"] = row.model_copy(update={"output": output})
    return policy.model_copy(update={"rows": rows}), taken_out


def times_starts(policy: Policy) -> bool:
    """Whether a check of `policy` is of what a start takes.

    Processes that start beside each other share cores, and differ by less.
    """
    return any(threshold.what.clock == "start" for threshold in policy.rows.values())


def fail_alpha(policy: Policy) -> float:
    """The level of a FAIL: of each check of `policy` that decides and could fail by chance."""
    fallible = sum(row.severity == "block" and not row.what.is_exact for row in policy.rows.values())
    return FALSE_FAIL / max(1, fallible)


def least_restarts(policy: Policy) -> int:
    """The restarts before which the checks of `policy` are not judged.

    One about the candidate alone takes as many as its order statistics do.
    """
    alone = [
        restarts_needed(max(row.confidence, 1 - fail_alpha(policy)))
        for row in policy.rows.values()
        if not is_sequential(row) and row.what.source == "restarts"
    ]
    return max([LOOKS[0], *alone])


def log_ratios(of: Comparison, metric: str, restarts: int, over: str = CANDIDATE) -> Values:
    """log(`over` / baseline) of each restart, [restarts].

    of: the comparison; metric: its id; restarts: how many, from the first; over: the candidate, or the
    baseline's second process. The baseline is the mean of its two processes, where the candidate is over.
    Raises NotMeasured.
    """
    known = METRICS[metric]
    ours, base = _levels(of, over, known, restarts), _levels(of, BASELINE, known, restarts)
    if over == CANDIDATE:
        base = (base + _levels(of, AGAIN, known, restarts)) / 2
    return over_rounds(ours - base) if ours.ndim == 2 else ours - base


def round_totals(times: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """times: ns [..., rounds, 2, calls] → what a round took, there and back, [..., rounds].

    A total, for a median of calls would hide a model that became slow for some inputs only.
    """
    return np.asarray(times.sum(axis=(-2, -1)))


def over_rounds(ratios: Values) -> Values:
    """ratios [..., rounds] → [...], the median: a burst falls on a few rounds only.

    Rounds are compared one by one, on the same inputs at the same time.
    """
    return np.asarray(np.median(ratios, axis=-1), np.float64)


def _levels(of: Comparison, arm: str, metric: Metric, restarts: int) -> Values:
    """Logarithms, [restarts, rounds] of what is compared by rounds, and else [restarts]."""
    percentile = metric.percentile
    try:
        values = of.samples(arm, IN_COMPARISON.get(metric.samples, metric.samples), restarts)
        if metric.less:
            values = values - of.samples(arm, metric.less, restarts)
    except KeyError as missing:
        raise NotMeasured(f"there are no samples {missing}") from None
    if values.min() < 0:
        raise Impossible(f"{arm}: {metric.id} is {values.min()} in a restart: no clock gives that")
    if percentile is None:
        return _log(values, arm, metric.id)
    if percentile == 50:
        return _log(round_totals(values), arm, metric.id)
    whole = values.reshape(restarts, -1)
    needed = samples_needed(percentile)
    if whole.shape[1] < needed:
        raise TooFewSamples(
            f"{whole.shape[1]} samples a restart cannot show a p{percentile:g}: it takes {needed}"
        )
    return _log(np.percentile(whole, percentile, axis=1), arm, metric.id)


def _log(values: npt.NDArray[Any], arm: str, metric: str) -> Values:
    if (values == 0).any():
        raise Impossible(f"{arm}: {metric} is 0 in a restart, and nothing is a multiple of that")
    return np.asarray(np.log(values), np.float64)


@dataclass(frozen=True)
class Setting:
    """What the checks are judged under. contended: others use this host, so wall time of one thread is theirs as well."""

    target: str
    policy: Policy
    threads: int
    contended: bool

    def advises(self, threshold: Threshold) -> bool:
        """Whether a threshold's check, which would decide, only advises here."""
        return is_wall(threshold) and self.threads == 1 and self.contended and self.policy.wall == "auto"


def judge_pair(
    of: Comparison, measured: Measurements, at: Setting, before: Sequence[Check] = ()
) -> list[Check]:
    """All checks, after as many restarts as there are.

    of: the comparison, for log ratios; measured: for all other checks; at: what they are judged under;
    before: of an earlier look, of which those stand that are not log ratios: they are judged once, so that no
    look after look makes them fail.
    """
    known = {check.name: check for check in before if not is_sequential(at.policy.rows[check.name])}
    checks = []
    for name, threshold in at.policy.rows.items():
        if is_sequential(threshold):
            check = _sequential(name, threshold, of, at)
        elif name in known:
            check = known[name]
        else:
            strict = max(threshold.confidence, 1 - fail_alpha(at.policy))
            check = judge_check(at.target, name, threshold, measured, strict, at.policy.wall)
        if threshold.what.source == "outputs" and measured.facts.get("made_up"):
            check = _not_by_made_up(check)
        if at.advises(threshold) and check.severity == "block":
            check = check.but(severity="warn", sentence=f"{check.sentence} Advisory: others use this host.")
        checks.append(check)
    return checks


def _not_by_made_up(check: Check) -> Check:
    """What outputs for inputs that were made up look like is shown, and decides nothing."""
    if check.severity != "block" or check.verdict not in (Verdict.PASS, Verdict.FAIL):
        return check
    said = f"{check.sentence} The inputs were made up, and that decides nothing: --data gives real ones."
    return check.but(verdict=Verdict.INCONCLUSIVE, reason=Reason.MADE_UP, sentence=said)


def is_clear(checks: list[Check], policy: Policy, restarts: int) -> bool:
    """Whether more restarts would not change the whole: a check of times fails, or every one is decided.

    checks: those of `policy` that decide; restarts: so far.
    """
    timed = [check for check in checks if is_sequential(policy.rows[check.name])]
    if restarts >= LOOKS[-1]:
        return True
    if restarts < least_restarts(policy) or restarts not in LOOKS:
        return False
    return any(check.verdict is Verdict.FAIL for check in timed) or all(
        check.verdict is not Verdict.INCONCLUSIVE or check.reason is Reason.ANOMALOUS for check in timed
    )


def _sequential(name: str, threshold: Threshold, of: Comparison, at: Setting) -> Check:
    """The verdict of the first look that decided, or of the last one."""
    metric = METRICS[threshold.metric]
    restarts = len(of.restarts)
    found: Figure | None = None
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
        (verdict, reason), why = UNMEASURED[type(missing)], str(missing)
    return Check(
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
) -> tuple[Figure, Verdict, Reason, str]:
    ratios = log_ratios(of, threshold.metric, look)
    if not np.isfinite(ratios).all():
        raise NotFinite("a restart gave a ratio that is not finite")

    def estimate(confidence: float) -> Figure:
        middle, lower, upper = bounds(ratios, 1 - confidence)
        return Figure(
            estimate=middle,
            low=lower,
            high=upper,
            dimension="log_ratio",
            n=look,
            unit="restarts",
            confidence=confidence,
            sided="one",
        )

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
    at = confidence_text(1 - NULL_ALPHA, "one")
    return (
        f"the baseline beside itself differs by {shown[0]} ({shown[1]} to {shown[2]} at {at}): this machine, now, calls the same model "
        "different, and nothing can be concluded"
    )


def _is_itself(of: Comparison, threshold: Threshold) -> None:
    """Raises NotFinite, NotItself where what was timed is not the model: outputs that are no numbers, or not those of the run for its
    answers, or that come from memory."""
    if not threshold.what.times_calls:
        return
    check_finite(of.facts)
    for arm, error in of.facts.get("timed_error", {}).items():
        if not error <= MOST_TIMED_ERROR:
            raise NotItself(f"the {arm}'s outputs while it was timed differ from those of its answers by {error:.2f} of their "
                            f"deviation, more than {MOST_TIMED_ERROR:g}")  # fmt: skip
    repeated = of.facts.get("repeated_over_fresh")
    if repeated is not None and not repeated >= LEAST_REPEATED:
        raise NotItself(f"the candidate takes {repeated:.2f} of the time for an input that is asked again, less than "
                        f"{LEAST_REPEATED:g} of a new one's: it seems to answer from memory")  # fmt: skip


def _span(found: Figure) -> str:
    value, lower, upper = (format_value(one, "log_ratio") for one in (found.estimate, found.low, found.high))
    return f"{value} ({lower} to {upper} at {found.confidence_text}, {found.n} restarts)"


def _undecided(found: Figure, strict: Figure, limit: float) -> str:
    shown = format_value(limit, "log_ratio")
    if found.low is not None and found.low > limit:
        return (
            f"{_span(found)} is over {shown} at a confidence of {found.confidence:g}, and not at the {strict.confidence:.4g} that a "
            "FAIL takes, so that the whole gate fails by chance in 1 % of runs at most: more restarts would tell (--max-time)"
        )
    return f"{UNDECIDED.format(shown)}, {_span(found)}: more restarts (--max-time) or a quieter machine would tell"


SENTENCES: Mapping[Reason, Callable[[Figure, Figure, float], str]] = {
    Reason.WITHIN_LIMIT: lambda found, _, limit: (
        f"{_span(found)} is within {format_value(limit, 'log_ratio')}"
    ),
    Reason.OVER_LIMIT: lambda found, _, limit: f"{_span(found)} is over {format_value(limit, 'log_ratio')}",
    Reason.ANOMALOUS: lambda found, _, limit: (
        f"{_span(found)} is better than is plausible: look at what was measured"
    ),
    Reason.UNDECIDED: _undecided,
}
