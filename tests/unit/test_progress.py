"""A loop of training steps that ends with its time, and others that do not."""

import time

import pytest

from edgecomp.errors import TimeIsUp
from edgecomp.progress import Silent, Until


def test_only_training_ends_with_its_time() -> None:
    over = Until(Silent(), time.monotonic() - 1)
    assert list(over.track(range(3), "export, files", 3)) == [0, 1, 2]
    with pytest.raises(TimeIsUp, match="student, int8: the time is up after 0 of 3 steps"):
        list(over.track(range(3), "student, int8, steps", 3))
    assert list(Until(Silent(), time.monotonic() + 60).track(range(3), "student, int8, steps", 3)) == [
        0,
        1,
        2,
    ]
