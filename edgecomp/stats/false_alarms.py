"""How much is recalled at a fixed rate of false alarms, with bounds that count the threshold's own uncertainty."""

import math

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from edgecomp.stats.intervals import Bounds, Values, proportion_bounds


def recall_bounds(scores: Values, alarms: npt.NDArray[np.bool_], rate: float, confidence: float) -> Bounds:
    """The share of alarms whose score is over the threshold that so many others are over, with one-sided bounds, each at `confidence`.

    scores: [N], the higher the more of an alarm; alarms: [N], which are; rate: of false alarms, from 0 to 1; of each kind one example at least.

    The threshold is a quantile of the others' scores, and is bounded by their order statistics (David & Nagaraja, Order Statistics, 3rd ed., section
    7.1); what is recalled over that bound, by Clopper and Pearson. Each takes half of the error (Bonferroni), so that the bounds hold for any
    distribution, ties too. Where the others are too few to bound their quantile, what is recalled is bounded by 0.
    """
    others, found = np.sort(scores[~alarms]), scores[alarms]
    half = (1 + confidence) / 2
    ranks = np.arange(1, len(others) + 1)
    above = ranks[binom.sf(ranks - 1, len(others), 1 - rate) <= 1 - half]
    below = ranks[binom.cdf(ranks - 1, len(others), 1 - rate) <= 1 - half]
    high = float(others[above[0] - 1]) if len(above) else math.inf
    low = float(others[below[-1] - 1]) if len(below) else -math.inf
    middle = float(others[max(1, math.ceil(len(others) * (1 - rate) - 1e-9)) - 1])

    def recalled(threshold: float) -> int:
        return int((found > threshold).sum())

    lower, _ = proportion_bounds(recalled(high), len(found), half)
    _, upper = proportion_bounds(recalled(low), len(found), half)
    return recalled(middle) / len(found), lower, upper


def others_needed(rate: float, confidence: float) -> int:
    """The fewest examples that are no alarm whose scores bound the threshold of that `rate` from above, at `confidence` as `recall_bounds` has it."""
    return math.ceil(math.log((1 - confidence) / 2) / math.log(1 - rate))
