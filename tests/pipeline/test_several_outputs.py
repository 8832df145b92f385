"""A network of two outputs, each its own task, from data to the verdict and what is deployed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparing import compare
from running import Cli

pytestmark = pytest.mark.slow

RECIPE = """name: two-heads
tasks:
  kind: { task: classification, label: kind }
  amount: { task: regression, label: amount, weight: 0.5 }
data: { source: numpy, path: rows.npz }
teacher: { network: "heads:make", arguments: { width: 64 }, epochs: 20, batch_size: 32, learning_rate: 1.0e-2 }
student: { network: "heads:make", arguments: { width: 32 } }
distill: { epochs: 20, batch_size: 32, learning_rate: 1.0e-2 }
quantize: { epochs: 3 }
bench: { restarts: 1, warmup: 2, iterations: 16, offline_batches: 2 }
threads: 1
targets: [onnxruntime-cpu, openvino-cpu]
policy: policy.yaml
thresholds: { latency_p50_ms: null, latency_p99_ms: null, peak_memory_bytes: null }
"""
# What a busy machine cannot spoil: answers, parity and what is executed in integers.
POLICY = """format: 1
name: answers
checks:
  macro_f1_pct: { against: teacher, margin: 6 pt }
  teacher_agreement_pct: { min: 5 % }
  export_agreement_pct: { min: 90 % }
  export_sqnr_db: { min: 15 dB }
  export_block_sqnr_db: { min: 10 dB }
  int8_share_pct: { min: 90 % }
  portable_agreement_pct: { min: 90 % }
"""
HEADS = """from torch import nn


class Heads(nn.Module):
    def __init__(self, features, classes, width):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.heads = nn.ModuleDict({name: nn.Linear(width, classes[name]) for name in sorted(classes)})
        self.order = ORDER

    def forward(self, x):
        x = self.body(x)
        return {name: self.heads[name](x) for name in self.order}


def make(features, classes, width):
    return Heads(features, classes, width)
