"""Bytes: of a model file, exactly, and of the worker process, a value a restart; and energy, where the machine has a sensor."""

import numpy as np

from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.metrics.registry import Metric
from edgecomp.stats.figure import Figure
from edgecomp.stats.intervals import Values


def file(arm: Arm) -> int | None:
    """The size of an arm's file, with its weights' where they are a file of their own, in bytes; None where
    it is not known."""
    return arm.file_size_bytes


def parameters(arm: Arm) -> int | None:
    """What the parameters of an arm take, in bytes; None where it is not known."""
    return arm.parameter_bytes


def peak_memory(metric: Metric, measured: Measurements, arm: Arm) -> Values:
    """The high-water mark (VmHWM), less that of a worker that only imported its runtime where the metric is
    over that; bytes, [restarts]. measured: not looked at; arm: whose samples. KeyError names samples that are
    missing."""
    held = np.asarray(arm.samples[metric.samples], np.float64)
    return held - arm.samples[metric.less] if metric.less else held


def energy(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """A median over blocks of inferences, of the whole package, in mJ: without bounds, so it is shown and
    never passes. measured: of one target; arm_name: which arm; confidence: told with the figure. Raises
    NotMeasured where there is no sensor."""
    energy = measured.facts.get("energy_per_inference_mj", {}).get(arm_name)
    if energy is None:
        raise NotMeasured("energy is unavailable: no sensor here (RAPL)")
    return Figure(
        estimate=float(energy),
        low=None,
        high=None,
        dimension="energy",
        n=measured.facts["restarts"],
        unit="restarts",
        confidence=confidence,
        sided="one",
        note="the package's sensor bounds nothing",
    )
