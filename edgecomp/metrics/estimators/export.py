"""The exported file as its runtime executes it, beside the fake-quant student: from what `export` wrote as parity.

Each is (measured, arm_name, confidence) → Figure.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgecomp.metrics.estimators.common import arm_of, finite, proportion
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import Impossible, NotFinite, NotMeasured, Untelling
from edgecomp.stats.figure import Figure, exact

MOST_PREVAILING = 0.97  # share of the commonest answer: 98.5 % agree where an export is right

Estimator = Callable[[Measurements, str, float], Figure]


def is_telling(parity: dict[str, Any]) -> bool:
    """Whether an agreement tells anything, by what `parity` says of the answers: a model that gives one
    answer agrees with anything: at least three answers (two of two), and so many besides the one that
    prevails that a file which gives that alone fails. Classes may be rare: of rare defects one in twenty is
    enough."""
    return bool(
        parity["classes_predicted"] >= min(3, parity["classes"]) and parity["prevailing"] <= MOST_PREVAILING
    )


def _of_parity(estimate: Callable[[dict[str, Any], float], Figure], by_probes: bool = True) -> Estimator:
    """estimate: (parity, confidence) → Figure; by_probes: whether probes that tell nothing make it worthless."""

    def estimated(measured: Measurements, arm_name: str, confidence: float) -> Figure:
        parity = arm_of(measured, arm_name).parity
        if not parity:
            raise NotMeasured("it is known of the student that is judged, and of its baselines")
        try:
            if by_probes and not is_telling(parity):
                raise Untelling(
                    f"the probes get {parity['classes_predicted']} of {parity['classes']} answers, one of them for "
                    f"{100 * parity['prevailing']:.1f} % of them: a comparison on them proves nothing"
                )
            return estimate(parity, confidence)
        except KeyError as missing:
            raise NotMeasured(f"the comparison of the export has no {missing}") from None

    return estimated


def _agreement(parity: dict[str, Any], confidence: float) -> Figure:
    return proportion(parity["agreeing"], parity["examples"], confidence)


def _kl(parity: dict[str, Any], confidence: float) -> Figure:
    return exact(finite("the divergence", parity["kl_nats"]), "nats", confidence)


def _error(parity: dict[str, Any], confidence: float) -> Figure:
    error, deviation = parity["mean_absolute_error"], parity["logit_deviation"]
    if not (np.isfinite(error) and np.isfinite(deviation) and deviation > 0):
        raise NotFinite(f"the logits differ by {error} on average and deviate by {deviation}")
    return _share(100 * error / deviation, np.inf, confidence)


def _sqnr(parity: dict[str, Any], confidence: float) -> Figure:
    return exact(finite("the logits' SQNR", parity["sqnr_db"]), "decibel", confidence)


def _worst_block(parity: dict[str, Any], confidence: float) -> Figure:
    if not parity["blocks"]:
        raise NotMeasured("no block's output was compared")
    values = (finite(f"the SQNR of {name}", value) for name, value in parity["blocks"].items())
    return exact(min(values), "decibel", confidence)


def _int8_share(parity: dict[str, Any], confidence: float) -> Figure:
    value = parity["int8_share_pct"]
    if parity.get("uncounted"):
        raise NotMeasured(f"what {', '.join(parity['uncounted'][:3])} multiplies cannot be counted")
    if value is None:
        raise NotMeasured("no layer that is meant to run in int8 was found, or the runtime does not tell")
    return _share(value, 100.0, confidence)


def _share(value: float, most: float, confidence: float) -> Figure:
    if not 0 <= finite("it", value) <= most:
        raise Impossible(f"it is {value:g} %")
    return exact(float(value), "percent", confidence)


agreement = _of_parity(_agreement)
kl = _of_parity(_kl)
error = _of_parity(_error)
sqnr = _of_parity(_sqnr)
worst_block = _of_parity(_worst_block)
int8_share = _of_parity(_int8_share, by_probes=False)
