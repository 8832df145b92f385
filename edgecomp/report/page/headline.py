"""What a report says first: the verdict and why in one line, and of each target what the student came to beside its teacher."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from edgecomp.arms import TEACHER
from edgecomp.config.policy import DIFFERENCES
from edgecomp.gate.document import Check, VerdictDocument
from edgecomp.gate.verdict import WORST_FIRST
from edgecomp.metrics.estimates import against
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.metrics.registry import FILE_SIZE, LATENCY_P50, METRICS, PEAK
from edgecomp.metrics.units import format_value
from edgecomp.report.evidence import Evidence
from edgecomp.report.figures import estimate_text, interval_text
from edgecomp.stats.figure import Figure

CONFIDENCE = 0.95
"""Of the bounds of a ratio that no check is of."""
WORDS = {LATENCY_P50: ("faster", "slower"), FILE_SIZE: ("smaller", "larger"), PEAK: ("less", "more")}
"""What a figure under the teacher's is, and one over it."""
TITLES = {LATENCY_P50: "median latency", FILE_SIZE: "model file", PEAK: "peak memory"}


class Headline(NamedTuple):
    """A figure of the teacher and of the student, and what is between them: change in words, bounds of the change, or nothing where none is known."""

    metric: str
    title: str
    teacher: str
    student: str
    change: str
    bounds: str


class Change(NamedTuple):
    """What a student is over its teacher. is_turned: whether the figure is the teacher over the student, which is then the greater."""

    figure: Figure
    is_turned: bool


class Strip(NamedTuple):
    """What one target comes to. verdict: of its own checks that decide; not_run: why there are no figures, empty where there are."""

    target: str
    verdict: str
    student: str
    not_run: str
    headlines: tuple[Headline, ...]


def why(verdict: VerdictDocument, beside: str = "") -> str:
    """The reason of `verdict` in one line: the check that decides it, its figure and its limit; of a PASS the one that is nearest to
    its limit. beside: what is said next to it, which is not said twice."""
    deciding = [check for check in verdict.checks if check.decides]
    if not deciding:
        return "No check decides."
    worst = min(deciding, key=lambda check: WORST_FIRST.index(check.verdict))
    targets = len({check.target for check in deciding})
    where = f" on {targets} targets" if targets > 1 else f" on {deciding[0].target}"
    if worst.verdict == "PASS":
        count = f"{len(deciding)} checks" if len(deciding) > 1 else "The one check"
        every = f"All {count} passed{where}" if len(deciding) > 1 else f"{count} passed{where}"
        nearest = nearest_to_its_limit(deciding)
        return f"{every}; nearest to its limit: {_told(nearest)}." if nearest else f"{every}."
    same = [check for check in deciding if check.verdict == worst.verdict]
    said = {"FAIL": "failed", "INCONCLUSIVE": "undecided", "INVALID": "invalid"}[worst.verdict]
    count = f"{len(same)} of {len(deciding)} checks{where} {said}"
    if worst.sentence.rstrip(".") in beside:
        return f"{count}."
    return f"{count}: {worst.sentence}{f' And {len(same) - 1} more.' if len(same) > 1 else ''}"


def nearest_to_its_limit(checks: Iterable[Check]) -> Check | None:
    """Of `checks` the one whose estimate is the fewest widths of its interval from its limit; None where none has a width."""
    found = [(_widths(check), check) for check in checks]
    near = [(widths, check) for widths, check in found if math.isfinite(widths)]
    return min(near, key=lambda one: one[0])[1] if near else None


def _widths(check: Check) -> float:
    figure = check.estimate
    if figure is None or figure.estimate is None or figure.low is None or figure.high is None:
        return math.inf
    width = figure.high - figure.low
    return abs(figure.estimate - check.limit_value) / width if width > 0 else math.inf


def _told(check: Check) -> str:
    figure = check.estimate
    sure = f" ({figure.confidence_text})" if figure and figure.is_bounded and not figure.is_exact else ""
    return f"{check.target}, {check.title}, {estimate_text(figure) if figure else 'no figure'}{sure}, limit {check.limit}"


