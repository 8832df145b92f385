"""How sure a classifier is of its answers, from logits of each kind."""

from typing import Any

import numpy as np
import pytest

from edgecomp.metrics.estimators.calibration import FEWEST, error, sureness
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.missing import Impossible, NotMeasured

LABELS = np.arange(FEWEST) % 2


def measured(outputs: Any, task: str = "classification", labels: Any = LABELS) -> Measurements:
    arm = Arm({}, np.asarray(outputs, np.float32), {}, 0, {}, None)
    return Measurements(
        "here", "onnxruntime-cpu", {"student": arm}, labels, 1, {"task": task}, student="student"
    )


def test_logits_of_any_kind_say_how_sure_they_are() -> None:
    odds = np.log(3.0)
    two = np.stack([np.where(LABELS == 0, odds, 0.0), np.where(LABELS == 1, odds, 0.0)], axis=1)
    for given, task in (
        (two, "classification"),
        (two + 500, "classification"),  # that the exponential of would be infinite
        (np.where(LABELS == 1, odds, -odds)[:, None], "binary"),
        (np.where(two > 0, 0.75, 0.25), "probabilities"),
    ):
        sure, right = sureness(measured(given, task), "student")
        assert sure == pytest.approx(np.full(FEWEST, 0.75), abs=1e-5)  # of float32 at 500
        assert right.all()
    figure = error(measured(two), "student", 0.95)
    assert figure.estimate == pytest.approx(25, abs=0.1)  # always right, and sure of it at 75 %
    assert figure.low is not None
    assert figure.high is not None
    assert 20 < figure.low < figure.estimate < figure.high < 30


def test_what_is_no_probability_and_what_is_too_few() -> None:
    with pytest.raises(Impossible, match="not from 0 to 1"):
        error(measured(np.full((FEWEST, 2), 2.0), "probabilities"), "student", 0.95)
    with pytest.raises(NotMeasured, match=f"199 test examples .* it takes {FEWEST}"):
        error(measured(np.zeros((199, 2)), labels=LABELS[:199]), "student", 0.95)
