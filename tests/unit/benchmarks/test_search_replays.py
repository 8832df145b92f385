"""What benchmarks/search says of a table of candidates, and where nothing has been run."""

import json
from pathlib import Path

import pytest

from edgecomp.metrics.registry import LATENCY_P50
from edgecomp.shrink.candidates import Candidate, Cost, place_of, save

pytest.importorskip("optuna", reason="pip install 'edgecomp[search]'")

FOLDER = Path(__file__).parents[3] / "benchmarks" / "search"
WIDTH = "arguments.width"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve points, the wider the slower and the better."""
    for width in range(1, 13):
        cost = Cost(width, {"device": {LATENCY_P50: float(width)}})
        candidate = Candidate(width, {WIDTH: width}, cost, 50.0 + width)
        place_of(tmp_path, candidate.point).mkdir(parents=True)
        save(tmp_path, candidate)
    space = {"space": {WIDTH: list(range(1, 13))}}
    (tmp_path / "search.json").write_text(json.dumps(space), encoding="utf-8")
    (tmp_path / "front.json").write_text(json.dumps({"target": "device"}), encoding="utf-8")
    return tmp_path


def test_replays_find_no_more_than_there_is(
    monkeypatch: pytest.MonkeyPatch, table: Path, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import replays
    import show

    found = replays.replayed(table, tmp_path / "scratch", 2)
    assert (found["points"], found["tried"], found["limit_ms"], found["best"]) == (12, 6, 6.0, 56.0)
    for name in ("tpe", "random"):
        assert 51.0 <= found[name]["low"] <= found[name]["mean"] <= found[name]["high"] <= 56.0
    said = show.page("digits", {"replays": found})
    assert "Of 12 trained points, 6 tried, within 6 ms" in said
    assert "| default | | | not run |" in said
    assert "TPE beside random search: not run." in show.page("digits", {})
