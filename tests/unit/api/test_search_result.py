"""What a search found, in a notebook and in a terminal of 80 columns."""

from pathlib import Path

import pytest

from edgecomp.api.shrink.search import SearchResult
from edgecomp.cli.shown import show_search
from edgecomp.cli.terminal import Screen
from edgecomp.metrics.registry import FILE_SIZE, LATENCY_P50, PEAK
from edgecomp.shrink.candidates import Candidate, Cost
from edgecomp.shrink.spaces import Space

HOSTILE = "<script>alert(1)</script>[red]\x1b[31m"
AXIS = "arguments.widths"


@pytest.fixture
def found() -> SearchResult:
    space = Space({}, {AXIS: [[8, 8], [16, 32], HOSTILE]})
    cost = Cost(9, {"cpu": {LATENCY_P50: 0.25, PEAK: 60e6, FILE_SIZE: 20e3}}, grades={"cpu": "C"})
    best = Candidate(0, {AXIS: HOSTILE}, cost, 81.5)
    over = Candidate(1, {AXIS: [16, 32]}, cost, why=f"{LATENCY_P50} 0.25 ms on cpu, ≤ 0.2 ms")
    spent = {"teacher_and_data_s": 3.0, "measuring_s": 2.0, "training_s": 1.0}
    return SearchResult(
        Path("runs/search/x"), "cpu", space, [best, over], [best], best, Path("x-found.yaml"), "the time is up", spent
    )  # fmt: skip


def test_a_notebook_shows_names_as_they_are(found: SearchResult) -> None:
    page = found._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "81.50" in page


def test_a_terminal_shows_the_front_what_was_spent_and_what_to_run_next(
    found: SearchResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    show_search(found, Screen(json=False), False)
    out, err = capsys.readouterr()
    assert "\x1b[31m" not in out
    assert "[red]" in out
    words = " ".join(out.split())
    for part in (
        "81.50 0.25 ms 57.2 MiB 19.5 KiB",
        "2 candidates: 1 trained, 1 over budget",
        "teacher and data 3 s, measuring 2 s, training 1 s",
        "widths [16, 32]: latency_p50_ms 0.25 ms on cpu, ≤ 0.2 ms",
        "Ended: the time is up.",
        "edgecomp run x-found.yaml --out runs/search/x/run",
    ):
        assert part in words
    assert "2 of 2 candidates were measured on a contended host" in " ".join(err.split())
    assert max(map(len, out.splitlines())) <= 80


def test_json_is_one_line(found: SearchResult, capsys: pytest.CaptureFixture[str]) -> None:
    show_search(found, Screen(json=True), True)
    assert '"candidates": 2' in capsys.readouterr().out
