"""From which margin on an answer is kept, and under which it is handed on: a margin with a bound on what that loses."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgecomp.stats.intervals import Values, proportion_bounds


class Kept(NamedTuple):
    """margin: answers of a smaller one are handed on; handed_on: their share; lost: the share of all examples that the next one answers right and
    that are kept and wrong; lost_at_most: its upper bound."""

    margin: float
    handed_on: float
    lost: float
    lost_at_most: float


def smallest(
    margins: Values, lost: npt.NDArray[np.bool_], most_lost: float, confidence: float
) -> Kept | None:
    """The smallest margin that keeps what is lost under `most_lost`, at that `confidence`; None where even handing on everything shows no such bound.

    margins: [N], how sure the first one is; lost: [N], which examples are lost where its answer is kept. What is lost falls as the margin
    rises, so that a bound at each margin (Clopper & Pearson 1934) is one at the margin that is chosen by it (Bates et al. 2021,
    arXiv:2101.02703, theorem 1). The examples are to be none that the networks were trained on.
    """
    count, allowed = len(margins), -1
    while allowed < count and proportion_bounds(allowed + 1, count, confidence)[1] <= most_lost:
        allowed += 1
    if allowed < 0:
        return None
    order = np.argsort(margins, kind="stable")[::-1]
    at, counted = (
        margins[order],
        np.cumsum(lost[order]),
    )  # what is lost where this one and all surer ones are kept
    ends = np.append(at[:-1] > at[1:], True)  # equally sure ones are kept together
    kept = np.flatnonzero(ends & (counted <= allowed))
    if not len(kept):
        return Kept(math.inf, 1.0, 0.0, proportion_bounds(0, count, confidence)[1])
    place = int(kept[-1])
    found = int(counted[place])
    upper = proportion_bounds(found, count, confidence)[1]
    return Kept(float(at[place]), 1 - (place + 1) / count, found / count, upper)


def examples_needed(most_lost: float, confidence: float) -> int:
    """The fewest examples on which a margin can be shown to lose at most `most_lost` of them, at that `confidence`."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - most_lost))
