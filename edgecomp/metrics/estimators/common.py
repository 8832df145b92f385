"""What several estimators share: an arm by name, and figures from restarts, shares and bounds."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.missing import Impossible, NotFinite, NotMeasured
from edgecomp.stats import intervals as stats
from edgecomp.stats.figure import Figure
from edgecomp.stats.order_statistics import median_bounds, restarts_needed


def arm_of(measured: Measurements, name: str) -> Arm:
    """The arm `name` of what was measured. Raises NotMeasured where there is none in `measured`."""
    if name not in measured.arms:
        raise NotMeasured(f"{name} was not measured under {measured.target}")
    return measured.arms[name]


def finite(what: str, value: float) -> float:
    """The value, as a float. Raises NotFinite where it is none, and says of what."""
    if not np.isfinite(value):
        raise NotFinite(f"{what} is {value}")
    return float(value)


def check_finite(facts: Mapping[str, Any]) -> None:
    """Raises NotFinite where any output of a model that is compared holds what is no number: one is judged, and all are used.

    facts: of a comparison, `not_finite` by arm and output.
    """
    told = [
        f"the {arm}'s output {name} holds {what}"
        for arm, outputs in facts.get("not_finite", {}).items()
        for name, what in outputs.items()
    ]
    made_up = ", of inputs that were made up (--data gives real ones)" if facts.get("made_up") else ""
    if told:
        raise NotFinite(f"{', and '.join(told)}{made_up}")


def over_restarts(values: stats.Values, dimension: str, confidence: float) -> Figure:
    """The median of restarts with one-sided order-statistic bounds. values: one a restart, [restarts];
    dimension: theirs; confidence: of each bound."""
    lower, upper = median_bounds(values, confidence)
    count, needed = len(values), restarts_needed(confidence)
    note = "" if lower is not None else f"{count} restarts bound nothing at {confidence:g}: it takes {needed}"
    return Figure(
        estimate=float(np.median(values)),
        low=lower,
        high=upper,
        dimension=dimension,
        n=count,
        unit="restarts",
        confidence=confidence,
        sided="one",
        note=note,
    )


def of_bounds(bounds: stats.Bounds, factor: float, dimension: str, count: int, confidence: float) -> Figure:
    """A score of `count` examples. bounds: estimate, lower, upper, each times `factor`; dimension: of the
    products; confidence: that the bounds were made for. Raises NotFinite."""
    point, lower, upper = (factor * value for value in bounds)
    if not np.isfinite([point, lower, upper]).all():
        raise NotFinite("the reference's score is 0, or may be: nothing is a multiple of that")
    return Figure(
        estimate=point,
        low=lower,
        high=upper,
        dimension=dimension,
        n=count,
        unit="examples",
        confidence=confidence,
        sided="one",
    )


def proportion(hits: int, count: int, confidence: float) -> Figure:
    """A share in per cent, `hits` of `count` examples, with exact one-sided bounds. confidence: of each
    bound. Raises NotMeasured, Impossible."""
    if count == 0:
        raise NotMeasured("no examples were compared")
    if not 0 <= hits <= count:
        raise Impossible(f"{hits} of {count} examples is no share")
    lower, upper = stats.proportion_bounds(hits, count, confidence)
    return of_bounds((hits / count, lower, upper), 100, "percent", count, confidence)
