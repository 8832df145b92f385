"""Answers that must hold, whatever else a model gets wrong."""

from itertools import islice

import numpy as np

from edgecomp.metrics.estimators.health.robustness import KEYS, given, health_of
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.stats.figure import Figure, exact

MOST_NAMED = 5


def held(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """The share of the key samples that are answered as they must be, in per cent, exactly: they are no sample of anything. measured: of one target;
    arm_name: which arm; confidence: told with the figure. Raises NotMeasured, NotFinite."""
    labels = health_of(measured).key_labels
    if not len(labels):
        raise NotMeasured("no key samples are named (health.key_samples)")
    lost = np.flatnonzero(measured.task.answers(given(measured, arm_name, KEYS)) != labels)
    shown = ", ".join(map(str, islice(lost.tolist(), MOST_NAMED)))
    more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
    note = f"answered otherwise: {shown}{more}, counted from 0" if len(lost) else ""
    return exact(100 * (1 - len(lost) / len(labels)), "percent", confidence, note)
