"""What a report's page says before it is laid out: headlines, fronts, confusions, ratios between runs, and the table of figures."""

import csv
import io
from types import SimpleNamespace
from typing import Any

import judging
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.report.page.beside import over_the_first
from edgecomp.report.page.confusion import MOST_CLASSES, confusion
from edgecomp.report.page.figures_csv import COLUMNS, csv_of
from edgecomp.report.page.headline import (
    Change,
    bounds,
    difference,
    in_words,
    nearest_to_its_limit,
    strips,
    why,
)
from edgecomp.report.page.releases import Release
from edgecomp.report.page.tables import leading_number
from edgecomp.report.pictures.drawing import SHAPES, Key, swatch
from edgecomp.report.pictures.fronts import MARKERS, against_latency, against_size, front
from edgecomp.report.pictures.trend import trend

COORDINATE = st.integers(0, 6).map(float)


@given(st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1))
def test_nothing_beats_what_is_on_the_front_and_something_beats_all_else(
    points: list[tuple[float, float]],
) -> None:
    on = front(points)
    for place, (cost, score) in enumerate(points):
        better = [
            other for other in points if other[0] <= cost and other[1] >= score and other != (cost, score)
        ]
        assert (place in on) is (not better)
    assert [points[place][0] for place in on] == sorted(points[place][0] for place in on)
    assert [points[place][1] for place in on] == sorted(points[place][1] for place in on)


def test_a_pass_names_the_check_that_is_nearest_to_its_limit() -> None:
    near = judging.check(title="p50", estimate=judging.figure(4.0, 3.9, 4.1), limit_value=5.0)
    far = judging.check(title="p99", estimate=judging.figure(1.0, 0.9, 1.1), limit_value=9.0)
    exact = judging.check(title="size", estimate=judging.figure(5.0, 5.0, 5.0, "bytes", unit="exact"))
    assert nearest_to_its_limit([far, exact, near]) is near
    assert nearest_to_its_limit([exact]) is None
    said = why(judging.verdict(far, near, exact, verdict="PASS", unwaived="PASS"))
    assert said == (
        "All 3 checks passed on board; nearest to its limit: board, p50, 4 ms [3.9, 4.1] (95 %, one-sided), limit ≤ 5 ms."
    )
    assert why(judging.verdict(exact, verdict="PASS")) == "The one check passed on board."
    advises = judging.check(severity="warn", verdict="FAIL")
    assert why(judging.verdict(advises)) == "No check decides."


def test_a_failure_is_told_once_with_how_many_others() -> None:
    bad = judging.check(verdict="FAIL", reason="over_limit", sentence="board: 9 ms is not below 5 ms.")
    unsure = judging.check(target="phone", verdict="INCONCLUSIVE", reason="undecided")
    document = judging.verdict(unsure, bad, bad, judging.check())
    assert why(document) == "2 of 4 checks on 2 targets failed: board: 9 ms is not below 5 ms. And 1 more."
    assert (
        why(document, "board: 9 ms is not below 5 ms: use a faster one")
        == "2 of 4 checks on 2 targets failed."
    )
    assert why(judging.verdict(unsure)).startswith("1 of 1 checks on phone undecided: ")


def measured(**more: Any) -> Measurements:
    rng = np.random.default_rng(0)

    def arm(nanoseconds: int, size: int, offset: int) -> Arm:
        samples = {
            name: nanoseconds * 1000 + rng.integers(0, 900, (5, 40))
            for name in ("single_stream_wall_ns", "single_stream_cpu_ns")
        } | {"peak_memory_bytes": np.full(5, size * 9)}
        logits = np.eye(3, dtype=np.float32)[(np.arange(60) + offset * (np.arange(60) < 6)) % 3]
        return Arm(samples, logits, {}, size, {}, size)

    given = {
        "target": "board",
        "runtime": "fake",
        "arms": {"teacher": arm(900, 4000, 0), "student_int8": arm(300, 1000, 1)},
        "labels": np.arange(60) % 3,
        "offline_batch": 1,
        "facts": {"task": "classification", "classes": ["a", "b", "c"]},
    } | more
    return Measurements(**given)  # type: ignore[arg-type]  # fields by name


