"""Memory of the worker process: a value a restart."""

import numpy as np

from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.registry import Metric
from edgecomp.stats.intervals import Values


def peak(metric: Metric, measured: Measurements, arm: Arm) -> Values:
    """The high-water mark (VmHWM), less that of a worker that only imported its runtime where the metric is over that; bytes, [restarts]."""
    held = np.asarray(arm.samples[metric.samples], np.float64)
    return held - arm.samples[metric.less] if metric.less else held
