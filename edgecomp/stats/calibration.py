"""Is a model as sure as it is right? The root mean square calibration error, and what a reliability diagram draws.

Bins of as many examples each: of bins as wide as each other most are all but empty (Nixon et al. 2019, arXiv:1904.01685).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from edgecomp.stats.intervals import Bounds

Values = npt.NDArray[np.float64]

BINS = 15
"""Guo et al. 2017 (arXiv:1706.04599)."""
FEWEST = 20
"""Examples of a bin; where there are fewer examples there are fewer bins."""


class Bin(NamedTuple):
    """Of the diagram: how sure on average, how often right, of how many examples."""

    confidence: float
    right: float
    examples: int


def diagram(confidence: Values, right: Values) -> list[Bin]:
    """The bins, the least sure first. confidence: the probability of each answer, [N]; right: 1 where it is right, else 0, [N]."""
    return [
        Bin(float(confidence[part].mean()), float(right[part].mean()), len(part))
        for part in _bins(confidence)
    ]


def error_bounds(confidence: Values, right: Values, level: float) -> Bounds:
    """√ of the mean over examples of (a bin's confidence less its accuracy)², with one-sided bounds at `level`; from 0 to 1.

    confidence, right: as in `diagram`; 40 examples at least. A bin's chance adds its variance to the square and is taken off (Kumar, Liang & Ma 2019,
    arXiv:1909.10155, section 5), so that a calibrated model is at 0 on average, not above; the bounds are of that sum of squares, whose variance is
    Σ w²(4μ²v + 2v²) with a bin's share w, mean gap μ and variance of that mean v, which is no less than that of one right and one wrong answer more:
    a bin without a wrong answer is not known to have none. Where the squares come to less than 0, the error is 0.
    """
    gap, total, variance = confidence - right, 0.0, 0.0
    for part in _bins(confidence):
        share, mean = len(part) / len(gap), float(gap[part].mean())
        chance = float(gap[part].var(ddof=1)) / len(part)
        square = mean**2 - chance
        total += share * square
        likely = (float(right[part].sum()) + 1) / (len(part) + 2)
        unsure = max(chance, likely * (1 - likely) / len(part))
        variance += share**2 * (4 * max(0.0, square) * unsure + 2 * unsure**2)
    reach = float(norm.ppf(level)) * variance**0.5
    return _root(total), _root(total - reach), _root(total + reach)


def _root(square: float) -> float:
    return float(max(0.0, square) ** 0.5)


def _bins(confidence: Values) -> list[npt.NDArray[np.intp]]:
    """The places of each bin's examples."""
    count = max(1, min(BINS, len(confidence) // FEWEST))
    return np.array_split(np.argsort(confidence, kind="stable"), count)
