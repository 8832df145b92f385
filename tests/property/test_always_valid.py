"""A confidence sequence holds at all looks together: versions that are the same are called different in no more tests than α."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as some

from edgecomp.stats import always_valid
from edgecomp.stats.always_valid import FEWEST, difference, factor, radius, variance_of

ALPHA = 0.01
Values = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Values]


def looked_at_after_every_key(
    draw: Draw, keys: int, share: float, effect: float, planned: float, random: np.random.Generator
) -> tuple[bool, bool]:
    """Whether some look called the candidate better, and worse; the same bounds as `difference` gives, of all looks at once."""
    values, ours = draw(random, keys), random.random(keys) < share
    values = values + effect * ours
    found = []
    for mine in (~ours, ours):
        count, total, squares = (np.cumsum(one) for one in (mine, values * mine, values**2 * mine))
        found.append(
            (count, total / np.maximum(count, 1), np.maximum(0, squares - total**2 / np.maximum(count, 1)))
        )
    (n, base, one), (m, candidate, other) = (
        (side[(found[0][0] >= FEWEST) & (found[1][0] >= FEWEST)] for side in arm) for arm in found
    )
    gap, half = candidate - base, radius(variance_of(n, m, one, other), ALPHA, planned)
    return bool((gap > half).any()), bool((gap < -half).any())


DRAWS: dict[str, Draw] = {
    "normal": lambda random, count: random.normal(size=count),
    "rare": lambda random, count: (random.random(count) < 0.05).astype(float),
    "even": lambda random, count: (random.random(count) < 0.5).astype(float),
    "exponential": lambda random, count: random.exponential(size=count),
    "long tail": lambda random, count: random.lognormal(0, 1.5, count),
}


@pytest.mark.parametrize("share", [0.5, 0.1])
@pytest.mark.parametrize("name", DRAWS)
def test_the_same_version_is_hardly_ever_called_another(name: str, share: float) -> None:
    random = np.random.default_rng(0)
    planned = 4 * float(DRAWS[name](random, 10_000).var()) / 1000
    wrong = sum(
        any(looked_at_after_every_key(DRAWS[name], 3000, share, 0.0, planned, random)) for _ in range(500)
    )
    assert wrong <= 12  # 5 are due at the most; 13 or more come by chance in 1 of 700


def test_a_planted_effect_is_found() -> None:
    random = np.random.default_rng(1)
    found = [
        looked_at_after_every_key(DRAWS["normal"], 4000, 0.5, 0.2, (0.2 / 3.5) ** 2, random)
        for _ in range(200)
    ]
    assert sum(better for better, _ in found) >= 190
    assert sum(worse for _, worse in found) <= 4


def test_all_looks_at_once_are_the_looks_one_by_one() -> None:
    random = np.random.default_rng(2)
    values, ours = random.normal(size=600), random.random(600) < 0.5
    values += 0.3 * ours
    won = [
        (found := difference(values[:look][~ours[:look]], values[:look][ours[:look]], ALPHA, 0.01)).low
        is not None
        and found.low > 0
        for look in range(250, 601)
    ]
    again = np.random.default_rng(2)
    assert any(won) == looked_at_after_every_key(DRAWS["normal"], 600, 0.5, 0.3, 0.01, again)[0]


@given(some.floats(1e-8, 1e3), some.floats(1e-8, 1e3), some.floats(1e-6, 0.5))
def test_bounds_are_wider_than_one_look_s_and_shrink_with_the_variance(
    variance: float, planned: float, alpha: float
) -> None:
    assert radius(variance, alpha, planned) > math.sqrt(variance * 2 * math.log(1 / alpha)) * 0.999
    assert radius(variance / 2, alpha, planned) < radius(variance, alpha, planned)


def test_fewer_than_the_fewest_say_nothing_and_no_spread_is_no_width() -> None:
    values = np.zeros(FEWEST)
    assert difference(values[1:], values, ALPHA, 1.0).low is None
    assert difference(values, values + 1, ALPHA, 1.0)[:3] == (1.0, 1.0, 1.0)


def test_it_tells_how_many_more_would_decide() -> None:
    random = np.random.default_rng(3)
    base, ours = random.normal(size=400), random.normal(size=400)
    found = difference(base, ours, ALPHA, 0.01)
    times = factor(found, -0.2, ALPHA, 0.01)
    assert times is not None
    assert times > 1
    variance = found.variance / times
    assert math.isclose(always_valid.radius(variance, ALPHA, 0.01), abs(found.difference + 0.2), rel_tol=1e-6)
    assert factor(found, found.difference, ALPHA, 0.01) is None
