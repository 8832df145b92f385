"""An A/B test judged from its log: the key is the unit, the assignment is looked at first, and undecided is no verdict for anybody."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import csv, parquet
from running import command, environment

import edgecomp
from edgecomp.errors import DataError, UsageError
from edgecomp.operations.ab import evidence, keyed
from edgecomp.package.assign import version_of


def log(
    file: Path,
    *,
    keys: int = 4000,
    effect: float = 0.0,
    slower: float = 1.0,
    share: float = 0.5,
    seed: int = 0,
    **columns: Any,
) -> Path:
    """Each key has one to four requests; `v2` is better by `effect`, and takes `slower` times as long."""
    random = np.random.default_rng(seed)
    names = [f"user-{one}" for one in range(keys)]
    version = np.array([version_of(name, {"v1": 1 - share, "v2": share}, "salt") for name in names])
    requests = random.integers(1, 5, keys)
    of = np.repeat(np.arange(keys), requests)
    rate = np.clip(random.normal(0.5, 0.1, keys) + effect * (version == "v2"), 0, 1)
    table = {
        "key": np.array(names)[of],
        "version": version[of],
        "metric": (random.random(len(of)) < rate[of]).astype(float),
        "latency_ms": random.lognormal(1, 0.3, len(of)) * np.where(version[of] == "v2", slower, 1.0),
    } | columns
    if file.suffix == ".csv":
        csv.write_csv(pyarrow.table(table), file)
    else:
        parquet.write_table(pyarrow.table(table), file)
    return file


def verdicts(result: Any) -> dict[str, str]:
    return {check.name: str(check.verdict) for check in result.checks}


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_version_that_is_as_good_passes(tmp_path: Path, suffix: str) -> None:
    result = edgecomp.judge_log(
        log(tmp_path / f"l{suffix}", keys=12_000), "v1", ["v2"], margin="5 pt", out=tmp_path / "o"
    )
    assert verdicts(result) == {"assignment": "PASS", "metric[v2]": "PASS", "latency[v2]": "PASS"}
    assert result.exit_code == 0
    kept = json.loads((tmp_path / "o" / "verdict.json").read_text())
    assert kept["verdict"] == "PASS"
    assert json.loads((tmp_path / "o" / "log.json").read_text())["keys"] == 12_000


@pytest.mark.parametrize(
    ("planted", "name", "words"),
    [
        ({"effect": -0.15}, "metric[v2]", "worse than the margin allows"),
        ({"slower": 1.5}, "latency[v2]", "+4"),
    ],
)
def test_a_worse_version_fails(tmp_path: Path, planted: dict[str, float], name: str, words: str) -> None:
    result = edgecomp.judge_log(
        log(tmp_path / "l.parquet", **planted), "v1", ["v2"], margin="5 pt", out=tmp_path / "o"
    )
    assert (verdicts(result)[name], result.exit_code) == ("FAIL", 1)
    (check,) = [one for one in result.checks if one.name == name]
    assert words in check.sentence
    others = {key: value for key, value in verdicts(result).items() if key != name}
    assert "FAIL" not in others.values()


def test_a_better_version_is_said_to_be_better(tmp_path: Path) -> None:
    result = edgecomp.judge_log(
        log(tmp_path / "l.parquet", effect=0.1), "v1", margin="5 pt", out=tmp_path / "o"
    )
    assert "it is better" in next(one.sentence for one in result.checks if one.name == "metric[v2]")


def test_an_undecided_test_tells_how_many_more_keys_it_takes(tmp_path: Path) -> None:
    result = edgecomp.judge_log(
        log(tmp_path / "l.parquet", keys=600), "v1", ["v2"], margin="5 pt", out=tmp_path / "o"
    )
    (check,) = [one for one in result.checks if one.name == "metric[v2]"]
    assert (str(check.verdict), result.exit_code) == ("INCONCLUSIVE", 3)
    assert check.estimate is not None
    assert check.estimate.estimate is not None
    assert check.estimate.estimate > check.limit_value  # which is not enough
    assert "more keys would tell" in check.sentence
    few = edgecomp.judge_log(
        log(tmp_path / "f.parquet", keys=50), "v1", ["v2"], margin="1 pt", out=tmp_path / "p"
    )
    assert "100 are the fewest that are judged" in few.checks[1].sentence


def test_keys_and_not_requests_are_counted(tmp_path: Path) -> None:
    """One key of ten thousand requests is one key."""
    file = log(tmp_path / "l.parquet", keys=400)
    table = parquet.read_table(file).to_pydict()
    for name, value in {"key": "robot", "version": "v2", "metric": 0.0, "latency_ms": 1000.0}.items():
        table[name] += [value] * 10_000
    parquet.write_table(pyarrow.table(table), file)
    assert len(keyed(file).version) == 401
    result = edgecomp.judge_log(file, "v1", ["v2"], margin="20 pt", out=tmp_path / "o")
    assert "FAIL" not in verdicts(result).values()


def test_keys_that_moved_or_are_missing_make_it_invalid(tmp_path: Path) -> None:
    file = log(tmp_path / "l.parquet", keys=2000)
    table = parquet.read_table(file).to_pydict()
    swapped = {
        **table,
        "version": [
            ("v1", "v2")[place % 2] if place < 600 else one for place, one in enumerate(table["version"])
        ],
    }
    parquet.write_table(pyarrow.table(swapped), tmp_path / "moved.parquet")
    result = edgecomp.judge_log(tmp_path / "moved.parquet", "v1", ["v2"], out=tmp_path / "a")
    assert (verdicts(result)["assignment"], result.exit_code) == ("INVALID", 4)
    assert "were served by several versions" in result.checks[0].sentence
    gone = {key for place, key in enumerate(dict.fromkeys(table["key"])) if place % 3 == 0}
    lost = [
        place for place, one in enumerate(table["version"]) if one == "v1" or table["key"][place] not in gone
    ]
    parquet.write_table(
        pyarrow.table({name: [column[place] for place in lost] for name, column in table.items()}),
        tmp_path / "lost.parquet",
    )
    result = edgecomp.judge_log(tmp_path / "lost.parquet", "v1", ["v2"], out=tmp_path / "b")
    assert str(result.checks[0].reason) == "assignment"
    assert "no division into" in result.checks[0].sentence


def test_shares_that_were_declared_are_those_that_are_looked_at(tmp_path: Path) -> None:
    file = log(tmp_path / "l.parquet", share=0.1)
    result = edgecomp.judge_log(file, "v1", ["v2"], shares={"v1": 9, "v2": 1}, out=tmp_path / "o")
    assert verdicts(result)["assignment"] == "PASS"
    assert verdicts(edgecomp.judge_log(file, "v1", ["v2"], out=tmp_path / "p"))["assignment"] == "INVALID"


def test_several_versions_share_the_level(tmp_path: Path) -> None:
    file = log(tmp_path / "l.parquet")
    table = parquet.read_table(file).to_pydict()
    thirds = {key: f"v{1 + place % 3}" for place, key in enumerate(dict.fromkeys(table["key"]))}
    parquet.write_table(pyarrow.table({**table, "version": [thirds[key] for key in table["key"]]}), file)
    result = edgecomp.judge_log(file, "v1", margin="20 pt", out=tmp_path / "o")
    figures = {one.name: one.estimate for one in result.checks if one.estimate}
    assert set(figures) == {"metric[v2]", "latency[v2]", "metric[v3]", "latency[v3]"}
    assert {round(one.confidence, 6) for one in figures.values() if one.confidence} == {0.995}


def test_of_a_metric_whose_less_is_better(tmp_path: Path) -> None:
    file = log(tmp_path / "l.parquet", effect=0.15)
    result = edgecomp.judge_log(file, "v1", ["v2"], margin="5 pt", lower_is_better=True, out=tmp_path / "o")
    assert verdicts(result)["metric[v2]"] == "FAIL"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"baseline": "v9"}, "no key was served by version 'v9'"),
        ({"baseline": "v1", "margin": "1"}, "has no unit"),
        ({"baseline": "v1", "margin": "0 pt"}, "it is above 0"),
        ({"baseline": "v1", "margin": "5 ms"}, "write it in the metric's own unit"),
        ({"baseline": "v1", "latency_margin": "3 ms"}, "a share of the baseline's"),
        ({"baseline": "v1", "shares": {"v1": 1.0}}, "give one for each"),
    ],
)
def test_what_cannot_be_asked_is_told(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    file = log(tmp_path / "l.parquet", keys=300)
    with pytest.raises(UsageError, match=words):
        edgecomp.judge_log(file, given.pop("baseline"), out=tmp_path / "o", **given)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"metric": np.full(5, np.nan)}, "5 cells that are NaN"),
        ({"latency_ms": np.zeros(5)}, "not above 0"),
        ({"metric": np.array(["a"] * 5)}, "numbers are due"),
    ],
)
def test_damaged_logs_are_told(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    table = {"key": list("abcde"), "version": ["v1"] * 5, "metric": np.ones(5)} | columns
    parquet.write_table(pyarrow.table(table), tmp_path / "l.parquet")
    with pytest.raises(DataError, match=words):
        edgecomp.judge_log(tmp_path / "l.parquet", "v1")


def test_the_command_line(tmp_path: Path) -> None:
    log(tmp_path / "l.parquet")

    def typed(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command("compare", *arguments),
            cwd=tmp_path,
            env=environment() | {"COLUMNS": "80"},
            capture_output=True,
            text=True,
            check=False,
        )

    done = typed(
        "v1",
        "v2",
        "--log",
        "l.parquet",
        "--margin",
        "10 pt",
        "--share",
        "v1=1",
        "--share",
        "v2=1",
        "--out",
        "o",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["verdict"] == "PASS"
    assert "metric of v2 beside v1" in done.stdout + done.stderr
    assert typed("v1", "v2", "--log", "l.parquet", "--share", "v1").returncode == 2
    assert typed("v1", "v2", "--log", "m.parquet").returncode == 2
    missing = typed("v1", "v2")
    assert missing.returncode == 2
    assert "--target" in missing.stderr


def test_the_hash_divides_as_it_is_told_and_stays(tmp_path: Path) -> None:
    shares = {"v1": 0.7, "v2": 0.2, "v3": 0.1}
    found = [version_of(f"k{one}", shares, "a") for one in range(20_000)]
    assert {name: round(found.count(name) / 20_000, 2) for name in shares} == shares
    assert (
        version_of("ann", {"v1": 0.5, "v2": 0.5}, "a") == "v2"
    )  # whatever the machine: sha256("a:ann") is what it is
    assert [version_of(f"k{one}", shares, "b") for one in range(100)] != found[:100]
    with pytest.raises(ValueError, match="one above 0 for each"):
        version_of("x", {"v1": -1.0}, "a")


def test_the_division_s_evidence_holds_at_every_look() -> None:
    """An e-value: over 1000 in no more than one test of a thousand, whenever it is looked at."""
    random = np.random.default_rng(0)
    over = 0
    for _ in range(200):
        counts = np.cumsum(random.random(1000) < 0.5)
        over += any(
            evidence(np.array([look - counts[look - 1], counts[look - 1]]), np.array([0.5, 0.5])) > 20
            for look in range(50, 1001, 10)
        )
    assert over <= 18  # 10 at the most are due
    assert evidence(np.array([600, 400]), np.array([0.5, 0.5])) > 1000
