"""DVC itself runs a recipe's stage, and not again; compares it; and keeps the data that `data.path` names (`tox run -e dvc`)."""

import csv
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from running import SHORT as SHORTEST

from edgecomp import load
from edgecomp.api.operations import dvc_stage

RECIPE = """name: mine
data: { source: huggingface, path: data/rows.csv.dvc, inputs: [a, b], label: kind }
teacher: { network: mlp, arguments: { layers: 2, width: 16 }, epochs: 20, learning_rate: 0.01 }
student: { network: mlp, arguments: { layers: 1, width: 8 } }
distill: { epochs: 20, learning_rate: 0.01 }
quantize: { epochs: 1 }
targets: [onnxruntime-cpu]
policy: mine.policy.yaml
thresholds: { latency_p50_ms: null, latency_p99_ms: null, peak_memory_bytes: null }
"""
SHORT = [word for word in SHORTEST if ".epochs" not in word]
POLICY = "format: 1\nname: mine\nchecks:\n  macro_f1_pct: { against: teacher, margin: 40 pt }\n"


@pytest.fixture
def dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Dvc":
    environment = os.environ.get("EDGECOMP_DVC")
    if not environment:
        pytest.skip("EDGECOMP_DVC names no environment with dvc: tox run -e dvc")
    monkeypatch.chdir(tmp_path)
    return Dvc(Path(environment))


class Dvc:
    def __init__(self, environment: Path) -> None:
        self.environment = environment

    def __call__(self, *words: str) -> str:
        return run(str(self.environment / "bin" / "dvc"), *words)


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def rows(file: Path, count: int) -> None:
    random = np.random.default_rng(count)
    file.parent.mkdir(exist_ok=True)
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["a", "b", "kind"])
        for _ in range(count):
            a, b = random.normal(size=2)
            writer.writerow([f"{a:.4f}", f"{b:.4f}", "in" if a + b > 0 else "out"])


def test_it_runs_where_something_changed_and_compares(dvc: Dvc, tmp_path: Path) -> None:
    run("git", "init", "-q")
    run("git", "config", "user.email", "test@example.org")
    run("git", "config", "user.name", "test")
    dvc("init", "-q")
    rows(Path("data/rows.csv"), 600)
    dvc("add", "-q", "data/rows.csv")
    Path("mine.yaml").write_text(RECIPE)
    Path("mine.policy.yaml").write_text(POLICY)
    dvc_stage("mine.yaml", SHORT)
    assert "Running stage 'mine'" in (said := dvc("repro")), said
    assert load("runs/mine").verdict == "PASS", said
    assert "Data and pipelines are up to date" in dvc("repro")
    run("git", "add", "-A")
    run("git", "commit", "-qm", "one")

    Path("mine.yaml").write_text(RECIPE.replace("width: 8", "width: 12"))
    params = dvc("params", "diff")
    assert "mine.yaml" in params
    assert "student.arguments.width" in params
    assert "Running stage 'mine'" in dvc("repro")
    compared = dvc("metrics", "diff")
    print(params, compared)
    assert (
        "onnxruntime-cpu.checks.macro_f1_pct" in compared
        or "onnxruntime-cpu.figures.parameter_bytes" in compared
    )

    rows(Path("data/rows.csv"), 700)  # without `dvc add`: nothing is learnt of what no version names
    assert "is not what it says" in run("edgecomp", "run", "mine.yaml", *SHORT, "--out", "runs/mine")
    dvc("add", "-q", "data/rows.csv")
    assert "Running stage 'mine'" in dvc("repro")
    assert load("runs/mine").verdict == "PASS"
    assert (tmp_path / "runs" / "mine" / "deploy" / "onnxruntime-cpu").is_dir()
