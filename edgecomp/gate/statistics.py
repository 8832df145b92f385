"""The statistics of the gate: pure functions, distribution-free where they can be."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, binom

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

BOOTSTRAP_DRAWS = 4000


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

    The rule of MLPerf LoadGen's early stopping with none over (Reddi et al. 2020, arXiv:1911.02549).
    """
    return int(np.ceil(np.log(1 - confidence) / np.log(percentile / 100)))


def proportion_bounds(hits: int, count: int, confidence: float) -> tuple[float, float]:
    """One-sided bounds on a proportion (Clopper & Pearson 1934)."""
    tail = 1 - confidence
    lower = 0.0 if hits == 0 else float(beta.ppf(tail, hits, count - hits + 1))
    upper = 1.0 if hits == count else float(beta.ppf(confidence, hits + 1, count - hits))
    return lower, upper


def accuracy(labels: Labels, predicted: Labels, weights: Values, classes: int) -> Values:
    """weights [draws, examples] → accuracy of each draw [draws]."""
    total: Values = weights.sum(axis=1)
    right: Values = weights @ (labels == predicted).astype(np.float64)
    return right / total


def macro_f1(labels: Labels, predicted: Labels, weights: Values, classes: int) -> Values:
    """weights [draws, examples] → unweighted mean over classes of F1, [draws].

    A class that a draw neither holds nor predicts does not count; one that it holds or predicts in vain has F1 0.
    """
    columns = np.arange(classes)
    truth = weights @ (labels[:, None] == columns).astype(np.float64)
    answers = weights @ (predicted[:, None] == columns).astype(np.float64)
    right = weights @ ((labels[:, None] == columns) & (predicted[:, None] == columns)).astype(np.float64)
    present = truth + answers > 0
    f1 = np.divide(2 * right, truth + answers, out=np.zeros_like(right), where=present)
    return f1.sum(axis=1) / present.sum(axis=1)  # type: ignore[no-any-return]


Score = Callable[[Labels, Labels, Values, int], Values]


def score_bounds(
    score: Score, labels: Labels, predicted: Labels, classes: int, *, confidence: float, seed: int
) -> tuple[float, float, float]:
    """Estimate and one-sided bootstrap bounds of a score of one model's answers.

    Two pseudo-examples of the rarest class, one right and one wrong, keep a perfect model's interval from
    having no width (Agresti & Coull 1998).
    """
    point = float(score(labels, predicted, np.ones((1, len(labels))), classes)[0])
    rare, wrong = _rarest(labels, classes)
    more_labels, more_predicted = np.append(labels, [rare, rare]), np.append(predicted, [rare, wrong])
    draws = score(more_labels, more_predicted, _draws(len(more_labels), seed), classes)
    lower, upper = np.quantile(draws, [1 - confidence, confidence])
    return point, min(point, float(lower)), max(point, float(upper))


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
) -> tuple[float, float, float]:
    """Estimate and one-sided bounds of `compare(score of candidate, score of reference)`, on the same examples.

    A paired bootstrap over examples. Two pseudo-pairs of the rarest class are added, in one of which only the
    candidate is right and in the other only the reference: two models that agree everywhere are not known
    to be equal (after Bonett & Price 2012, Statistics in Medicine 31:2099).
    """
    ones = np.ones((1, len(labels)))
    point = float(
        compare(score(labels, candidate, ones, classes), score(labels, reference, ones, classes))[0]
    )
    rare, wrong = _rarest(labels, classes)
    more_labels = np.append(labels, [rare, rare])
    more_candidate, more_reference = np.append(candidate, [rare, wrong]), np.append(reference, [wrong, rare])
    weights = _draws(len(more_labels), seed)
    draws = compare(
        score(more_labels, more_candidate, weights, classes),
        score(more_labels, more_reference, weights, classes),
    )
    lower, upper = np.quantile(draws, [1 - confidence, confidence])
    return point, min(point, float(lower)), max(point, float(upper))


def _rarest(labels: Labels, classes: int) -> tuple[int, int]:
    """The class with the fewest examples, but some, and another one."""
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    counts[counts == 0] = np.inf
    rare = int(counts.argmin())
    return rare, (rare + 1) % classes


def _draws(count: int, seed: int) -> Values:
    """How often each of `count` examples is in each bootstrap sample: [BOOTSTRAP_DRAWS, count]."""
    random = np.random.default_rng(seed)
    return random.multinomial(count, np.full(count, 1 / count), size=BOOTSTRAP_DRAWS).astype(np.float64)
