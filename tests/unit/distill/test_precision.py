from hypothesis import given
from hypothesis import strategies as st

from edgecomp.distill.precision import fewest


@given(st.integers(0, 40), st.integers(0, 41))
def test_the_fewest_layers_are_found_with_few_trainings(most: int, needed: int) -> None:
    tried: list[int] = []

    def accuracy_with(count: int) -> float:
        tried.append(count)
        return 90.0 if count >= needed else 80.0

    found = fewest(most, accuracy_with, 85.0)
    assert found == (needed if needed <= most else None)
    assert len(set(tried)) <= 2 * most.bit_length() + 2
    failed = [count for count in tried if count < needed]
    assert sorted(failed) == failed, "no fewer are tried than are known not to do"


def test_nothing_goes_to_float_where_nothing_must() -> None:
    tried = []
    assert fewest(10, lambda count: tried.append(count) or 90.0, 85.0) == 0  # type: ignore[func-returns-value]
    assert set(tried) == {0}
