"""benchmarks/gpu where there is no GPU: it goes as far as a CPU does, says what was not run, and loses nothing to a check that
raises."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

GPU = Path(__file__).parents[3] / "benchmarks" / "gpu"


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(GPU))
    import rows

    return rows


def report(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows by check."""
    content = json.loads((folder / "gpu.json").read_text(encoding="utf-8"))
    return {check["name"]: check["rows"] for check in content["checks"]}


@pytest.mark.slow
def test_a_cpu_goes_up_to_the_gpu_parts(tmp_path: Path) -> None:
    only = "training steps,int8,compare,ONNX Runtime,other runtimes"
    command = [sys.executable, str(GPU), "--quick", "--to", str(tmp_path), "--only", only]
    done = subprocess.run(command, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}, check=False)
    assert done.returncode == 0
    found = report(tmp_path)
    for check in ("training steps", "compare"):
        assert [row["verdict"] for row in found[check]] == ["not run"]
        assert "no GPU here" in found[check][0]["reason"]
    by_name = {row["name"]: row for row in found["int8"]}
    shares = [row for name, row in by_name.items() if name.endswith("linear layers in int8")]
    assert [(row["value"], row["verdict"]) for row in shares] == [(100.0, "PASS")] * 2
    answers = [row for name, row in by_name.items() if name.endswith("the fake-quant student's")]
    assert [row["verdict"] for row in answers] == ["PASS"] * 2
    assert [row["verdict"] for row in found["ONNX Runtime"]] == ["PASS", "PASS", "measured"]
    page = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert all(row["name"] in page for rows in found.values() for row in rows)


def test_a_check_that_raises_is_a_row_and_loses_nothing(rows: ModuleType, tmp_path: Path) -> None:
    def breaks(_: object) -> Iterator[Any]:
        yield rows.Row("before it broke", 1.0, "ms")
        raise RuntimeError("an illegal memory access")

    def works(_: object) -> Iterator[Any]:
        yield rows.at_least("after it", float("nan"), 3.0, "×")

    def keep(done: list[Any]) -> None:
        rows.write(tmp_path, {"GPU": "one"}, done)
        kept.append([row["verdict"] for found in report(tmp_path).values() for row in found])

    kept: list[list[str]] = []
    checks = [rows.Check("breaks", breaks), rows.Check("works", works), rows.Check("late", works)]
    rows.run_all(checks[:2], None, has_gpu=True, deadline=float("inf"), keep=keep)
    assert kept == [["measured"], ["measured", "failed"], ["measured", "failed", "FAIL"]]
    assert "RuntimeError: an illegal memory access" in report(tmp_path)["breaks"][1]["reason"]
    (late,) = rows.run_all(checks[2:], None, has_gpu=True, deadline=0.0, keep=lambda done: None)
    assert late.rows[0].verdict == "not run"
    assert [one.name for one in rows.kept(tmp_path, {"GPU": "one"})] == ["breaks", "works"]
    assert rows.kept(tmp_path, {"GPU": "another"}) == []
