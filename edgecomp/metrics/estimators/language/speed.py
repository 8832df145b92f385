"""Times of text that is generated: a value a restart. Each is (metric, measured, arm) → float64 [restarts]."""

import numpy as np

from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.missing import Impossible
from edgecomp.metrics.registry import Metric
from edgecomp.stats.intervals import Values


def tokens_per_second(metric: Metric, measured: Measurements, arm: Arm) -> Values:
    """Tokens a second of a whole generation, its prompt read as well, by the median generation of each restart. metric: names the samples; measured: tells how many
    tokens each generated; arm: whose samples. Raises Impossible; KeyError names samples that are missing."""
    samples = arm.samples[metric.samples]
    if samples.size == 0 or samples.min() <= 0:
        raise Impossible("a generation took no time, or none was measured")
    return np.asarray(measured.facts["new_tokens"] / (np.median(samples, axis=-1) / 1e9), np.float64)
