"""Times of calls and of starts, and throughput: a value a restart.

Each is (metric, measured, arm) → float64 [restarts].
"""

import numpy as np

from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.missing import Impossible, NotMeasured, TooFewSamples
from edgecomp.metrics.registry import Metric
from edgecomp.stats.intervals import Values
from edgecomp.stats.order_statistics import samples_needed

NS_PER_MS = 1e6


def of_calls(metric: Metric, measured: Measurements, arm: Arm) -> Values:
    """The metric's percentile of each restart's calls, in ms. measured: not looked at; arm: whose samples.
    Raises NotMeasured, TooFewSamples; KeyError names samples that are missing."""
    samples, percentile = arm.samples[metric.samples], metric.percentile or 50.0
    if samples.size == 0:
        raise NotMeasured("no inference was measured")
    needed = calls_needed(metric)
    if samples.shape[-1] < needed:
        raise TooFewSamples(f"{samples.shape[-1]} samples a restart cannot show a p{percentile:g}: it takes {needed} "
                            "(bench.iterations)")  # fmt: skip
    return np.asarray(np.percentile(samples, percentile, axis=-1) / NS_PER_MS, np.float64)


def calls_needed(metric: Metric) -> int:
    """How many calls of a restart the percentile of `metric` takes."""
    return (
        samples_needed(metric.percentile) if metric.percentile is not None and metric.percentile > 50 else 1
    )


def of_starts(metric: Metric, measured: Measurements, arm: Arm) -> Values:
    """What each restart's start took, in ms. metric: names the samples; measured: not looked at; arm: whose
    samples. KeyError names samples that are missing."""
    return np.asarray(arm.samples[metric.samples] * (1 / NS_PER_MS), np.float64)


def throughput(metric: Metric, measured: Measurements, arm: Arm) -> Values:
    """Examples a second, by the median batch of each restart. metric: names the samples; measured: tells how
    many examples a batch has, and why none was run; arm: whose samples. Raises NotMeasured, Impossible;
    KeyError names samples that are missing."""
    if why := measured.facts.get("batch_failed"):
        raise NotMeasured(why)
    samples = arm.samples[metric.samples]
    if samples.size == 0 or samples.min() <= 0:
        raise Impossible("an offline batch took no time, or none was measured")
    seconds = np.median(samples, axis=-1) / 1e9
    return np.asarray(measured.offline_batch / seconds, np.float64)


def stream(metric: Metric, measured: Measurements, arm: Arm) -> Values:
    """Lines of text a second, of each restart. metric: names the samples; measured: tells why there is none; arm: whose samples. Raises NotMeasured,
    Impossible."""
    if why := measured.facts.get("stream_failed"):
        raise NotMeasured(str(why))
    if metric.samples not in arm.samples:
        raise NotMeasured("no stream was measured: bench.stream=true, of texts")
    samples = arm.samples[metric.samples]
    if samples.size == 0 or samples.min() <= 0:
        raise Impossible("a line took no time, or none was measured")
    return np.asarray(1e9 / samples, np.float64)
