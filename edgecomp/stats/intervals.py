"""The statistics of the gate: pure functions, distribution-free where they can be."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

CELLS_AT_ONCE = 4_000_000
BOOTSTRAP_DRAWS = 4000  # at least; a confidence over 99 % takes more

Cells = npt.NDArray[np.int64]
Bounds = tuple[float, float, float]
"""Estimate, lower bound, upper bound."""


def proportion_bounds(hits: int, count: int, confidence: float) -> tuple[float, float]:
    """One-sided bounds, lower and upper, on a proportion of `hits` in `count` (Clopper & Pearson 1934).

    confidence: of each bound.
    """
    tail = 1 - confidence
    lower = 0.0 if hits == 0 else float(beta.ppf(tail, hits, count - hits + 1))
    upper = 1.0 if hits == count else float(beta.ppf(confidence, hits + 1, count - hits))
    return lower, upper


def accuracy(labels: Labels, predicted: Labels, weights: Values, classes: int) -> Values:
    """weights [draws, examples] → accuracy of each draw [draws].

    labels, predicted: class numbers, int64 [examples]; classes: how many there are, which does not matter
    here.
    """
    total: Values = weights.sum(axis=1)
    right: Values = weights @ (labels == predicted).astype(np.float64)
    return right / total


def macro_f1(
    labels: Labels, predicted: Labels, weights: Values, classes: int, *, of: Labels | None = None
) -> Values:
    """weights [draws, examples] → unweighted mean over classes of F1, [draws].

    labels, predicted: class numbers, int64 [examples]; classes: how many there are; of: the mean is over these alone, and all where None.

    A class that a draw neither holds nor predicts does not count; one that it holds or predicts in vain has F1 0.
    """
    columns = np.arange(classes) if of is None else of
    truth = weights @ (labels[:, None] == columns).astype(np.float64)
    answers = weights @ (predicted[:, None] == columns).astype(np.float64)
    right = weights @ ((labels[:, None] == columns) & (predicted[:, None] == columns)).astype(np.float64)
    present = truth + answers > 0
    f1 = np.divide(2 * right, truth + answers, out=np.zeros_like(right), where=present)
    return f1.sum(axis=1) / np.maximum(present.sum(axis=1), 1)  # type: ignore[no-any-return]  # numpy types no quotient


TAIL = 0.2  # of all examples


def tail(labels: Labels) -> Labels:
    """The rarest classes that together have at most a fifth of the examples, and at least the rarest of all: class numbers, int64.
    labels: int64 [examples]."""
    present, counts = np.unique(labels, return_counts=True)
    order = np.argsort(counts, kind="stable")
    within = int((counts[order].cumsum() <= TAIL * len(labels)).sum())
    return present[order[: max(1, within)]]


Score = Callable[[Labels, Labels, Values, int], Values]


def score_bounds(
    score: Score, labels: Labels, predicted: Labels, classes: int, *, confidence: float, seed: int
) -> Bounds:
    """Estimate and one-sided bootstrap bounds of a score of one model's answers.

    score: such as `accuracy`; labels, predicted: class numbers, int64 [examples]; classes: how many there
    are; confidence: of each bound; seed: of the draws.

    Two pseudo-examples of the rarest class, one right and one wrong, keep a perfect model's interval from
    having no width (Agresti & Coull 1998). Of many classes of a few examples each a draw misses some, and its macro F1 is
    lower than that of the examples it is drawn from: of 20 classes of 5 the upper bound at 95 % lies under the truth in 15 % of
    samples and the lower one over it in 1 %, so that a model at its limit fails more often, and passes less often, than it says.
    Bounds less that bias would rise, now and then, with one more wrong answer.
    """

    def scored(weights: Values, of: Cells) -> Values:
        return score(of[:, 0], of[:, 1], weights, classes)

    cells, counts = _cells(labels, predicted)
    point = float(scored(_all(counts), cells)[0])
    rare, wrong = _rarest(labels)
    cells, counts = _cells(np.append(labels, [rare, rare]), np.append(predicted, [rare, wrong]))
    draws = np.concatenate([scored(part, cells) for part in _draws(counts, confidence, seed)])
    lower, upper = np.quantile(draws, [1 - confidence, confidence])
    return point, float(np.minimum(point, lower)), float(np.maximum(point, upper))


def paired_bounds(
    score: Score,
    compare: Callable[[Values, Values], Values],
    labels: Labels,
    candidate: Labels,
    reference: Labels,
    classes: int,
    *,
    confidence: float,
    seed: int,
) -> Bounds:
    """Estimate and one-sided bounds of `compare(score of candidate, score of reference)`, on the same examples.

    score: such as `accuracy`; compare: of two scores [draws]; labels, and the answers of candidate and
    reference: class numbers, int64 [examples]; classes: how many there are; confidence: of each bound, which
    is NaN where a draw has no finite comparison; seed: of the draws.

    A paired bootstrap over examples. Two models that agree everywhere are not known to be equal, so each
    bound has one pseudo-pair of the rarest class against it: for the lower only the reference is right in it,
    for the upper only the candidate (in the spirit of Bonett & Price 2012, Statistics in Medicine 31:2099).
    A pair on each side, as there, moved a bound towards the middle, and covered 89 % where it said 95 %.
    """

    def compared(weights: Values, of: Cells) -> Values:
        with np.errstate(divide="ignore", invalid="ignore"):
            return compare(
                score(of[:, 0], of[:, 1], weights, classes), score(of[:, 0], of[:, 2], weights, classes)
            )

    def bound(for_candidate: int, for_reference: int, quantile: float) -> float:
        cells, counts = _cells(
            np.append(labels, rare), np.append(candidate, for_candidate), np.append(reference, for_reference)
        )
        draws = np.concatenate([compared(part, cells) for part in _draws(counts, confidence, seed)])
        return float(np.quantile(draws, quantile)) if np.isfinite(draws).all() else np.nan

    cells, counts = _cells(labels, candidate, reference)
    point = float(compared(_all(counts), cells)[0])
    rare, wrong = _rarest(labels)
    lower, upper = bound(wrong, rare, 1 - confidence), bound(rare, wrong, confidence)
    return point, float(np.minimum(point, lower)), float(np.maximum(point, upper))


def difference_bounds(wins: int, losses: int, count: int, confidence: float) -> Bounds:
    """Of a paired difference of proportions: right for the candidate only (`wins`) less right for the reference only, of `count`.

    confidence: of each bound, one-sided.

    Each has its exact bounds (Clopper & Pearson 1934), and the two are put together as deviations of correlated estimates are (MOVER,
    Zou & Donner 2008, Statistics in Medicine 27:1693): an example that is won is not lost, so that in a multinomial their correlation
    is negative. Without a win the lower bound is that of the losses alone, and exact.
    """
    won, lost = wins / count, losses / count
    won_lower, won_upper = proportion_bounds(wins, count, confidence)
    lost_lower, lost_upper = proportion_bounds(losses, count, confidence)
    spread = won * (1 - won) * lost * (1 - lost)
    correlation = -won * lost / math.sqrt(spread) if spread > 0 else 0.0

    def put_together(one: float, other: float) -> float:
        return math.sqrt(one**2 - 2 * correlation * one * other + other**2)

    middle = won - lost
    lower = middle - put_together(won - won_lower, lost_upper - lost)
    upper = middle + put_together(won_upper - won, lost - lost_lower)
    return middle, lower, upper


def worst(bounds: Sequence[Bounds]) -> Bounds:
    """Of groups that must all be good: the smallest estimate, and the smallest of each bound.

    bounds: of each group, one at least.
    """
    points, lowers, uppers = zip(*bounds, strict=True)
    return min(points), min(lowers), min(uppers)


def _rarest(labels: Labels) -> tuple[int, int]:
    """The class with the fewest examples, and the next that has some (or any other, where there is one class)."""
    present, counts = np.unique(labels, return_counts=True)
    order = present[np.argsort(counts, kind="stable")]
    rare = int(order[0])
    return rare, int(order[1]) if len(order) > 1 else int(rare == 0)


def _cells(*columns: Labels) -> tuple[Cells, Labels]:
    """The distinct rows (label, answer, …) and how many examples each stands for: all that a score depends on."""
    cells, counts = np.unique(np.stack(columns, axis=1), axis=0, return_counts=True)
    return cells, counts


def _all(counts: Labels) -> Values:
    """Every example once, [1, cells]."""
    return counts[None].astype(np.float64)


def _draws(counts: Labels, confidence: float, seed: int) -> Iterator[Values]:
    """How often each cell is in each bootstrap sample, [draws, cells], so much at once that memory does not grow with the confidence."""
    random, left = np.random.default_rng(seed), draws_needed(confidence)
    at_once = max(1, CELLS_AT_ONCE // len(counts))
    while left:
        some = min(left, at_once)
        yield random.multinomial(int(counts.sum()), counts / counts.sum(), size=some).astype(np.float64)
        left -= some


def draws_needed(confidence: float) -> int:
    """The bootstrap draws that a bound at `confidence` takes: 40 beyond it, and BOOTSTRAP_DRAWS at least."""
    return max(BOOTSTRAP_DRAWS, round(40 / (1 - confidence)))
