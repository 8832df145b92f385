"""The calibration error: what it is of, and how often its bounds hold, simulated."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecomp.stats.calibration import BINS, diagram, error_bounds

Values = npt.NDArray[np.float64]
LEVEL = 0.95


def answered(seed: int, examples: int, surer: float, a: float, b: float) -> tuple[Values, Values]:
    """A model that says more than is so, by as much everywhere: its error is that."""
    random = np.random.default_rng(seed)
    sure = 0.3 + 0.7 * random.beta(a, b, examples)
    return sure, (random.random(examples) < np.clip(sure - surer, 0, 1)).astype(np.float64)


@pytest.mark.parametrize(("a", "b"), [(4, 1.2), (40, 1), (1, 1)])
@pytest.mark.parametrize("examples", [200, 2000])
@pytest.mark.parametrize("surer", [0.0, 0.05, 0.2])
def test_bounds_hold_as_often_as_they_say(a: float, b: float, examples: int, surer: float) -> None:
    drawn = [error_bounds(*answered(seed, examples, surer, a, b), LEVEL) for seed in range(400)]
    above = np.mean([lower > surer + 1e-12 for _, lower, _ in drawn])
    below = np.mean([upper < surer for _, _, upper in drawn])
    assert above <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5  # what a gate fails by
    assert below <= 0.1  # at 200 examples and an error of 0.2 they cover 91 %


def test_a_model_that_is_as_sure_as_right_is_not_called_otherwise() -> None:
    """In three hundred clean ones: a check of 3 % does not fail."""
    drawn = [error_bounds(*answered(seed, 450, 0.0, 8, 1), LEVEL) for seed in range(300)]
    assert sum(lower > 0.03 for _, lower, _ in drawn) == 0


def test_never_wrong_is_not_known_to_be_so() -> None:
    middle, lower, upper = error_bounds(np.ones(450), np.ones(450), LEVEL)
    assert (middle, lower) == (0, 0)
    assert 0.01 < upper < 0.05


@given(st.integers(0, 2**32 - 1), st.integers(40, 400))
@settings(max_examples=50, deadline=None)
def test_the_diagram_is_of_every_example_and_order_says_nothing(seed: int, examples: int) -> None:
    sure, right = answered(seed, examples, 0.1, 3, 1)
    bins = diagram(sure, right)
    assert sum(one.examples for one in bins) == examples
    assert len(bins) <= BINS
    assert max(one.examples for one in bins) - min(one.examples for one in bins) <= 1
    means = [one.confidence for one in bins]
    assert means == sorted(means)
    assert sum(one.right * one.examples for one in bins) == pytest.approx(right.sum())
    shuffled = np.random.default_rng(seed).permutation(examples)
    assert error_bounds(sure[shuffled], right[shuffled], LEVEL) == pytest.approx(
        error_bounds(sure, right, LEVEL)
    )


def test_it_is_the_root_of_the_mean_square_less_chance() -> None:
    """Of one bin, in loops."""
    random = np.random.default_rng(1)
    sure, right = random.uniform(0.5, 1, 39), random.integers(0, 2, 39).astype(np.float64)
    gaps = [one - other for one, other in zip(sure, right, strict=True)]
    mean = sum(gaps) / 39
    chance = sum((gap - mean) ** 2 for gap in gaps) / 38 / 39
    assert error_bounds(sure, right, LEVEL)[0] == pytest.approx(max(0, mean**2 - chance) ** 0.5)
