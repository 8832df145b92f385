"""The tail of the classes, and its macro F1 beside scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from edgecomp.stats.intervals import macro_f1, tail


def test_the_tail_is_the_rarest_classes_with_a_fifth_of_the_examples() -> None:
    assert sorted(tail(np.repeat(np.arange(5), [60, 21, 10, 5, 4])).tolist()) == [2, 3, 4]
    assert tail(np.repeat(np.arange(2), [50, 50])).tolist() == [0]
    assert tail(np.repeat(np.array([7, 2]), [90, 10])).tolist() == [2]


def test_its_macro_f1_is_the_mean_over_these_classes() -> None:
    random = np.random.default_rng(0)
    labels = random.choice(6, 500, p=[0.5, 0.3, 0.1, 0.05, 0.03, 0.02])
    answers = np.where(random.random(500) < 0.7, labels, random.integers(0, 6, 500))
    rare = tail(labels)
    found = macro_f1(labels, answers, np.ones((1, 500)), 6, of=rare)[0]
    assert found == pytest.approx(f1_score(labels, answers, labels=rare, average="macro"))
    assert macro_f1(labels, answers, np.ones((1, 500)), 6)[0] != pytest.approx(found)
