"""Recall at a fixed rate of false alarms."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from edgecomp.metrics.estimators.common import of_bounds
from edgecomp.metrics.estimators.scores import outputs
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import Impossible, NotMeasured, TooFewSamples
from edgecomp.stats.false_alarms import others_needed, recall_bounds
from edgecomp.stats.figure import Figure
from edgecomp.stats.intervals import Values, worst

RATE, STRICT_RATE = 0.01, 0.001

Kind = tuple[str, Values, npt.NDArray[np.bool_]]
"""A kind of alarm: its name, every example's score, and which examples are alarms."""


def recall(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """Recall, in per cent, of the kind of alarm that fares worst, at one false alarm in a hundred others. measured: of one target; arm_name: which
    arm; confidence: of each bound. Raises NotMeasured, Impossible, NotFinite."""
    return _recall(measured, arm_name, confidence, RATE)


def strict_recall(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """As `recall`, at one false alarm in a thousand others. measured, arm_name, confidence: as there."""
    return _recall(measured, arm_name, confidence, STRICT_RATE)


def _recall(measured: Measurements, arm_name: str, confidence: float, rate: float) -> Figure:
    kinds = list(_kinds(measured, arm_name))
    level = 1 - (1 - confidence) / len(kinds)  # each of several lower bounds is to hold
    bounds, needed = [], others_needed(rate, level)
    for name, scores, alarms in kinds:
        positives, others = int(alarms.sum()), int((~alarms).sum())
        if not positives:
            raise NotMeasured(f"no test example is an alarm ({name}): nothing can be recalled")
        if others < needed:
            raise TooFewSamples(
                f"{others} test examples are no alarm ({name}), and cannot show a rate of {100 * rate:g} %: it takes {needed}"
            )
        bounds.append(recall_bounds(scores, alarms, rate, level))
    place = int(np.argmin([estimate for estimate, _, _ in bounds]))
    name, _, alarms = kinds[place]
    told = f"{name}: {alarms.sum()} alarms and {(~alarms).sum()} others; false alarms at {100 * rate:g} % of the others"
    found = of_bounds(worst(bounds), 100, "percent", len(measured.labels), confidence)
    return found.model_copy(update={"note": told})


def _kinds(measured: Measurements, arm_name: str) -> Iterator[Kind]:
    logits = outputs(measured, arm_name).astype(np.float64)
    names = [str(name) for name in measured.facts.get("classes", [])]
    if measured.task.name == "multilabel":
        for place in range(logits.shape[1]):
            name = names[place] if place < len(names) else f"label {place}"
            yield name, logits[:, place], np.asarray(measured.labels[:, place] == 1)
        return
    if logits.shape[1] > 2:
        raise Impossible(
            f"an alarm is one class of two, or a label of several: there are {logits.shape[1]} classes"
        )
    scores = logits[:, -1] - (logits[:, 0] if logits.shape[1] == 2 else 0.0)
    yield names[1] if len(names) == 2 else "the second class", scores, np.asarray(measured.labels == 1)
