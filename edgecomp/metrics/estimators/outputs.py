"""All outputs of both models of a comparison, whatever they are."""

from edgecomp.metrics.estimators.common import check_finite
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.stats.figure import Figure, exact


def largest_error(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """What the output that differs most is from the baseline's, in per cent of its deviation. Raises NotMeasured, NotFinite."""
    check_finite(measured.facts)
    found = {} if arm_name != measured.student else measured.facts.get("outputs", {})
    if not found or None in found.values():
        raise NotMeasured("known of the candidate of a comparison, where all outputs of both were compared")
    return exact(float(max(found.values())), "percent", confidence)
