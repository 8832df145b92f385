"""Whether a classifier is as sure of its answers as it is right."""

import numpy as np
import numpy.typing as npt

from edgecomp.metrics.estimators.common import of_bounds
from edgecomp.metrics.estimators.scores import answers, outputs
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import Impossible, NotMeasured
from edgecomp.stats import calibration
from edgecomp.stats.figure import Figure

FEWEST = 200
"""Examples: of fewer the bounds cover too little (tests/property/test_calibration_error.py)."""


def calibration_error(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """The root mean square calibration error in per cent, on the test examples. measured: of one target; arm_name: which arm; confidence: of each
    bound. Raises NotMeasured, Impossible, NotFinite."""
    sure, right = sureness(measured, arm_name)
    if len(right) < FEWEST:
        raise NotMeasured(
            f"{len(right)} test examples do not tell how sure a model should be: it takes {FEWEST}"
        )
    return of_bounds(
        calibration.error_bounds(sure, right, confidence), 100, "percent", len(right), confidence
    )


def sureness(
    measured: Measurements, arm_name: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The probability of each answer, and 1 where it is right, else 0, [examples] each. measured: of one target; arm_name: which arm. Raises
    NotMeasured, Impossible, NotFinite."""
    given = outputs(measured, arm_name).astype(np.float64)
    right = (answers(measured, arm_name) == measured.labels).astype(np.float64)
    if measured.task.name == "probabilities":
        if given.min() < -1e-3 or given.max() > 1 + 1e-3:
            raise Impossible("outputs that are called probabilities are not from 0 to 1")
        return np.clip(given.max(axis=1), 0, 1), right
    if given.shape[1] == 1:  # one logit, for the second class
        return np.asarray(1 / (1 + np.exp(-np.abs(given[:, 0])))), right
    apart = np.exp(given - given.max(axis=1, keepdims=True))
    return np.asarray(1 / apart.sum(axis=1)), right
