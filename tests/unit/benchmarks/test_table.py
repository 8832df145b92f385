"""The statistics of benchmarks/table, and what it shows where nothing has been run."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

TABLE = Path(__file__).parents[3] / "benchmarks" / "table"


@pytest.fixture
def intervals(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(TABLE))
    import intervals

    return intervals


@pytest.mark.parametrize(
    ("of_seeds", "of_examples", "of_both"),
    [(0.005, 0.3, 0.3), (0.0, 0.3, 0.3), (0.02, 0.1, 0.3), (0.0, 0.0, 0.3)],
)
def test_the_interval_over_seeds_and_examples_covers_the_mean(
    intervals, of_seeds: float, of_examples: float, of_both: float
) -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(500):
        values = random.normal(0, of_seeds, (3, 1)) + random.normal(0, of_examples, (1, 800))
        found = intervals.crossed(values + random.normal(0, of_both, (3, 800)))
        covered += found.lower <= 0 <= found.upper
    assert covered >= 460  # P(fewer | 95 %) < .002


def test_where_only_seeds_differ_the_interval_is_that_of_their_mean(intervals) -> None:
    found = intervals.crossed(np.repeat([[1.0], [2.0], [3.0]], 500, axis=1))
    reach = 4.3027 / 3**0.5  # t with two degrees of freedom, deviation 1
    assert (found.lower, found.upper) == (
        pytest.approx(2 - reach, abs=1e-3),
        pytest.approx(2 + reach, abs=1e-3),
    )


def test_one_seed_gives_an_interval_over_examples(intervals) -> None:
    values = np.random.default_rng(0).normal(2, 1, (1, 400))
    found = intervals.crossed(values)
    assert found.seeds == 1
    assert found.lower == pytest.approx(values.mean() - 1.966 * values.std(ddof=1) / 20, abs=1e-3)


def test_mcnemar_counts_only_where_they_differ(intervals) -> None:
    first = np.array([True] * 50 + [True] * 9 + [False] * 1 + [False] * 40)
    second = np.array([True] * 50 + [False] * 9 + [True] * 1 + [False] * 40)
    assert intervals.mcnemar(first, second) == pytest.approx(2 * 11 / 2**10)
    assert intervals.mcnemar(first, first) == 1.0


def test_two_arms_are_paired_on_the_seeds_and_examples_that_both_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(TABLE))
    from cells import CELLS
    from results import Results

    random = np.random.default_rng(0)
    answers = {("int8", 0): 100, ("int8", 1): 100, ("hard labels", 1): 60, ("hard labels", 2): 60}
    answers = {which: random.random(count) < 0.5 for which, count in answers.items()}
    folders = dict.fromkeys(CELLS["sst2"])
    for cell in folders:
        if (cell.kind, cell.seed) not in answers:
            continue
        bits = answers[cell.kind, cell.seed]
        folders[cell] = tmp_path / cell.name
        folders[cell].mkdir()
        np.savez(folders[cell] / "answers.npz", **{"cpu.student": np.packbits(bits)})
        (folders[cell] / "cell.json").write_text(json.dumps({"examples": {"cpu.student": len(bits)}}))
    results = Results(folders)
    first, second = results.paired(("int8", "cpu", "student"), ("hard labels", "cpu", "student"))
    assert np.array_equal(first, 100.0 * answers["int8", 1][None, :60])
    assert np.array_equal(second, 100.0 * answers["hard labels", 1][None])
    assert results.paired(("int8", "cpu", "student"), ("ternary weights", "cpu", "student")) is None


@pytest.mark.parametrize("data", ["cifar10", "sst2"])
def test_what_has_not_been_run_says_so(data: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(TABLE),
        data,
        "--show",
        "--runs",
        str(tmp_path / "runs"),
        "--to",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "0 of" in done.stdout
    table = json.loads((tmp_path / f"table-{data}" / "table.json").read_text(encoding="utf-8"))
    assert {goal["state"] for goal in table["goals"]} == {"not run"}
    assert all(not row["targets"] for row in table["rows"])
    assert "not run" in (tmp_path / f"table-{data}" / "table.md").read_text(encoding="utf-8")
    assert (tmp_path / f"table-{data}" / "table.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_cells_of_test_splits_in_different_orders_are_not_one_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(TABLE))
    from cells import CELLS
    from results import Results

    folders = {}
    for cell, digest in zip(CELLS["cifar10"], ("one", "other"), strict=False):
        folders[cell] = tmp_path / digest
        folders[cell].mkdir()
        (folders[cell] / "cell.json").write_text(json.dumps({"labels_sha256": digest}), encoding="utf-8")
    with pytest.raises(SystemExit, match="different orders"):
        Results(folders)
