"""The small picture of an interval against its limit: what is drawn where agrees with the numbers."""

import re
import xml.etree.ElementTree as ET

import judging
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgecomp.report.pictures.intervals import LEFT, RIGHT, WIDTH, interval

NUMBERS = st.floats(-1e12, 1e12).filter(lambda value: value == 0 or abs(value) > 1e-9)


def places(svg: str) -> dict[str, float]:
    """By mark, where it is from left to right: of a bound, where the bar ends."""
    found = {}
    for element in ET.fromstring(svg):
        name = element.attrib["class"]
        if name == "limit":
            found[name] = float(element.attrib["x1"])
        elif name == "estimate":
            found[name] = float(element.attrib["cx"])
        elif name == "good":
            found["good from"] = float(element.attrib["x"])
            found["good to"] = found["good from"] + float(element.attrib["width"])
        else:
            end = re.search(r"H([\d.]+)", element.attrib["d"])
            assert end
            found[name] = float(end[1])
    return found


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS).map(sorted), NUMBERS)
def test_marks_lie_in_the_order_of_their_numbers(bounds: list[float], limit: float) -> None:
    low, middle, high = bounds
    numbers = {"low": low, "estimate": middle, "high": high, "limit": limit}
    found = places(interval(judging.figure(middle, low, high), limit, "below"))
    assert all(LEFT <= found[name] <= RIGHT for name in numbers)
    for one, of_one in numbers.items():
        for other, of_other in numbers.items():
            if of_one <= of_other:
                assert found[one] <= found[other], (one, other)
    span = max(numbers.values()) - min(numbers.values())
    assume(span > 0)
    if min(numbers.values()) <= 0:  # a linear scale: what is far apart is seen to be
        for one, of_one in numbers.items():
            for other, of_other in numbers.items():
                if of_other - of_one > span / 50:
                    assert found[other] - found[one] > 1, (one, other)


@pytest.mark.parametrize(("passes", "good"), [("below", ("good from", 0.0)), ("above", ("good to", WIDTH))])
def test_the_good_side_is_tinted_up_to_the_limit(passes: str, good: tuple[str, float]) -> None:
    found = places(interval(judging.figure(2.0, 1.0, 3.0), 2.5, passes))  # type: ignore[arg-type]  # a text of two
    assert found[good[0]] == good[1]
    assert found["good to" if passes == "below" else "good from"] == pytest.approx(found["limit"], abs=0.02)


def test_far_apart_numbers_are_on_a_scale_of_logarithms() -> None:
    found = places(interval(judging.figure(0.2, 0.1, 2.0), 20.0, "below"))
    steps = [found["high"] - found["low"], found["limit"] - found["high"]]
    assert steps[0] / steps[1] == pytest.approx(1.301, abs=0.01)  # log10(20) : log10(10)


@pytest.mark.parametrize(
    ("low", "high", "open_ended"),
    [(None, 3.0, {"low open"}), (1.0, None, {"high open"}), (None, None, {"low open", "high open"})],
)
def test_a_bound_that_is_missing_is_drawn_open_to_the_edge(
    low: float | None, high: float | None, open_ended: set[str]
) -> None:
    found = places(interval(judging.figure(2.0, low, high), 2.5, "below"))
    assert {name for name in found if name.endswith("open")} == open_ended
    for name in open_ended:
        assert found[name] == (LEFT if name.startswith("low") else RIGHT)


def test_nothing_measured_leaves_the_limit_alone() -> None:
    for figure in (None, judging.figure(None, None, None), judging.figure(float("nan"), None, None)):
        svg = interval(figure, 2.5, "below")
        assert set(places(svg)) == {"limit", "good from", "good to"}
    assert "nothing measured" in interval(None, 2.5, "above")
    assert interval(judging.figure(1.0, 0.5, 2.0), float("inf"), "below") == ""


def test_what_it_says_has_the_numbers() -> None:
    said = ET.fromstring(interval(judging.figure(1.25, 1.2, 1.31), 2.0, "below")).attrib
    assert (said["role"], said["aria-label"]) == (
        "img",
        "1.25 ms, interval 1.2 ms to 1.31 ms, limit at most 2 ms",
    )
