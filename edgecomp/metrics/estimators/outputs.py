"""Outputs of both models of a comparison as numbers, whatever they mean: the one that differs most, or the one that a check is of."""

from typing import Any

from edgecomp.metrics.comparison import BY_OUTPUT
from edgecomp.metrics.estimators.common import check_finite, proportion
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.stats.figure import Figure, exact


def largest_error(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """Of the output that differs most, in per cent of the baseline's deviation, exactly. measured: of a
    comparison; arm_name: the candidate's; confidence: told with the figure. Raises NotMeasured, NotFinite."""
    found = _of(measured, arm_name, "output_error_pct")
    name = max(found, key=lambda one: float(found[one]))
    return exact(float(found[name]), "percent", confidence, _called(found, name))


def least_cosine(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """Of the output whose cosine is the smallest, in per cent, exactly. measured: of a comparison; arm_name:
    the candidate's; confidence: told with the figure. Raises NotMeasured, NotFinite."""
    found = _of(measured, arm_name, "output_cosine_pct")
    name = min(found, key=lambda one: float(found[one]))
    return exact(float(found[name]), "percent", confidence, _called(found, name))


def least_agreement(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """Of the output whose share of agreeing examples is the smallest, in per cent, with its exact bounds.
    measured: of a comparison; arm_name: the candidate's; confidence: of each bound. Raises NotMeasured,
    NotFinite."""
    found = _of(measured, arm_name, "output_agreement_pct")
    shares = {name: proportion(agreeing, count, confidence) for name, (agreeing, count) in found.items()}
    name = min(shares, key=lambda one: shares[one].low or 0.0)
    return shares[name].model_copy(update={"note": _called(found, name)})


def _of(measured: Measurements, arm_name: str, metric: str) -> dict[str, Any]:
    """By output, what is known of it."""
    check_finite(measured.facts)
    found = {} if arm_name != measured.student else measured.facts.get(BY_OUTPUT[metric], {})
    if not found or None in found.values():
        raise NotMeasured(
            "known of the candidate of a comparison, where outputs of such a shape were compared"
        )
    return dict(found)


def _called(found: dict[str, Any], name: str) -> str:
    return f"output {name}" if len(found) > 1 else ""
