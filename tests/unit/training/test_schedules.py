"""Numbers that change while a network is trained."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecomp.training.schedules import SHAPES, all_at, at


def schedule(shape: str, start: float = 5.0, end: float = 1.0, steps: int = 5) -> dict[str, object]:
    return {"start": start, "end": end, "shape": shape, "steps": steps}


@pytest.mark.parametrize("shape", SHAPES)
def test_it_goes_from_its_start_to_its_end(shape: str) -> None:
    assert at(schedule(shape), 0.0) == 5.0
    assert at(schedule(shape), 1.0) == pytest.approx(1.0)


@given(
    shape=st.sampled_from(sorted(SHAPES)),
    first=st.floats(0, 1),
    second=st.floats(0, 1),
    start=st.floats(0, 100),
    end=st.floats(0, 100),
    steps=st.integers(2, 50),
)
def test_it_never_turns_and_never_leaves_its_bounds(
    shape: str, first: float, second: float, start: float, end: float, steps: int
) -> None:
    before, after = (at(schedule(shape, start, end, steps), done) for done in sorted((first, second)))
    assert min(start, end) - 1e-9 <= before <= max(start, end) + 1e-9
    assert (after - before) * (end - start) >= -1e-9


def test_steps_are_as_long_each_and_half_way_is_half_way() -> None:
    levels = [at(schedule("steps"), done / 100) for done in range(100)]
    assert sorted(set(levels), reverse=True) == [5.0, 4.0, 3.0, 2.0, 1.0]
    assert all(levels.count(level) == 20 for level in set(levels))
    assert at(schedule("linear"), 0.5) == at(schedule("cosine"), 0.5) == pytest.approx(3.0)


def test_a_number_stays_what_it_is() -> None:
    assert all_at({"a": 2.0, "b": schedule("linear")}, 0.25) == {"a": 2.0, "b": 4.0}
