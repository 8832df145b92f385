"""A loop of training steps that ends with its time, and others that do not; and threads that end together."""

import threading
import time

import pytest

from edgecomp.errors import TimeIsUp
from edgecomp.progress import Silent, Stop, Stopped, Until, at_once


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


def test_work_of_two_names_goes_on_at_once_and_that_of_one_in_turn() -> None:
    together, done = threading.Barrier(2, timeout=10), list[str]()

    def work(name: str) -> None:
        together.wait()
        done.append(name)

    assert (
        at_once({"a": [lambda: work("a1"), lambda: work("a2")], "b": [lambda: work("b")] * 2}, Stop()) == []
    )
    assert [name for name in done if name.startswith("a")] == ["a1", "a2"]


def test_what_one_raises_ends_that_one_alone() -> None:
    done = list[str]()

    def fails() -> None:
        raise ValueError("a's")

    found = at_once({"a": [fails, lambda: done.append("a")], "b": [lambda: done.append("b")]}, Stop())
    assert [str(one) for one in found] == ["a's"]
    assert done == ["b"]


def test_a_stop_ends_what_is_under_way_and_begins_nothing() -> None:
    stop, ended, begun = Stop(), threading.Event(), list[str]()

    def waits() -> None:
        with stop.by(ended.set):
            stop.tell()
            assert ended.wait(10)

    assert at_once({"a": [waits, lambda: begun.append("a")]}, stop) == []
    assert begun == []
    with pytest.raises(Stopped), stop.by(lambda: begun.append("late")):
        pass
    with pytest.raises(Stopped):
        stop.check()