"""


def rows(folder: Path) -> None:
    random = np.random.default_rng(3)
    inputs = random.normal(size=(1500, 6)).astype(np.float32)
    kind = np.array(["low", "middle", "high"])[np.digitize(inputs[:, :3].sum(axis=1), [-1.0, 1.0])]
    amount = 500 + 100 * (inputs[:, 2:].sum(axis=1)) + random.normal(0, 5, 1500)
    np.savez(folder / "rows.npz", inputs=inputs, kind=kind, amount=amount)


def written(folder: Path, order: str = "('kind', 'amount')", recipe: str = RECIPE) -> None:
    folder.mkdir(exist_ok=True)
    rows(folder)
    (folder / "heads.py").write_text(HEADS.replace("ORDER", order), encoding="utf-8")
    (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
    (folder / "two.yaml").write_text(recipe, encoding="utf-8")


def lines(folder: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-P", str(folder / "infer.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_output_is_learnt_judged_and_deployed(cli: Cli, tmp_path: Path) -> None:
    written(tmp_path)
    done = cli("run", "two.yaml", "--out", "run", "--json", cwd=tmp_path)
    assert done.code == 0, done.err + done.out
    run = tmp_path / "run"
    gates = {row["name"]: row["verdict"] for row in done.json["gates"] if row["target"] == "onnxruntime-cpu"}
    assert gates == dict.fromkeys(
        [
            "export_block_sqnr_db", "int8_share_pct", "portable_agreement_pct", "macro_f1_pct[kind]", "teacher_agreement_pct[kind]",
            "export_agreement_pct[kind]", "export_sqnr_db[kind]", "r2_pct[amount]", "teacher_agreement_pct[amount]",
            "export_agreement_pct[amount]", "export_sqnr_db[amount]",
        ],
        "PASS",
    )  # fmt: skip
    for target in ("onnxruntime-cpu", "openvino-cpu"):
        contract = json.loads((run / "deploy" / target / "contract.json").read_text(encoding="utf-8"))
        amount, kind = contract["outputs"]
        assert (amount["name"], amount["task"], amount["shape"]) == ("amount", "regression", [None, 1])
        assert (kind["name"], kind["labels"], kind["shape"]) == ("kind", ["high", "low", "middle"], [None, 3])
        with np.load(run / "data" / "validation.npz") as split:
            labels = split["labels"]
        said = lines(run / "deploy" / target)
        assert len(said) == 8
        unscaled = labels[:8, 0] * amount["target_std"][0] + amount["target_mean"][0]
        assert np.abs([one["amount"][0] for one in said] - unscaled).mean() < 50
        assert (
            sum(
                one["kind"] == kind["labels"][int(label)]
                for one, label in zip(said, labels[:, 1], strict=False)
            )
            >= 6
        )
    assert cli("report", "run", cwd=tmp_path).code == 0
    rows = {
        "macro_f1_pct": {"against": "baseline", "margin": "3 pt"},
        "baseline_agreement_pct": {"min": "95 %"},
    }
    (tmp_path / "p.yaml").write_text(json.dumps({"format": 1, "name": "p", "checks": rows}), encoding="utf-8")
    both = compare(tmp_path, "run", "run", "-t", "onnxruntime-cpu", "--policy", "p.yaml", "--json")
    assert (both.code, set(both.rows)) == (
        0,
        {
            "macro_f1_pct[kind]",
            "r2_pct[amount]",
            "baseline_agreement_pct[kind]",
            "baseline_agreement_pct[amount]",
        },
    ), both.err
    assert cli("run", "run", "--only", "gate", cwd=tmp_path).code == 0


def test_the_order_of_outputs_changes_nothing_and_an_onnx_file_may_teach(cli: Cli, tmp_path: Path) -> None:
    """Both students are the same, to the bit; and the student that came out teaches the next one."""
    short = ("teacher.epochs=3", "distill.epochs=1", "quantize.epochs=1", "targets=[onnxruntime-cpu]")
    turned = RECIPE.replace(
        "tasks:\n", "tasks:\n  amount: { task: regression, label: amount, weight: 0.5 }\n", 1
    )
    turned = turned.replace(
        "label: kind }\n  amount: { task: regression, label: amount, weight: 0.5 }\n", "label: kind }\n"
    )
    found = []
    for name, order, recipe in (
        ("one", "('kind', 'amount')", RECIPE),
        ("other", "('amount', 'kind')", turned),
    ):
        written(tmp_path / name, order, recipe)
        assert cli("run", "two.yaml", *short, "--out", "run", cwd=tmp_path / name).code in (0, 1, 3)
        run = tmp_path / name / "run"
        found.append([
            *((run / file).read_bytes() for file in ("teacher/teacher.safetensors", "precision/student_int8.safetensors")),
            (run / "export" / "reference.npy").read_bytes(),
        ])  # fmt: skip
    assert found[0] == found[1]
    one = tmp_path / "one"
    (one / "model.onnx").write_bytes((one / "run" / "export" / "onnx" / "teacher.onnx").read_bytes())
    ready = (
        "teacher.network=onnx:model.onnx",
        "teacher.arguments=null",
        "teacher.epochs=0",
        "student.network=teacher",
        "student.arguments=null",
    )
    wrong = cli(
        "run",
        "two.yaml",
        *short,
        *ready,
        "+tasks.kinds={task: classification, label: kind}",
        "~tasks.kind",
        cwd=one,
    )
    assert (
        wrong.code,
        "tasks.kinds" in wrong.err,
        "did you mean 'kind'?" in " ".join(wrong.err.split()),
    ) == (2, True, True), wrong.err
    told = json.loads((one / "run" / "data" / "preprocessing.json").read_text(encoding="utf-8"))
    with np.load(one / "rows.npz") as held:  # a teacher that is ready answers in the labels' own unit
        amount = (held["amount"] - told["target_mean"][0]) / told["target_std"][0]
        np.savez(one / "rows.npz", inputs=held["inputs"], kind=held["kind"], amount=amount)
    done = cli("run", "two.yaml", *short, *ready, "--out", "again", "--json", cwd=one)
    gates = {row["name"]: row["verdict"] for row in done.json["gates"]}
    assert (done.code, gates["macro_f1_pct[kind]"], gates["r2_pct[amount]"]) == (0, "PASS", "PASS"), done.err
