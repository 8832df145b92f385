"""Slopes, and leaks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecomp.stats.trend import BLOCKS, FEWEST, LEAK_BYTES, leak, slope

X = np.arange(FEWEST, dtype=np.float64)


@given(value=st.floats(-1e3, 1e3), level=st.floats(-1e6, 1e6))
def test_a_straight_line_has_its_slope(value: float, level: float) -> None:
    found = slope(X, level + value * X)
    assert found.value == pytest.approx(value, rel=1e-6, abs=1e-6)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower - 1e-6 <= value <= found.upper + 1e-6


def test_too_few_samples_have_no_bounds() -> None:
    assert slope(X[:-1], X[:-1]).lower is None
    assert slope(X[:1], X[:1]).lower is None
    assert leak(X, 1000 * X).leaks is None


def test_one_burst_does_not_make_a_slope() -> None:
    y = np.random.default_rng(0).normal(100, 1, FEWEST)
    y[300:] += 1e6
    found = slope(X, y)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < 0 < found.upper
    assert BLOCKS * 40 == FEWEST


requests = np.arange(2000, dtype=np.float64)
noise = 4096.0 * np.random.default_rng(1).integers(0, 4, 2000)


def test_a_leak_is_found() -> None:
    found = leak(requests, 1e8 + 1000 * requests + noise)
    assert found.leaks is True
    assert found.whole.value == pytest.approx(1000, rel=0.05)


def test_memory_that_grows_only_at_first_is_no_leak() -> None:
    found = leak(requests, 1e8 + np.minimum(requests, 1400) * 1e5 + noise)
    assert found.whole.lower is not None
    assert found.whole.lower > LEAK_BYTES  # the whole alone would call it one
    assert found.leaks is False


def test_a_leak_under_256_bytes_a_request_is_not_called_one() -> None:
    assert leak(requests, 1e8 + 100 * requests + noise).leaks is False
