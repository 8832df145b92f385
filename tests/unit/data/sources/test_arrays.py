"""Numbers as float32: what that changes is told where it is more than the last digits."""

import re

import numpy as np
import pytest

from edgecomp.data.sources.arrays import finite

TIMES = 1.7e9 + np.arange(0, 40, 0.25)  # seconds since 1970: float32 keeps every 128th


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (TIMES, "changes 159 of 160 values by more than its rounding may, the first in example 1"),
        (np.stack([TIMES * 0, TIMES], axis=1), r"the first in example 1 \(from 0\), at \[1\]: "),
        (
            np.array([1, 2**24 + 1, 5]),
            "changes 1 of 3 values .* in example 1 .*16777217.* becomes .*16777216",
        ),
        (np.array([2**63 - 1, 0]), "changes 1 of 2 values"),
        (np.array([0.0, 2.0**24 + 1]), "changes 1 of 2 values"),
        (np.array([1.0, 1e-60]), "changes 1 of 2 values .* becomes .*0.0"),
    ],
)
def test_what_float32_changes_is_told(values: np.ndarray, told: str) -> None:
    notes: list[str] = []
    np.testing.assert_array_equal(finite(values, "here", notes), values.astype(np.float32))
    assert len(notes) == 1
    assert re.search(told, notes[0]), notes[0]
    assert notes[0].startswith("here: ")


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=(1000, 3)),
        np.random.default_rng(0).normal(3e6, 1e4, 1000),
        np.arange(2**24 - 5, 2**24),
        np.full(5, 0.1),
        np.arange(5) * 0.1,
        np.float32([1.0000001, 16777216]),
        np.zeros((0, 3)),
    ],
)
def test_rounding_is_not(values: np.ndarray) -> None:
    notes: list[str] = []
    finite(values, "here", notes)
    assert notes == []
