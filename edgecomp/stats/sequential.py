"""When a comparison that is looked at again and again may end: group-sequential t-tests on restarts.

After every number of restarts in LOOKS the mean of their log ratios is held against a margin. A look that decided at a level of
its own would, over all looks, decide wrongly more often than that: so each look has a share of the level, in proportion to the
restarts it has seen (the power family of spending, Kim & DeMets 1987, with ρ = 1). The shares add up to half
of the level: less than all of it holds for Student's t at any number of restarts, and the rest is for processes that are not normal,
such as those that run in one of two modes (tests/property/test_sequential.py). What holds is said of the mean of restarts, of a
candidate whose restarts spread as the baseline's do: one that is slow in one start of ten, and in no other, shows none such in
five restarts of ten, and passes. O'Brien & Fleming's boundary (1979) leaves
the first looks a level that five restarts hardly ever show, and takes half as many restarts again (`benchmarks/gate`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

Values = npt.NDArray[np.float64]

LOOKS = (5, 6, 8, 10, 13, 16, 20)
SPENT = 0.5
PARTS = tuple(SPENT * look / sum(LOOKS) for look in LOOKS)
"""Of the level, that each look has."""


def level(alpha: float, restarts: int) -> float:
    """The level of the look after so many restarts, of all looks' `alpha` (one-sided)."""
    return alpha * PARTS[LOOKS.index(restarts)]


def looks_until(restarts: int) -> Sequence[int]:
    """Those of LOOKS that are taken by the time there are so many restarts."""
    return [look for look in LOOKS if look <= restarts]


class Bounds(NamedTuple):
    """In log ratios."""

    mean: float
    lower: float
    upper: float


def bounds(log_ratios: Values, alpha: float) -> Bounds:
    """The mean of the restarts with bounds that hold at all looks together, each at 1 - alpha (Jennison & Turnbull 1989, repeated
    confidence intervals). Restarts that are all the same have bounds of no width.

    log_ratios: [restarts], one of LOOKS many; alpha: of all looks, on either side.
    """
    return _around(log_ratios, level(alpha, len(log_ratios)))


def null_bounds(log_ratios: Values, alpha: float) -> Bounds:
    """The mean of log_ratios [restarts] with bounds of one look only, each at 1 - alpha."""
    return _around(log_ratios, alpha)


def _around(log_ratios: Values, alpha: float) -> Bounds:
    count = len(log_ratios)
    middle = float(np.mean(log_ratios))
    width = float(student.isf(alpha, count - 1) * np.std(log_ratios, ddof=1) / np.sqrt(count))
    return Bounds(middle, middle - width, middle + width)


class Decisions(NamedTuple):
    """Of many gates: 1 PASS, -1 FAIL, 0 undecided, int [gates]; and after how many restarts each ended, int [gates]."""

    outcomes: npt.NDArray[np.int64]
    restarts: npt.NDArray[np.int64]


def decide_all(
    log_ratios: Values, limit: float, *, pass_alpha: float, fail_alpha: float, parts: Sequence[float] = PARTS
) -> Decisions:
    """What one check decides in each of many gates; log_ratios: [gates, restarts], a gate a line.

    It is `bounds` at every look, for simulations, in which each look may have another part of the level; a
    gate ends with the first look that decides, or with the last. limit: a log ratio; pass_alpha, fail_alpha:
    of all looks together, one-sided; parts: of that level, what each of LOOKS has.
    """
    gates = len(log_ratios)
    outcomes, restarts = np.zeros(gates, np.int64), np.full(gates, LOOKS[-1])
    counts = np.asarray(LOOKS)
    sums, squares = (values.cumsum(axis=1)[:, counts - 1] for values in (log_ratios, log_ratios**2))
    means = sums / counts
    errors = np.sqrt(np.maximum(squares / counts - means**2, 0) / (counts - 1))
    for place, (look, part) in enumerate(zip(LOOKS, parts, strict=True)):
        distance, error = means[:, place] - limit, errors[:, place]
        fails = distance > student.isf(fail_alpha * part, look - 1) * error
        passes = -distance >= student.isf(pass_alpha * part, look - 1) * error
        now = (outcomes == 0) & (fails | passes)
        outcomes[now] = np.where(fails[now], -1, 1)
        restarts[now] = look
    return Decisions(outcomes, restarts)
