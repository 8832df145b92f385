"""Every task from data to verdict and to the deployed script, on small data."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from running import Cli

pytestmark = pytest.mark.slow
SHORT = [
    "threads=1",
    "teacher.epochs=30",
    "distill.epochs=20",
    "quantize.epochs=5",
    "bench.restarts=1",
    "bench.warmup=2",
    "bench.iterations=16",
    "bench.offline_batches=2",
    "targets=[onnxruntime-cpu]",
]
RECIPE = """name: {task}
task: {task}
data: {data}
teacher: {{ network: mlp, arguments: {{ layers: 3, width: 64 }}, epochs: 30, batch_size: 32 }}
student: {{ network: mlp, arguments: {{ layers: 2, width: 16 }} }}
distill: {{ epochs: 20, batch_size: 32 }}
quantize: {{ epochs: 5 }}
targets: [onnxruntime-cpu]
"""


def tumours(folder: Path) -> str:
    return "{ source: breast_cancer }"


def labels(folder: Path) -> str:
    """Three labels, each of its own direction of eight numbers."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(600, 8)).astype(np.float32)
    scores = inputs @ random.normal(size=(8, 3)) + random.normal(0, 0.3, (600, 3))
    np.savez(folder / "labels.npz", inputs=inputs, label=(scores > 0).astype(np.int64))
    return "{ source: numpy, path: labels.npz }"


def prices(folder: Path) -> str:
    """Two numbers of a table, in units of their own."""
    random = np.random.default_rng(0)
    rooms, area = random.normal(3, 1, 600), random.normal(80, 20, 600)
    price, rent = 1000 * rooms + 50 * area + random.normal(0, 200, 600), 5 * area + random.normal(0, 20, 600)
    rows = [
        "rooms,area,price,rent",
        *(",".join(f"{one:.4f}" for one in row) for row in zip(rooms, area, price, rent, strict=True)),
    ]
    (folder / "houses.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return "{ source: huggingface, path: houses.csv, inputs: [rooms, area], label: [price, rent] }"


@pytest.mark.parametrize(
    ("task", "data", "metric", "least"),
    [
        ("binary", tumours, "accuracy_pct", 90),
        ("multilabel", labels, "micro_f1_pct", 80),
        ("regression", prices, "r2_pct", 70),
    ],
)
def test_a_task_comes_from_data_to_a_verdict_and_a_script(
    cli: Cli, tmp_path: Path, task: str, data: Callable[[Path], str], metric: str, least: float
) -> None:
    (tmp_path / f"{task}.yaml").write_text(RECIPE.format(task=task, data=data(tmp_path)), encoding="utf-8")
    done = cli("run", f"{task}.yaml", *SHORT, "--out", "run", "--json", cwd=tmp_path)
    assert done.code in (0, 1, 3), done.err
    run = tmp_path / "run"
    verdict = json.loads((run / "gate" / "verdict.json").read_text(encoding="utf-8"))
    figures = verdict["figures"]["onnxruntime-cpu"]["student_int8"]
    assert figures[metric]["value"] > least
    assert figures["teacher_agreement_pct"]["value"] > 0
    checks = {check["name"]: check for check in verdict["gates"]}
    for name in ("export_agreement_pct", "int8_share_pct", "portable_agreement_pct"):
        assert checks[name]["verdict"] == "PASS", checks[name]
    headline = {"binary": "macro_f1_pct", "multilabel": "micro_f1_pct", "regression": "r2_pct"}[task]
    assert checks[headline]["metric"] == headline
    deployed = run / "deploy" / "onnxruntime-cpu"
    contract = json.loads((deployed / "contract.json").read_text(encoding="utf-8"))
    assert contract["task"] == task
    assert contract["outputs"][0]["shape"] == [None, {"binary": 1, "multilabel": 3, "regression": 2}[task]]
    said = subprocess.run(
        [sys.executable, "infer.py"], cwd=deployed, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(said) == 8
    if task == "binary":
        assert set(said) <= {"malignant", "benign"}
    elif task == "multilabel":
        assert {one for line in said for one in line.split(",")} <= {"", "label 0", "label 1", "label 2"}
    else:
        found = np.asarray([[float(one) for one in line.split()] for line in said])
        assert found.shape == (8, 2)
        assert 4_000 < found[:, 0].mean() < 10_000  # in the labels' own unit


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        (
            ["task=regression", "data={source: huggingface, path: words.csv, inputs: [a, b], label: c}"],
            "is 'x'",
        ),
        (["task=binary", "data={source: huggingface, path: words.csv, inputs: [a, b], label: d}"], "have 3"),
        (
            [
                "task=classification",
                "data={source: huggingface, path: words.csv, inputs: [a], label: [b, c]}",
            ],
            "one label an example",
        ),
        (
            ["task=multilabel", "data={source: huggingface, path: words.csv, inputs: [a, b], label: d}"],
            "0 or 1",
        ),
        (["task=ranking"], "'classification', 'binary', 'multilabel' or 'regression'"),
    ],
)
def test_labels_that_do_not_fit_the_task_are_told_before_training(
    cli: Cli, tmp_path: Path, overrides: list[str], error: str
) -> None:
    rows = "\n".join(f"{row},{row / 2},{'xy'[row % 2]},{row % 3}" for row in range(60))
    (tmp_path / "words.csv").write_text(f"a,b,c,d\n{rows}\n", encoding="utf-8")
    (tmp_path / "r.yaml").write_text(
        RECIPE.format(task="binary", data="{ source: breast_cancer }"), encoding="utf-8"
    )
    done = cli("run", "r.yaml", *overrides, "--json", cwd=tmp_path)
    assert done.code == 2, done.err
    assert error in " ".join(done.err.split())
    assert "teacher (" not in done.err
