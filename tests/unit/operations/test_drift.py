"""Columns that moved are told from those that did not, with how many rows would decide."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from running import command, environment
from scipy import stats

import edgecomp
from edgecomp.errors import DataError, UsageError
from edgecomp.operations.drift import ALPHA, FALSE_PASS, binned, bounds, rows_needed, stability_index


def table(file: Path, **columns: Any) -> Path:
    parquet.write_table(pyarrow.table(columns), file)
    return file


def words(random: np.random.Generator, shares: list[float], count: int) -> list[str]:
    return random.choice(["red", "green", "blue"], count, p=shares).tolist()


def test_planted_drift_is_found_and_what_did_not_move_passes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    old = table(
        tmp_path / "old.parquet",
        still=random.normal(size=4000),
        moved=random.normal(size=4000),
        colour=words(random, [0.6, 0.3, 0.1], 4000),
    )
    new = table(
        tmp_path / "new.parquet",
        still=random.normal(size=3000),
        moved=random.normal(1.0, 1.0, 3000),
        colour=words(random, [0.1, 0.3, 0.6], 3000),
    )
    found = edgecomp.drift(old, new)
    assert {one.name: str(one.verdict) for one in found.columns} == {
        "still": "PASS",
        "moved": "FAIL",
        "colour": "FAIL",
    }
    by_name = {one.name: one for one in found.columns}
    assert by_name["colour"].largest[0] in ("red", "blue")
    assert by_name["still"].distance == pytest.approx(0.0, abs=0.05)
    assert by_name["moved"].distance == pytest.approx(0.38, abs=0.05)
    assert str(found.verdict) == "FAIL"
    assert str(edgecomp.drift(old, new, columns=["still"]).verdict) == "PASS"


def test_the_index_is_the_formula_written_as_a_loop() -> None:
    counts = np.array([[30.0, 50.0, 20.0], [20.0, 40.0, 40.0]])
    wanted = sum((q - p) * np.log(q / p) for p, q in zip(counts[0] / 100, counts[1] / 100, strict=True))
    assert stability_index(counts) == pytest.approx(wanted, abs=1e-12)
    assert stability_index(counts[[0, 0]]) == 0
    assert stability_index(counts[[1, 0]]) == pytest.approx(wanted, abs=1e-12)
    assert np.isfinite(stability_index(np.array([[10.0, 0.0], [5.0, 5.0]])))


def test_what_has_not_moved_hardly_ever_fails_and_bounds_hold() -> None:
    random = np.random.default_rng(1)
    failed, beyond, true = (
        0,
        0,
        stability_index(binned("x", random.normal(size=10**6), random.normal(0.4, 1, 10**6))[1]),
    )
    for _ in range(300):
        old = random.normal(size=2000)
        for mean in (0.0, 0.4):
            names, counts = binned("x", old, random.normal(mean, 1, 500))
            effective = 1 / sum(1 / rows for rows in counts.sum(axis=1))
            low, high = bounds(stability_index(counts), effective, len(names) - 1, ALPHA)
            failed += mean == 0 and low > 0.2
            beyond += mean > 0 and not low <= true <= high
    assert failed == 0
    assert beyond <= 30  # (ALPHA + FALSE_PASS) · 300 are 18


def test_too_few_rows_are_undecided_with_how_many_would_tell(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    old, new = (table(tmp_path / f"{name}.parquet", x=random.normal(size=30)) for name in ("old", "new"))
    found = edgecomp.drift(old, new)
    (column,) = found.columns
    assert str(found.verdict) == "INCONCLUSIVE"
    assert column.needed == rows_needed(9, 0.2)
    enough = [np.random.default_rng(seed).normal(size=column.needed) for seed in (3, 4)]
    assert (
        str(
            edgecomp.drift(
                table(tmp_path / "a.parquet", x=enough[0]), table(tmp_path / "b.parquet", x=enough[1])
            ).verdict
        )
        == "PASS"
    )
    assert (
        stats.chi2.median(9) < 9
    )  # rows_needed is of a median, so half of the still columns may ask for more
    assert FALSE_PASS == 0.05


def test_new_words_and_a_column_of_one_value_are_seen(tmp_path: Path) -> None:
    old = table(tmp_path / "old.parquet", word=["a"] * 500 + ["b"] * 500, one=["x"] * 1000)
    new = table(tmp_path / "new.parquet", word=["a"] * 350 + ["b"] * 350 + ["c"] * 300, one=["x"] * 1000)
    found = {one.name: one for one in edgecomp.drift(old, new).columns}
    assert str(found["word"].verdict) == "FAIL"
    assert str(found["one"].verdict) == "PASS"


@pytest.mark.parametrize(
    ("old", "new", "given", "error", "said"),
    [
        ({"x": [1.0, 2.0]}, {"y": [1.0, 2.0]}, {}, DataError, "no column of one name"),
        ({"x": [1.0, 2.0]}, {"x": ["a", "b"]}, {}, DataError, "another column"),
        ({"x": [1.0, float("nan")]}, {"x": [1.0, 2.0]}, {}, DataError, "NaN"),
        ({"x": [1.0, None]}, {"x": [1.0, 2.0]}, {}, DataError, "empty cells"),
        ({"x": [f"w{one}" for one in range(60)]}, {"x": ["w1"] * 60}, {}, DataError, "60 different words"),
        ({"x": [1.0, 2.0]}, {"x": [1.0, 2.0]}, {"columns": ["z"]}, UsageError, "no column 'z'"),
        ({"x": [1.0, 2.0]}, {"x": [1.0, 2.0]}, {"limit": 0.0}, UsageError, "above 0"),
        ({"x": []}, {"x": [1.0]}, {}, DataError, "no rows"),
    ],
)
def test_what_cannot_be_held_against_each_other_is_told(
    tmp_path: Path,
    old: dict[str, Any],
    new: dict[str, Any],
    given: dict[str, Any],
    error: type[Exception],
    said: str,
) -> None:
    with pytest.raises(error, match=said):
        edgecomp.drift(
            table(tmp_path / "old.parquet", **old), table(tmp_path / "new.parquet", **new), **given
        )


def test_the_command_line_writes_prometheus_text(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    table(tmp_path / "old.parquet", **{'a "b"\\': random.normal(size=2000)})
    table(tmp_path / "new.parquet", **{'a "b"\\': random.normal(2, 1, 2000)})
    done = subprocess.run(
        command("data", "drift", "old.parquet", "new.parquet", "--metrics", "m.prom", "--json"),
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    content = json.loads(done.stdout.splitlines()[-1])
    assert (content["verdict"], content["exit_code"]) == ("FAIL", 1)
    lines = (tmp_path / "m.prom").read_text().splitlines()
    assert 'edgecomp_drift_failed{column="a \\"b\\"\\\\"} 1' in lines
    shown = subprocess.run(
        command("data", "drift", "old.parquet", "new.parquet"),
        cwd=tmp_path,
        env=environment() | {"COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "is over 0.2" in " ".join(shown.stdout.split())
