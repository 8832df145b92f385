"""The recipe `staged`, as a rehearsal: each stage learns what it says, and all of it is in the run folder and the report."""

import json
from pathlib import Path

import pytest
from running import Cli

from edgecomp.files import epoch_table

pytestmark = pytest.mark.slow


def test_a_rehearsal_of_stages_goes_from_data_to_a_report(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    small = ("quick=true", "targets=[onnxruntime-cpu]", "data.image_size=16", "data.limit=200")
    done = cli("run", "staged", *small, "--out", str(folder), "--json")
    assert done.code in (0, 1, 3), done.err
    told = json.loads((folder / "distill" / "history.json").read_text(encoding="utf-8"))["student_fp32"]
    assert [epoch["stage"] for epoch in told] == [1, 2, 3]
    learnt = [sorted(key for key in epoch if key.startswith("loss: ")) for epoch in told]
    features, labels = ["loss: features-mse of layers.1"], ["loss: hard-labels", "loss: soft-labels"]
    assert learnt == [features, features + labels, labels]
    table = epoch_table.rows(folder)
    assert {row[0] for row in table} == {"teacher", "student, fp32", "student, int8"}
    assert {"memory_mib", "agreement_pct", "cka: layers.1"} <= {row[2] for row in table}
    report = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "norm of gradients" in report
    assert "likeness of hidden states" in report