def test_a_difference_is_turned_so_that_it_is_a_multiple_of_one_or_more() -> None:
    found = difference(measured(), "latency_p50_ms")
    assert found is not None
    assert found.is_turned
    assert found.figure.low is not None
    assert found.figure.high is not None
    assert found.figure.low <= found.figure.estimate <= found.figure.high  # type: ignore[operator]  # both bounds are known
    assert in_words("latency_p50_ms", found) == "3 × faster"
    assert bounds(found).endswith("95 %, one-sided")
    assert in_words("file_size_bytes", difference(measured(), "file_size_bytes")) == "4 × smaller"
    assert bounds(difference(measured(), "file_size_bytes")) == "(exact)"
    score = difference(measured(), "accuracy_pct")
    assert score is not None
    assert (in_words("accuracy_pct", score), score.is_turned) == ("-10.00 pt", False)
    assert difference(measured(arms={}), "latency_p50_ms") is None
    assert (in_words("latency_p50_ms", None), bounds(None)) == ("", "")
    same = Change(judging.figure(1.0001, 0.99, 1.01, "multiple"), False)
    assert in_words("latency_p50_ms", same) == "1 ×"


def evidence(*targets: str, **more: Any) -> Any:
    """Of targets that all measured the same."""
    one = judging.figure(0.3, 0.29, 0.31)
    score = judging.figure(90.0, 85.0, 94.0, "percent", unit="examples", count=60)
    size = judging.figure(1000.0, 1000.0, 1000.0, "bytes", unit="exact", count=1)
    arms = {
        "teacher": {"latency_p50_ms": judging.figure(0.9, 0.8, 1.0), "accuracy_pct": score, "file_size_bytes": size},
        "student_int8": {"latency_p50_ms": one, "accuracy_pct": score, "file_size_bytes": size},
    }  # fmt: skip
    checks = [judging.check(target=target) for target in targets]
    given = {
        "job": SimpleNamespace(
            targets=[SimpleNamespace(name=target) for target in targets],
            recipe=SimpleNamespace(meant="classification"),
        ),
        "figures": {target: arms for target in targets},
        "measured": {target: measured(target=target) for target in targets},
        "names": {"teacher": "teacher, fp32", "student_int8": "student, int8"},
        "verdict": judging.verdict(*checks, verdict="PASS"),
    }
    return SimpleNamespace(**(given | more))


def test_every_target_has_its_strip_and_its_fronts_however_many_there_are() -> None:
    names = [f"board-{number}" for number in range(9)]
    of = evidence(*names)
    assert [one.target for one in strips(of)] == names
    first = strips(of)[0]
    assert [one.metric for one in first.headlines] == ["accuracy_pct", "latency_p50_ms", "file_size_bytes"]
    assert (first.verdict, first.headlines[1].teacher, first.headlines[1].student) == (
        "PASS",
        "0.9 ms",
        "0.3 ms",
    )
    for drawn in (against_latency(of), against_size(of)):
        assert drawn is not None
        assert len(drawn.panels) == 9
        for name, panel in zip(names, drawn.panels, strict=True):
            assert f'aria-label="{name}: teacher, fp32 90.00 % at ' in panel
        assert "On the Pareto front: student, int8." in against_latency(of).panels[0]  # type: ignore[union-attr]  # it is drawn


def test_a_target_that_did_not_run_says_so() -> None:
    of = evidence("board", figures={}, measured={"board": measured(arms={}, not_run="no route to host")})
    (strip,) = strips(of)
    assert (strip.not_run, strip.headlines) == ("no route to host", ())
    assert against_latency(of) is None
    assert trend(of, []) is None


