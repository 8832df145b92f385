"""How often a language model finds the right one of several answers to a prompt the likeliest: 0 or 1 a prompt.

Estimators are (measured, arm_name, confidence) → Figure, with a share's exact bounds; against another model by the prompts that only one is right about.
"""

from edgecomp.metrics.estimators.common import arm_of, of_bounds
from edgecomp.metrics.estimators.own_score import bounds_of_difference, bounds_of_mean
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.stats.figure import Figure
from edgecomp.stats.intervals import Values


def accuracy(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """Per cent of the prompts. measured: of one target; arm_name: which arm; confidence: of each bound. Raises NotMeasured."""
    found = _of(measured, arm_name)
    return of_bounds(bounds_of_mean(found, confidence), 100, "percent", len(found), confidence)


def accuracy_against(
    measured: Measurements, arm_name: str, reference: str, kind: str, confidence: float
) -> Figure:
    """The difference from that of the `reference`, prompt by prompt, in points. measured: of one target; arm_name: which arm; kind: `points`; confidence: of each
    bound. Raises NotMeasured."""
    if kind != "points":
        raise NotMeasured(
            "shares of right answers are compared by their difference: write a margin in points"
        )
    ours, theirs = _of(measured, arm_name), _of(measured, reference)
    if len(ours) != len(theirs):
        raise NotMeasured(
            f"{arm_name} answered {len(ours)} prompts, {reference} {len(theirs)}: they are not paired"
        )
    return of_bounds(bounds_of_difference(ours, theirs, confidence), 100, "points", len(ours), confidence)


def _of(measured: Measurements, arm_name: str) -> Values:
    """0 or 1, [prompts]. Raises NotMeasured."""
    found = arm_of(measured, arm_name).choices
    if found is None or len(found) == 0:
        raise NotMeasured("no answers were named that could be chosen from (language.choices in a recipe)")
    return found
