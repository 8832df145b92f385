"""Pairs with a similarity score: read, kept together, and judged by the rank correlation of their cosines."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from edgecomp.data.duplicates import with_pairs
from edgecomp.data.sources import Examples, Source
from edgecomp.data.splits import Split, write_splits
from edgecomp.errors import DataError
from edgecomp.metrics.estimates import against, estimate
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.stats import resampling
from edgecomp.tasks import task
from edgecomp.tasks.embedding import cosines_and_scores, directions

RANDOM = np.random.default_rng(0)


def pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels [2 · pairs, 2] in random order, and vectors whose cosines go with the scores."""
    angle = np.linspace(0, 3, count) + RANDOM.normal(0, 0.3, count)
    first = RANDOM.normal(size=(count, 2))
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    second = np.einsum("nij,nj->ni", turn, first)
    labels = np.stack([np.arange(count), np.round(5 - np.linspace(0, 5, count))], axis=1)
    order = RANDOM.permutation(2 * count)
    return np.concatenate([labels, labels]).astype(np.float32)[order], np.concatenate([first, second])[order]


def measured(labels: np.ndarray, **arms: np.ndarray) -> Measurements:
    made = {name: Arm({}, vectors.astype(np.float32), {}, 1, {}, None) for name, vectors in arms.items()}
    return Measurements("t", "fake", made, labels, 1, {"task": "similarity"}, student="ours")


def test_the_correlation_is_scipys_with_ties_and_weights() -> None:
    values, scores = np.round(RANDOM.normal(size=60), 1), np.round(RANDOM.normal(size=60))
    weights = RANDOM.multinomial(60, np.full(60, 1 / 60), size=5).astype(np.float64)
    for drawn, found in zip(weights, resampling.rank_correlation(values, scores, weights), strict=True):
        repeated = np.repeat(np.arange(60), drawn.astype(int))
        assert found == pytest.approx(spearmanr(values[repeated], scores[repeated]).statistic)


def test_it_is_judged_by_cosines_of_pairs() -> None:
    labels, vectors = pairs(120)
    along = directions(vectors)
    by_hand = {}
    for number in range(120):
        one, other = np.flatnonzero(labels[:, 0] == number)
        by_hand[number] = along[one] @ along[other], labels[one, 1]
    rho = 100 * spearmanr(*zip(*by_hand.values(), strict=True)).statistic
    assert task("similarity").validation_score(vectors, labels) == pytest.approx(rho)
    worse = vectors + RANDOM.normal(0, 1.5, vectors.shape)
    of = measured(labels, ours=worse, teacher=vectors)
    found = estimate(of, "teacher", "spearman_pct", 0.95)
    assert found.estimate == pytest.approx(rho, abs=1e-3)
    assert found.low is not None
    assert found.high is not None
    assert found.low < rho < found.high
    less = against(of, "ours", "teacher", "spearman_pct", "points", 0.95)
    assert less.high is not None
    assert less.high < 0
    same = against(of, "teacher", "teacher", "spearman_pct", "points", 0.95)
    assert same.estimate == 0
    assert same.low is not None
    assert same.low < 0
    assert len(cosines_and_scores(vectors[:150], labels[:150])[0]) < 75  # of whole pairs alone


def test_the_paired_bound_covers() -> None:
    """Of many samples of one population, the lower bound lies over the true difference about as seldom as it says."""
    random, over, trials = np.random.default_rng(1), 0, 120
    truth = None
    for trial in range(trials + 1):
        size = 60 if trial else 100_000
        wanted = random.normal(size=size)
        ours, theirs = (wanted + random.normal(0, noise, size) for noise in (0.8, 0.6))
        if truth is None:
            truth = spearmanr(ours, wanted).statistic - spearmanr(theirs, wanted).statistic
            continue
        _, lower, _ = resampling.paired_rank_correlation_bounds(
            ours, theirs, wanted, np.subtract, confidence=0.95, seed=0
        )
        over += lower > truth
    assert over <= 13  # of 120 at 5 %: 6; more than 13 in one of 500 such tests


def test_pairs_stay_together_where_splits_are_carved(tmp_path: Path) -> None:
    labels, vectors = pairs(200)
    same = with_pairs(np.arange(400), labels[:, 0])
    assert len(np.unique(same)) == 200
    assert len(np.unique(with_pairs(np.r_[np.arange(399), 0], labels[:, 0]))) == 199  # one text of two pairs
    source = Source({"train": Examples(vectors.astype(np.float32), labels)}, ())
    write_splits(
        source, task="similarity", standardise=False, test_fraction=0.25, validation_fraction=0.15, calibration_fraction=0.05,
        limit=None, tokenizer=None, seed=0, folder=tmp_path,
    )  # fmt: skip
    for name in ("train", "validation", "test"):
        split = Split.load(tmp_path, name)
        assert (np.unique(split.labels[:, 0], return_counts=True)[1] == 2).all(), name
        assert task("similarity").misfit(split.arrays["values"], split.labels) == ""


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a", 1.0), ("a", 1.0), ("b", 2.0)], "pair 'b' has 1 examples, and a pair two"),
        ([("a", 1.0), ("a", 3.0)], "the examples of a pair have the scores 1 and 3"),
        ([1.0, 2.0], "takes the pair that an example is of, and the pair's score"),
        ([("a", 1.0), ("a", 1.0), ("b", 1.0), ("b", 1.0)], "every pair has the same score"),
    ],
)
def test_what_are_no_pairs_is_told(rows: list[object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        task("similarity").encode({"train": rows}, None, "pairs.csv")