def test_a_measurement_that_was_judged_twice_is_one_of_a_trend() -> None:
    def release(milliseconds: float) -> Release:
        figures = {"latency_p50_ms": judging.figure(milliseconds, None, None)}
        return Release("2026", "board", "0", "runs/x", "PASS", figures)

    assert trend(evidence("board"), [release(0.3)]) is None, "the run itself, judged again"
    drawn = trend(evidence("board"), [release(0.5), release(0.5), release(0.4), release(0.3)])
    assert drawn is not None
    assert "board from 0.5 ms to 0.3 ms over 3 results" in drawn.panels[0]


def test_a_confusion_counts_every_example_once() -> None:
    found = confusion(measured())
    assert found is not None
    teacher, student = found.matrices
    assert np.array_equal(teacher.counts, np.diag([20, 20, 20]))
    assert student.counts.sum() == 60
    assert found.worst() == [("a", "b", (0, 2)), ("b", "c", (0, 2)), ("c", "a", (0, 2))]
    assert found.is_small
    assert [cell.examples for cell in found.rows(student)[0][1]] == [18, 2, 0]
    assert confusion(measured(facts={"task": "regression"})) is None
    assert confusion(measured(arms={})) is None
    names = [str(number) for number in range(MOST_CLASSES + 1)]
    many = confusion(measured(facts={"task": "classification", "classes": names}))
    assert many is not None
    assert not many.is_small


def test_bounds_between_two_runs_are_of_both() -> None:
    first, faster = judging.figure(2.0, 1.8, 2.2), judging.figure(1.0, 0.9, 1.1)
    change = over_the_first("latency_p50_ms", faster, first)
    assert change is not None
    assert (in_words("latency_p50_ms", change), bounds(change)) == (
        "2 × faster",
        "[1.64, 2.44], 90 %, one-sided",
    )
    slower = over_the_first("latency_p50_ms", first, faster)
    assert in_words("latency_p50_ms", slower) == "2 × slower"
    scores = [
        judging.figure(value, value - 1, value + 1, "percent", unit="examples") for value in (90.0, 92.5)
    ]
    gained = over_the_first("accuracy_pct", scores[1], scores[0])
    assert (in_words("accuracy_pct", gained), bounds(gained)) == ("+2.50 pt", "[0.50, 4.50], 90 %, one-sided")
    unbounded = over_the_first("latency_p50_ms", judging.figure(1.0, None, None), first)
    assert bounds(unbounded) == "[no bound from 5 restarts]"
    assert over_the_first("latency_p50_ms", judging.figure(0.0, 0.0, 0.0), first) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,234", 1234.0), ("97.78 %", 97.78), ("-2.22 pt [-10.11, 4.55]", -2.22), ("+0.5 x", 0.5), ("3 of 4", 3.0), ("a 1", None), ("1st", None), ("", None)],
)  # fmt: skip
def test_rows_are_sorted_by_the_number_they_begin_with(text: str, number: float | None) -> None:
    assert leading_number(text) == number


def test_the_table_of_figures_is_unrounded_and_no_formula() -> None:
    hostile = '=HYPERLINK("http://example.org")\n, "x"'
    figure = judging.figure(1 / 3, 0.1, None)
    document = judging.verdict(
        judging.check(title=hostile, estimate=figure),
        judging.check(name="none"),
        figures={hostile: {"student_int8": {"latency_p50_ms": figure}}},
    )
    rows = list(csv.DictReader(io.StringIO(csv_of(document, {}))))
    assert set(rows[0]) == set(COLUMNS)
    of_arm, of_check, without = rows
    assert float(of_arm["estimate"]) == 1 / 3
    assert (of_arm["low"], of_arm["high"], of_arm["confidence"], of_arm["n"]) == ("0.1", "", "0.95", "5")
    assert of_arm["target"].startswith("'=")
    assert (of_check["arm"], of_check["limit"], of_check["verdict"]) == ("check", "≤ 5 ms", "PASS")
    assert without["estimate"] == ""


@pytest.mark.parametrize("shape", [*SHAPES, *MARKERS])
def test_a_legend_draws_every_mark_that_a_picture_does(shape: str) -> None:
    assert "<path d=" in swatch(Key("x", "#000000", shape))
    assert "var(--ink, #000000)" in swatch(Key("x", "#000000", shape))
