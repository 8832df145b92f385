"""A mean over seeds and examples, with an interval over both."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Values = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """Two-sided, at 95 %. `seeds` is how many it rests on."""

    mean: float
    lower: float
    upper: float
    seeds: int


def crossed(values: Values) -> Interval:
    """The mean of values [seeds, examples] of the same examples under each seed, such as paired differences in accuracy.

    Seeds and examples are both samples: var(mean) is at most s²(seed means)/S + s²(example means)/n, each of which holds the
    interaction as well, so the interval is if anything too wide (Owen 2007, arXiv:0712.1111). Degrees of freedom after
    Satterthwaite 1946. One seed gives an interval over examples alone, which says nothing of another seed.
    """
    seeds, examples = values.shape
    mean = float(values.mean())
    over_examples = float(values.mean(axis=0).var(ddof=1)) / examples
    if seeds == 1:
        spread, freedom = over_examples, float(examples - 1)
    else:
        over_seeds = float(values.mean(axis=1).var(ddof=1)) / seeds
        spread = over_seeds + over_examples
        parts = over_seeds**2 / (seeds - 1) + over_examples**2 / (examples - 1)
        freedom = spread**2 / parts if parts else float(examples - 1)
    reach = float(stats.t.ppf(0.975, freedom)) * spread**0.5
    return Interval(mean, mean - reach, mean + reach, seeds)


def mcnemar(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """p of the exact test that two classifiers are right equally often (McNemar 1947). first, second: right or not, [N]."""
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_first + only_second
    return 1.0 if discordant == 0 else float(stats.binomtest(only_first, discordant).pvalue)