def strips(evidence: Evidence) -> list[Strip]:
    """Of each target of `evidence`, in its order, the headline score, the median latency, the file's size and the peak memory."""
    return [_strip(evidence, target.name) for target in evidence.job.targets]


def _strip(evidence: Evidence, target: str) -> Strip:
    measured = evidence.measured[target]
    verdict = verdict_of(evidence, target)
    death = measured.deaths.get(measured.student)
    headlines = [headline(evidence, target, metric) for metric in headline_metrics(measured)]
    return Strip(
        target,
        verdict,
        evidence.names[measured.student],
        measured.not_run or (death.message if death else ""),
        tuple(one for one in headlines if one is not None),
    )


def verdict_of(evidence: Evidence, target: str) -> str:
    """What those checks of `target` in `evidence` that decide come to; empty where none does."""
    deciding = [check for check in evidence.verdict.checks if check.target == target and check.decides]
    return min((check.verdict for check in deciding), key=WORST_FIRST.index, default="")


def headline_metrics(measured: Measurements) -> list[str]:
    """The metrics of a strip: the score of the task, or of a user's own function, then time, size and memory. measured: of its target."""
    score = measured.task.score
    student = measured.arms.get(measured.student)
    own = ["score"] if student is not None and student.scores is not None else []
    return [*own, *([score] if score else []), LATENCY_P50, FILE_SIZE, PEAK]


def headline(evidence: Evidence, target: str, metric: str) -> Headline | None:
    """One figure of `metric` under `target` in `evidence`, of teacher and student, and what is between them; None where the student
    has none."""
    measured, figures = evidence.measured[target], evidence.figures.get(target, {})
    ours, theirs = (figures.get(arm, {}).get(metric) for arm in (measured.student, TEACHER.name))
    if ours is None or ours.estimate is None:
        return None
    change = difference(measured, metric) if theirs is not None else None
    return Headline(
        metric,
        TITLES.get(metric, METRICS[metric].title),
        format_value(theirs.estimate, theirs.dimension) if theirs else "–",
        format_value(ours.estimate, ours.dimension),
        in_words(metric, change),
        bounds(change),
    )


def difference(measured: Measurements, metric: str) -> Change | None:
    """What the student of `measured` is over its teacher in `metric`: points of a score, and else a multiple; None where the two
    cannot be compared."""
    of = METRICS[metric]
    are_points = of.source == "answers" and of.dimension in ("percent", "label", *DIFFERENCES)
    try:
        kind = "points" if are_points else "multiple"
        found = against(measured, measured.student, TEACHER.name, metric, kind, CONFIDENCE)
    except NotMeasured:
        return None
    if found.estimate is None:
        return None
    if found.dimension != "multiple" or not 0 < found.estimate < 1:
        return Change(found, False)
    low, high = (1 / bound if bound else None for bound in (found.high, found.low))
    return Change(found.model_copy(update={"estimate": 1 / found.estimate, "low": low, "high": high}), True)


def in_words(metric: str, change: Change | None) -> str:
    """`3.2 × faster`, `+0.22 pt`. metric: of the change; change: as `difference` gives it, None for nothing."""
    if change is None:
        return ""
    value, dimension = change.figure.estimate or 0.0, change.figure.dimension
    if dimension != "multiple":
        return f"{'+' if value > 0 and dimension == 'points' else ''}{format_value(value, dimension)}"
    under, over = WORDS.get(metric, ("less", "more"))
    if f"{value:.3g}" == "1":
        return "1 ×"
    return f"{value:.3g} × {under if change.is_turned else over}"


def bounds(change: Change | None) -> str:
    """What bounds a `change`, with its confidence; nothing for None."""
    if change is None:
        return ""
    if change.figure.is_exact:
        return "(exact)"
    sure = f", {change.figure.confidence_text}" if change.figure.is_bounded else ""
    return f"{interval_text(change.figure)}{sure}"
