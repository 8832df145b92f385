"""Differences of means that may be looked at after every observation: a confidence sequence, which holds at all of these looks together.

Robbins' normal mixture over the score of a difference: with v the estimated variance of the difference d, the process d / v behaves in the
information 1 / v as a Brownian motion with drift, and

    |d - δ| < v · sqrt((1/v + r) · (log((1/v + r) / r) + 2 log(1/α)))        for all looks, with probability 1 - α at least

(Robbins 1970, Annals of Mathematical Statistics 41:1397; Johari, Koomen, Pekelis & Walsh 2022, Operations Research 70:1806, whose mixture sequential
probability ratio test it inverts; Waudby-Smith et al. 2024, Annals of Statistics 52:2613, for means that are normal only in the limit). r, the
mixture's precision, decides where the sequence is narrowest and never whether it holds. Because it holds in the limit alone, nothing is said of fewer
than FEWEST observations a side, and v is the larger of Welch's variance and the pooled one: of a few hundred observations with rare or far values the
variance is mostly found too small, and a side that has a tenth of the keys was called different in 3 to 5 % of tests instead of 1 % by its own
(tests/property/test_always_valid.py, benchmarks/ab.py).
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FEWEST = 100  # observations a side
TINY = 1e-300  # of a variance
Values = npt.NDArray[np.float64]
Numbers = Any
"""A number, or an array of one for each look."""


class Sequence(NamedTuple):
    """A difference of means, candidate less baseline, with bounds that hold at every look; None where there are too few to say. variance: of the
    difference."""

    difference: float
    low: float | None
    high: float | None
    variance: float


def difference(baseline: Values, candidate: Values, alpha: float, planned: float) -> Sequence:
    """The difference of means of two samples at this look.

    baseline, candidate: observations, [n] and [m]; alpha: of either bound or the other, over all looks; planned: the variance of the difference at which the bounds are to be narrowest, such as
    that of the information that an effect of interest takes.
    """
    means = float(candidate.mean() - baseline.mean())
    counts = len(baseline), len(candidate)
    if min(counts) < FEWEST:
        return Sequence(means, None, None, math.nan)
    squares = [float(side.var()) * len(side) for side in (baseline, candidate)]
    variance = float(variance_of(*counts, *squares))
    half = float(radius(variance, alpha, planned))
    return Sequence(means, means - half, means + half, variance)


def variance_of(n: Numbers, m: Numbers, squares: Numbers, others: Numbers) -> Numbers:
    """Of the difference of two means of `n` and `m` observations, whose squared deviations from each mean come to `squares` and `others`: the larger
    of Welch's and the pooled one. Of one look, or arrays of many."""
    own = squares / (n - 1) / n + others / (m - 1) / m
    return np.maximum(own, (squares + others) / (n + m - 2) * (1 / n + 1 / m))


def radius(variance: Numbers, alpha: float, planned: float) -> Numbers:
    """Half the width of the sequence. variance: of the difference now, or at each look; alpha, planned: as in `difference`. 0 where nothing varies."""
    known, mixture = np.maximum(variance, TINY), precision(alpha, planned)
    whole = 1 / known + mixture
    half = known * np.sqrt(whole * (np.log(whole / mixture) + 2 * math.log(1 / alpha)))
    return np.where(np.asarray(variance) > 0, half, 0.0)


def precision(alpha: float, planned: float) -> float:
    """r of the sequence that is narrowest, near enough, where the variance is `planned` (Howard et al. 2021, Annals of Statistics 49:1055, eq. 21).
    alpha: as in `difference`."""
    return 1 / planned / (2 * math.log(1 / alpha) + math.log(1 + 2 * math.log(1 / alpha)))


def factor(found: Sequence, limit: float, alpha: float, planned: float) -> float | None:
    """How many times as many observations would tell on which side of `limit` the difference lies, if it stays what it is; None where it lies on
    it, or nothing is known. found: at this look; alpha, planned: as in `difference`."""
    away = abs(found.difference - limit)
    if found.low is None or away == 0:
        return None
    low, high = 1.0, 2.0
    while radius(found.variance / high, alpha, planned) > away:
        low, high = high, 2 * high
        if high > 1e9:
            return None
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if radius(found.variance / middle, alpha, planned) < away else (middle, high)
        )
    return high
