"""Bounds on a median over restarts, and the fewest samples that show a percentile: distribution-free, for the bench and a run's gate.

A comparison's bounds are in `sequential.py`.
"""

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

Values = npt.NDArray[np.float64]


def median_bounds(values: Values, confidence: float) -> tuple[float | None, float | None]:
    """One-sided lower and upper bounds on the median of independent values, by order statistics.

    The k-th smallest of n lies under the median with probability P(Bin(n, ½) ≥ k), whatever the distribution
    (David & Nagaraja, Order Statistics, 3rd ed., section 7.1). None where n is too small for `confidence`.
    """
    count = len(values)
    ranks = np.arange(1, count + 1)
    enough = ranks[binom.sf(ranks - 1, count, 0.5) >= confidence]
    if len(enough) == 0:
        return None, None
    ordered = np.sort(values)
    rank = int(enough[-1])
    return float(ordered[rank - 1]), float(ordered[count - rank])


def restarts_needed(confidence: float) -> int:
    """The fewest restarts whose extremes bound the median at `confidence`: 5 for 95 %, 7 for 99 %."""
    count = 1
    while 1 - 0.5**count < confidence:
        count += 1
    return count


def samples_needed(percentile: float, confidence: float = 0.99) -> int:
    """Samples under which a percentile is not printed: 459 for the 99th.

    percentile: in per cent; confidence: that one of the samples at least lies beyond it.

    The rule of MLPerf LoadGen's early stopping with none over (Reddi et al. 2020, arXiv:1911.02549).
    """
    return int(np.ceil(np.log(1 - confidence) / np.log(percentile / 100)))
