"""The threshold of a cascade: it loses no more than was asked, on examples that it was not chosen on."""

import math

import numpy as np
import pytest

from edgecomp.stats.handing_on import examples_needed, smallest


def drawn(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The surer, the rarer it is wrong."""
    random = np.random.default_rng(seed)
    margins = random.exponential(2.0, count)
    return margins, random.random(count) < 0.3 * np.exp(-margins)


def truly_lost(threshold: float) -> float:
    """Of that distribution: ∫ from the threshold of 0.3 e^-m · ½ e^(-m/2)."""
    return 0.3 * 0.5 / 1.5 * math.exp(-1.5 * threshold) if math.isfinite(threshold) else 0.0


@pytest.mark.parametrize("most_lost", [0.005, 0.02, 0.05])
def test_more_than_was_asked_is_lost_in_five_of_a_hundred_at_most(most_lost: float) -> None:
    found = [smallest(*drawn(seed, 1500), most_lost, 0.95) for seed in range(1000)]
    assert all(one is not None for one in found)
    assert np.mean([truly_lost(one.margin) > most_lost for one in found if one]) <= 0.05
    assert np.mean([one.handed_on for one in found if one]) < 0.95  # and it is of use


def test_it_is_the_smallest_that_the_bound_allows() -> None:
    margins = np.array([5.0, 4.0, 3.0, 2.0] * 500)
    lost = np.array([False, False, False, True] * 500)
    found = smallest(margins, lost, 0.01, 0.95)
    assert found is not None
    assert (found.margin, found.handed_on, found.lost) == (3.0, 0.25, 0.0)
    everything = smallest(margins, lost, 0.5, 0.95)
    assert everything is not None
    assert (everything.margin, everything.handed_on, everything.lost) == (2.0, 0.0, 0.25)


def test_equally_sure_answers_are_kept_together_or_not_at_all() -> None:
    margins, lost = np.ones(2000), np.arange(2000) >= 1900
    found = smallest(margins, lost, 0.01, 0.95)
    assert found is not None
    assert (found.margin, found.handed_on) == (math.inf, 1.0)


def test_too_few_examples_show_nothing() -> None:
    assert examples_needed(0.005, 0.95) == 598
    assert smallest(*drawn(0, 597), 0.005, 0.95) is None
    assert smallest(*drawn(0, 598), 0.005, 0.95) is not None
