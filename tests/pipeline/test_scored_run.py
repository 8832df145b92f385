"""A run that a score of one's own judges as well, of a regression; and what reads its folder afterwards never imports that."""

import json
from pathlib import Path

import numpy as np
import pytest
from comparing import compare
from running import Cli

from edgecomp.data import preprocessing
from edgecomp.data.heads import in_own_unit
from edgecomp.data.splits import Split

pytestmark = pytest.mark.slow

RECIPE = """name: prices
task: regression
score: own.py:nearness
data: { source: numpy, path: prices.npz }
teacher: { network: mlp, arguments: { layers: 3, width: 64 }, epochs: 20, batch_size: 32 }
student: { network: mlp, arguments: { layers: 2, width: 16 } }
distill: { epochs: 10, batch_size: 32 }
quantize: { epochs: 3 }
bench: { restarts: 1, warmup: 2, iterations: 16, offline_batches: 2 }
threads: 1
targets: [onnxruntime-cpu]
thresholds: { score: { against: teacher, margin: 2000 score } }
"""
OWN = """import numpy as np


def nearness(outputs, labels):
    return -np.abs(outputs - labels).mean(axis=1)
"""


def test_a_score_is_in_the_datas_unit_and_reading_runs_no_code(cli: Cli, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(600, 4)).astype(np.float32)
    price = 50_000 + 10_000 * inputs.sum(axis=1) + random.normal(0, 1000, 600)
    np.savez(tmp_path / "prices.npz", inputs=inputs, label=price)
    (tmp_path / "prices.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "own.py").write_text(OWN.replace("axis=1", "axis=0"), encoding="utf-8")
    refused = cli("run", "prices.yaml", "--out", "run", cwd=tmp_path)
    assert (refused.code, (tmp_path / "run" / "teacher").exists()) == (2, False)
    assert "returns numbers of shape [1] for 4 examples" in " ".join(refused.err.split())
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    done = cli("run", "prices.yaml", "--out", "run", "--json", cwd=tmp_path)
    assert done.code in (0, 1, 3), done.err
    run = tmp_path / "run"
    verdict = json.loads((run / "gate" / "verdict.json").read_text(encoding="utf-8"))
    figures = verdict["figures"]["onnxruntime-cpu"]["student_int8"]
    assert figures["score"]["value"] == pytest.approx(-figures["mae_units"]["value"], rel=1e-4)
    with np.load(run / "bench" / "onnxruntime-cpu" / "outputs.npz") as kept:
        assert kept["student_int8.score"].mean() == pytest.approx(figures["score"]["value"])
    refused = cli("bench", "run", cwd=tmp_path)
    assert (refused.code, "`bench` imports nothing that a folder names" in " ".join(refused.err.split())) == (
        2,
        True,
    )
    (tmp_path / "own.py").unlink()
    for arguments in (("report", "run"), ("run", "run", "--only", "gate")):
        assert cli(*arguments, cwd=tmp_path).code == done.code
    rows = {"r2_pct": {"against": "baseline", "margin": "2 pt"}}
    (tmp_path / "p.yaml").write_text(json.dumps({"format": 1, "name": "p", "rows": rows}))
    told = ("run", "run", "-t", "onnxruntime-cpu", "--policy", "p.yaml", "--json")
    data, test = preprocessing.load(run / "data"), Split.load(run / "data", "test")
    np.savez(tmp_path / "d.npz", **data.apply(test.arrays), label=in_own_unit(test.labels, data))
    for more in ((), ("-d", "d.npz")):  # labels of the split are standardised, and those of a file are not
        both = compare(tmp_path, *told, *more)
        assert (both.code, both.json["judged"]["how"]) == (0, "task regression"), both.err
        found = both.verdict(tmp_path)["figures"]["onnxruntime-cpu"]["candidate"]
        for metric in ("r2_pct", "mae_units"):
            assert found[metric]["value"] == pytest.approx(figures[metric]["value"], rel=1e-4)
