"""Nothing shows a bound without its confidence."""

import judging

from edgecomp.report.figures import column

ONE = judging.figure(1.25, 1.2, 1.31)


def test_a_column_of_one_confidence_says_it_in_its_head() -> None:
    exact = judging.figure(1.0, 1.0, 1.0, "bytes", unit="exact", count=1, confidence=0.99)
    shown = column([ONE, None, exact, judging.figure(1.0, None, None)])
    assert shown.bounds == "95 %, one-sided"
    assert [shown.text(one) for one in (ONE, None, exact)] == ["1.25 ms [1.2, 1.31]", "–", "1 B"]


def test_figures_of_several_confidences_say_their_own() -> None:
    surer = judging.figure(1.25, 1.1, 1.4, confidence=0.99)
    shown = column([ONE, surer])
    assert shown.bounds == "one-sided bounds"
    assert [shown.text(one) for one in (ONE, surer)] == [
        "1.25 ms [1.2, 1.31] 95 %",
        "1.25 ms [1.1, 1.4] 99 %",
    ]


def test_one_sided_and_two_sided_bounds_are_told_apart() -> None:
    both = judging.figure(1.25, 1.1, 1.4, sided="two")
    shown = column([ONE, both])
    assert shown.text(both) == "1.25 ms [1.1, 1.4] 95 %, two-sided"
    assert shown.text(ONE).endswith("95 %, one-sided")
    assert column([]).text(ONE) == column([]).text(ONE)
