"""Bootstrap bounds of a score that is a function of sums over examples: F1 of labels, R², mean errors."""

from collections.abc import Callable, Iterator

import numpy as np

from edgecomp.stats.intervals import CELLS_AT_ONCE, Bounds, Values, draws_needed

Score = Callable[[Values], Values]
"""Sums over examples [draws, parts] → the score of each draw [draws]."""


def bounds(
    parts: Values, score: Score, worst: Values, best: Values, *, confidence: float, seed: int
) -> Bounds:
    """Estimate and one-sided bounds of a score of one model's answers, by a bootstrap over examples.

    parts: [examples, parts], what each example adds to the sums. worst, best: [parts], those of an example
    that is answered as badly and as well as any: one more of it is in each bound, that a model without a
    fault may not be known to have none (Agresti & Coull 1998). confidence: of each bound; seed: of the draws.
    """
    point = float(score(parts.sum(axis=0, keepdims=True))[0])
    lower = np.quantile(_scores(np.vstack([parts, worst]), score, confidence, seed), 1 - confidence)
    upper = np.quantile(_scores(np.vstack([parts, best]), score, confidence, seed), confidence)
    ends = sorted([float(lower), float(upper)])
    return point, min(point, ends[0]), max(point, ends[1])


def paired_bounds(
    ours: Values,
    theirs: Values,
    score: Score,
    compare: Callable[[Values, Values], Values],
    worst: Values,
    best: Values,
    *,
    confidence: float,
    seed: int,
) -> Bounds:
    """Estimate and one-sided bounds of `compare(our score, their score)` on the same examples, by a paired bootstrap.

    ours, theirs: [examples, parts]; worst, best: [parts], as in `bounds`, one more pair of which is against
    each bound, as in edgecomp.stats.intervals.paired_bounds; confidence: of each bound, which is NaN where a
    draw has no finite comparison; seed: of the draws.
    """

    def compared(sums: tuple[Values, Values]) -> Values:
        with np.errstate(divide="ignore", invalid="ignore"):
            return compare(score(sums[0]), score(sums[1]))

    def bound(our_more: Values, their_more: Values, quantile: float) -> float:
        first, second = np.vstack([ours, our_more]), np.vstack([theirs, their_more])
        draws = [compared((drawn @ first, drawn @ second)) for drawn in _draws(len(first), confidence, seed)]
        found = np.concatenate(draws)
        return float(np.quantile(found, quantile)) if np.isfinite(found).all() else np.nan

    point = float(compared((ours.sum(axis=0, keepdims=True), theirs.sum(axis=0, keepdims=True)))[0])
    one, other = bound(worst, best, 1 - confidence), bound(best, worst, confidence)
    if one > other:  # of a score where less is better
        one, other = bound(best, worst, 1 - confidence), bound(worst, best, confidence)
    return point, float(np.minimum(point, one)), float(np.maximum(point, other))


def rank_correlation_bounds(values: Values, scores: Values, *, confidence: float, seed: int) -> Bounds:
    """Spearman's rank correlation of `values` with `scores`, [pairs] each, and one-sided bounds by a bootstrap over pairs.

    One more pair is in each bound, ranked as wrongly and as rightly as any, as in `bounds`. confidence: of each bound; seed: of the draws.
    """

    def bound(end: float, quantile: float) -> float:
        more, best = np.append(values, end), np.append(scores, scores.max())
        draws = [rank_correlation(more, best, drawn) for drawn in _draws(len(more), confidence, seed)]
        return float(np.quantile(np.concatenate(draws), quantile))

    point = float(rank_correlation(values, scores, np.ones((1, len(values))))[0])
    lower, upper = bound(values.min() - 1, 1 - confidence), bound(values.max() + 1, confidence)
    return point, min(point, lower), max(point, upper)


def paired_rank_correlation_bounds(
    ours: Values,
    theirs: Values,
    scores: Values,
    compare: Callable[[Values, Values], Values],
    *,
    confidence: float,
    seed: int,
) -> Bounds:
    """Estimate and one-sided bounds of `compare(our correlation, their correlation)` with the same `scores`, by a paired bootstrap over pairs.

    ours, theirs, scores: [pairs]; confidence: of each bound, which is NaN where a draw has no finite comparison; seed: of the draws.
    """

    def compared(first: Values, second: Values, wanted: Values, drawn: Values) -> Values:
        with np.errstate(divide="ignore", invalid="ignore"):
            return compare(rank_correlation(first, wanted, drawn), rank_correlation(second, wanted, drawn))

    def bound(against: int, quantile: float) -> float:
        """against: 1, one pair more that theirs rank rightly and ours wrongly; -1, the other way."""
        ends = [ours.min() - 1, ours.max() + 1], [theirs.max() + 1, theirs.min() - 1]
        first, second = (
            np.append(one, end[against < 0]) for one, end in zip((ours, theirs), ends, strict=True)
        )
        wanted = np.append(scores, scores.max())
        draws = [compared(first, second, wanted, drawn) for drawn in _draws(len(wanted), confidence, seed)]
        found = np.concatenate(draws)
        return float(np.quantile(found, quantile)) if np.isfinite(found).all() else np.nan

    point = float(compared(ours, theirs, scores, np.ones((1, len(ours))))[0])
    lower, upper = bound(1, 1 - confidence), bound(-1, confidence)
    return point, float(np.minimum(point, lower)), float(np.maximum(point, upper))


def rank_correlation(values: Values, scores: Values, weights: Values) -> Values:
    """Spearman's rho of each draw, [draws]; 0 where all of one side are alike. values, scores: [pairs]; weights: how often each pair is in
    a draw, [draws, pairs]. What is alike has the mean of its ranks."""
    first, second = (_ranks(one, weights) for one in (values, scores))
    total = weights.sum(axis=1, keepdims=True)
    ours, theirs = (rank - (weights * rank).sum(axis=1, keepdims=True) / total for rank in (first, second))
    both = (weights * ours * theirs).sum(axis=1)
    size = np.sqrt((weights * ours**2).sum(axis=1) * (weights * theirs**2).sum(axis=1))
    rho: Values = np.divide(both, size, out=np.zeros_like(both), where=size > 0)
    return rho


def _ranks(values: Values, weights: Values) -> Values:
    """[draws, pairs]: how many lie below, and half of what is alike."""
    different, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(different)))
    held = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks: Values = (np.cumsum(held, axis=1) - held / 2)[:, place]
    return ranks


def _scores(parts: Values, score: Score, confidence: float, seed: int) -> Values:
    return np.concatenate([score(drawn @ parts) for drawn in _draws(len(parts), confidence, seed)])


def _draws(examples: int, confidence: float, seed: int) -> Iterator[Values]:
    """How often each example is in each bootstrap sample, [draws, examples], a part at a time."""
    random, left = np.random.default_rng(seed), draws_needed(confidence)
    at_once = max(1, CELLS_AT_ONCE // examples)
    while left:
        some = min(left, at_once)
        yield random.multinomial(examples, np.full(examples, 1 / examples), size=some).astype(np.float64)
        left -= some
