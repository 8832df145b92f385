"""A metric's figure from what was measured: of one arm, or held against another's. Its row in the registry names the function.

What a row's estimator is, by its source:

- `restarts`: (metric, measured, arm) → float64 [restarts], in the metric's base unit; the figure is their median with order-statistic
  bounds, and against another arm the median of the restarts' ratios;
- `file`: (arm) → number or None, known exactly; against another arm the ratio;
- any other: (measured, arm_name, confidence) → Figure, with bounds of its own; its row's comparator, where it has one, is
  (measured, arm_name, reference, kind, confidence) → Figure.
"""

from importlib import import_module
from typing import Any

import numpy as np

from edgecomp.metrics.estimators.common import arm_of, over_restarts
from edgecomp.metrics.measurements import LEAST_REPEATED, MOST_TIMED_ERROR, Arm, Measurements
from edgecomp.metrics.missing import Impossible, NotFinite, NotItself, NotMeasured
from edgecomp.metrics.registry import METRICS, Metric
from edgecomp.stats import intervals as stats
from edgecomp.stats.figure import Figure, exact

LEAST_AS_TRAINED_DB = 30.0  # of a network in float: bfloat16 gives some 45, float32 over 100


def function(name: str) -> Any:
    """What `name`, FILE:FUNCTION of edgecomp.metrics.estimators, names."""
    file, _, called = name.partition(":")
    return getattr(import_module(f"edgecomp.metrics.estimators.{file}"), called)


def estimate(measured: Measurements, arm_name: str, metric_id: str, confidence: float) -> Figure:
    """A metric of one arm, in the metric's own dimension. measured: of one target; arm_name, metric_id: which
    arm and which metric of the registry; confidence: of its bounds, 0.95 for 95 %. Raises NotMeasured."""
    metric = METRICS[metric_id]
    _is_of_task(measured, metric)
    if metric.source == "restarts":
        return over_restarts(by_restart(measured, arm_name, metric), metric.dimension, confidence)
    if metric.source == "file":
        return exact(_stored(measured, arm_name, metric), metric.dimension, confidence)
    if not metric.estimator:
        raise NotMeasured("it is not measured here")
    found: Figure = function(metric.estimator)(measured, arm_name, confidence)
    return found


def against(
    measured: Measurements, arm_name: str, reference: str, metric_id: str, kind: str, confidence: float
) -> Figure:
    """A metric of one arm held against another's: a multiple of it, or points of difference.

    measured: of one target; arm_name, reference: the arm and the other; metric_id: of the registry; kind:
    `multiple` or `points`; confidence: of its bounds, 0.95 for 95 %. Metrics of restarts are compared within
    a restart, answers example by example. Raises NotMeasured.
    """
    _is_as_trained(measured, reference)
    metric = METRICS[metric_id]
    _is_of_task(measured, metric)
    if not metric.relative:
        raise NotMeasured(f"{metric.id} is not compared with a reference")
    if metric.source == "restarts":
        ours, theirs = (by_restart(measured, name, metric) for name in (arm_name, reference))
        if len(ours) != len(theirs):
            raise NotMeasured(
                f"{arm_name} has {len(ours)} restarts, {reference} {len(theirs)}: they are not paired"
            )
        if theirs.min() <= 0:
            raise Impossible(f"{reference}: {metric.id} is 0 in a restart, and nothing is a multiple of that")
        return over_restarts(ours / theirs, "multiple", confidence)
    if metric.source == "file":
        ratio = _stored(measured, arm_name, metric) / _stored(measured, reference, metric)
        return exact(ratio, "multiple", confidence)
    found: Figure = function(metric.comparator)(measured, arm_name, reference, kind, confidence)
    return found


def _is_of_task(measured: Measurements, metric: Metric) -> None:
    """Raises NotMeasured where answers of this task have no such score."""
    if metric.tasks and measured.task.name not in metric.tasks:
        *others, last = metric.tasks
        tasks = f"{', '.join(others)} and {last}" if others else last
        raise NotMeasured(f"{metric.id} is of {tasks}, and the task is {measured.task.name}")


def by_restart(measured: Measurements, arm_name: str, metric: Metric) -> stats.Values:
    """A metric's value of each restart of an arm, [restarts]. measured: of one target; arm_name: which arm of
    it. Raises NotMeasured, NotFinite, Impossible."""
    if metric.times_calls:
        _is_itself(measured, arm_name)
    values = raw_values(metric, measured, arm_of(measured, arm_name), arm_name)
    if len(values) == 0:
        raise NotMeasured("no restart was measured")
    if not np.isfinite(values).all():
        raise NotFinite(f"{arm_name}: a restart gave a value that is not finite")
    least = 0.0 if metric.less else np.nextafter(0.0, 1.0)
    if values.min() < least:
        raise Impossible(f"{arm_name}: a restart measured {values.min():g} {metric.dimension}")
    return values


def raw_values(metric: Metric, measured: Measurements, arm: Arm, arm_name: str = "it") -> stats.Values:
    """The values of a metric by restart, [restarts], whatever they are: of `arm`, one of what was measured.
    arm_name: as messages name it. Raises NotMeasured where samples are missing or too few."""
    try:
        found: stats.Values = function(metric.estimator)(metric, measured, arm)
    except KeyError as missing:
        raise NotMeasured(f"{arm_name} has no samples {missing}") from None
    return found


def not_as_trained(measured: Measurements, arm_name: str) -> str:
    """That the file of a network in float is not that network here, with its figure; else nothing. measured:
    of one target; arm_name: the network's."""
    sqnr_db = measured.facts.get("as_trained_sqnr_db", {}).get(arm_name)
    if sqnr_db is None or sqnr_db >= LEAST_AS_TRAINED_DB:
        return ""
    return (
        f"the file of {arm_name}, in float, is not the network that was trained: the logits' SQNR is {sqnr_db:.1f} dB, "
        f"less than {LEAST_AS_TRAINED_DB:g}"
    )


def _is_as_trained(measured: Measurements, reference: str) -> None:
    """Raises NotItself where a reference's file computes something else than its network did: it may be a lower bar."""
    if said := not_as_trained(measured, reference):
        raise NotItself(f"{said}: nothing can be held against it")


def _is_itself(measured: Measurements, arm_name: str) -> None:
    """Raises NotItself where outputs while timed are not the accuracy run's, or repeated inputs are answered from memory."""
    audit = measured.facts.get("audit", {}).get(arm_name)
    if audit is None:
        return
    if audit["timed_error"] is None:
        raise NotFinite(f"{arm_name} gave outputs that are not finite while it was timed")
    if not audit["timed_error"] <= MOST_TIMED_ERROR:
        raise NotItself(f"{arm_name}: its outputs while it was timed differ from the accuracy run's by {audit['timed_error']:.2f} "
                        f"of their deviation, more than {MOST_TIMED_ERROR:g}")  # fmt: skip
    if not audit["repeated_over_fresh"] >= LEAST_REPEATED:
        raise NotItself(f"{arm_name}: an input that is asked again takes {audit['repeated_over_fresh']:.2f} of the time of a new one, "
                        f"less than {LEAST_REPEATED:g}: it seems to be answered from memory")  # fmt: skip


def _stored(measured: Measurements, arm_name: str, metric: Metric) -> float:
    value = function(metric.estimator)(arm_of(measured, arm_name))
    if value is None:
        raise NotMeasured("it is not known of a model file")
    if value <= 0:
        raise Impossible(f"{arm_name}: {metric.id} is {value}")
    return float(value)
