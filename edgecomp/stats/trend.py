"""Whether a figure grows while a process works: memory over requests, latency over time."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import theilslopes

Values = npt.NDArray[np.float64]

BLOCKS = 8
FEWEST = 320  # samples: blocks shorter than 40 are too much like their neighbours


class Slope(NamedTuple):
    """Change of y by one x, with a two-sided interval at `confidence`; without bounds where the samples are too few."""

    value: float
    lower: float | None
    upper: float | None
    confidence: float
    samples: int


def slope(x: Values, y: Values, confidence: float = 0.95) -> Slope:
    """The median slope between medians of eight blocks of consecutive samples (Theil 1950, interval by Sen 1968).

    x, y: [samples], in the order in which they were taken; confidence: of the interval.

    The interval takes its points for independent. Single samples are not: with an autocorrelation of .9 an interval of them
    covers half of what it says. Medians of eight blocks of 40 samples and more are nearly so, and are not moved by a burst.
    """
    count = len(x)
    if count < 2:
        return Slope(0.0, None, None, confidence, count)
    blocks = min(BLOCKS, count)
    middles = [float(np.median(part)) for part in np.array_split(x, blocks)]
    levels = [float(np.median(part)) for part in np.array_split(y, blocks)]
    found = theilslopes(levels, middles, confidence)
    if count < FEWEST:
        return Slope(float(found.slope), None, None, confidence, count)
    return Slope(float(found.slope), float(found.low_slope), float(found.high_slope), confidence, count)


LEAK_BYTES = 256.0  # a request
LEAK_CONFIDENCE = 0.99


class Leak(NamedTuple):
    """`leaks` where the whole interval is over 256 B a request, and in the second half alone as well; None where the samples
    are too few to tell."""

    leaks: bool | None
    whole: Slope
    second_half: Slope


def leak(requests: Values, held_bytes: Values) -> Leak:
    """requests: answered so far; held_bytes: RSS then."""
    half = len(requests) // 2
    whole = slope(requests, held_bytes, LEAK_CONFIDENCE)
    second = slope(requests[half:], held_bytes[half:], LEAK_CONFIDENCE)
    if whole.lower is None or second.lower is None:
        return Leak(None, whole, second)
    return Leak(whole.lower > LEAK_BYTES and second.lower > LEAK_BYTES, whole, second)
