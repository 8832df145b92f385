"""Corruptions do what they say, more of it at each severity, and the same again for the same seed."""

from difflib import SequenceMatcher
from typing import Any

import numpy as np
import pytest

from edgecomp.health.corruptions import SEVERITIES, TABLE, corrupted

RANDOM = np.random.default_rng(0)
SMOOTH = np.add.outer(np.arange(32), np.arange(32)) * 4
EXAMPLES: dict[str, Any] = {
    "image": np.stack([np.stack([SMOOTH, SMOOTH.T, 255 - SMOOTH])] * 4).astype(np.uint8)
    + RANDOM.integers(0, 8, (4, 3, 32, 32), np.uint8),
    "array": RANDOM.normal(size=(200, 7)).astype(np.float32),
    "text": ["the film was a joy from its first frame to the last one of them"] * 50,
}
EVERY = [(kind, name) for kind, table in TABLE.items() for name in table]


def distance(kind: str, one: Any, other: Any) -> float:
    if kind == "text":
        return sum(1 - SequenceMatcher(None, a, b, autojunk=False).ratio() for a, b in zip(one, other, strict=True))  # fmt: skip
    return float(np.abs(one.astype(np.float64) - other).mean())


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_each_severity_changes_more_than_the_one_before(kind: str, name: str) -> None:
    examples = EXAMPLES[kind]
    found = [
        distance(kind, corrupted(kind, name, severity, examples, seed=1), examples) for severity in SEVERITIES
    ]
    assert found[0] > 0
    assert found == sorted(found)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_it_is_of_the_same_type_and_follows_the_seed(kind: str, name: str) -> None:
    examples = EXAMPLES[kind]
    first, again = (corrupted(kind, name, 3, examples, seed=1) for _ in range(2))
    if kind == "text":
        assert first == again
        assert len(first) == len(examples)
        assert all(first)
    else:
        np.testing.assert_array_equal(first, again)
        assert (first.dtype, first.shape) == (examples.dtype, examples.shape)
    if name in ("noise", "missing", "typos"):
        other = corrupted(kind, name, 3, examples, seed=2)
        assert distance(kind, first, other) > 0


def test_what_each_does_to_rows() -> None:
    rows = EXAMPLES["array"]
    missing = corrupted("array", "missing", 5, rows, 0)
    assert 0.45 < (missing == 0).mean() < 0.55
    np.testing.assert_array_equal(missing[missing != 0], rows[missing != 0])
    off = corrupted("array", "shifted", 2, rows, 0) - rows
    np.testing.assert_allclose(np.abs(off), 0.2, atol=1e-6)
    assert np.ptp(off, axis=0).max() < 1e-6  # the same in all rows


def test_what_each_does_to_texts_and_pictures() -> None:
    assert corrupted("text", "truncation", 5, ["one two three four"], 0) == ["one two"]
    assert corrupted("text", "truncation", 5, ["one"], 0) == ["one"]
    assert corrupted("text", "capitals", 5, ["one two"], 0) == ["ONE TWO"]
    assert corrupted("text", "typos", 5, [""], 0) == [""]
    flat = np.full((1, 1, 8, 8), 77, np.uint8)
    for name in ("blur", "contrast"):
        np.testing.assert_array_equal(corrupted("image", name, 5, flat, 0), flat)


def test_large_pictures_are_corrupted_as_large_ones() -> None:
    row = TABLE["image"]["noise"]
    assert row.strength(5, side=32) == 0.10
    assert row.strength(5, side=224) == 0.38
