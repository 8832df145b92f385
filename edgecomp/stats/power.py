"""What a gate can tell apart on a machine, from restarts of a model beside itself that were measured there."""

from typing import NamedTuple

import numpy as np

from edgecomp.stats.intervals import proportion_bounds
from edgecomp.stats.sequential import LOOKS, Values, decide_all

GATES = 4000
GRID = (
    0.03,
    0.035,
    0.04,
    0.045,
    0.05,
    0.06,
    0.07,
    0.08,
    0.1,
    0.12,
    0.15,
    0.2,
    0.25,
    0.3,
    0.4,
    0.5,
    0.75,
    1.0,
)
CAUGHT = 0.95


class Rate(NamedTuple):
    """`hits` of `gates` with two-sided 95 % bounds (Clopper & Pearson 1934)."""

    hits: int
    gates: int
    lower: float
    upper: float

    @classmethod
    def of(cls, hits: int, gates: int) -> "Rate":
        """The rate of `hits` in `gates`, with its bounds; 0 to 1 where there are none."""
        lower, upper = proportion_bounds(hits, gates, 0.975) if gates else (0.0, 1.0)
        return cls(hits, gates, lower, upper)


def resampled(pool: Values, shift: float, seed: int, gates: int = GATES) -> Values:
    """Gates [gates, restarts] of restarts drawn from `pool` (log ratios of a model beside itself, about 0), made slower by `shift`.

    shift: a log ratio; seed: of the draws.
    """
    drawn: Values = np.random.default_rng(seed).choice(pool, (gates, LOOKS[-1]))
    return drawn + shift


def smallest_caught(
    pool: Values, limit: float, pass_alpha: float, fail_alpha: float, seed: int
) -> float | None:
    """The smallest slowdown of GRID, as a share, that a check FAILs in CAUGHT of resampled gates; None where none of them is.

    pool: log ratios of a model beside itself, [restarts]; limit: the check's, a log ratio; pass_alpha,
    fail_alpha: of all looks together, one-sided; seed: of the resampling.
    """
    for slowdown in GRID:
        gates = resampled(pool, np.log1p(slowdown), seed)
        outcomes = decide_all(gates, limit, pass_alpha=pass_alpha, fail_alpha=fail_alpha).outcomes
        if (outcomes == -1).mean() >= CAUGHT:
            return slowdown
    return None
