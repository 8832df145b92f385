"""ONNX files as a teacher that is ready and as a student's start, from a recipe to a verdict."""

import json
from pathlib import Path

import pytest
import torch
from running import SHORT, Cli

from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.models.networks.resnet import ResNet

pytestmark = pytest.mark.slow


def exported(file: Path, width: int) -> None:
    torch.manual_seed(0)
    example = torch.randn(2, 1, 16, 16)
    export_onnx(ResNet(1, 10, blocks=1, width=width).eval(), [example], file)


def test_a_teacher_and_a_student_that_are_files(cli: Cli, tmp_path: Path) -> None:
    exported(tmp_path / "large.onnx", 8)
    exported(tmp_path / "small.onnx", 4)
    recipe = tmp_path / "files.yaml"
    recipe.write_text(
        "defaults: [digits, _self_]\nname: files\ndata: { image_size: 16, views: 1 }\n"
        "teacher: { network: 'onnx:large.onnx' }\nstudent: { network: 'onnx:small.onnx' }\n"
        "targets: [onnxruntime-cpu]\nungated_targets: []\n",
        encoding="utf-8",
    )
    out = tmp_path / "run"
    overrides = ["~teacher.arguments", "~student.arguments", "teacher.epochs=0"]
    done = cli("run", str(recipe), *SHORT, *overrides, "--out", str(out), "--json")
    assert done.code in (0, 1, 3), done.err
    rows = {row["name"]: row for row in done.json["gates"]}
    assert rows["int8_share_pct"]["verdict"] == "PASS", rows["int8_share_pct"]
    assert rows["export_sqnr_db"]["verdict"] != "FAIL", rows[
        "export_sqnr_db"
    ]  # undecided: a teacher by chance knows one class
    made_from = json.loads((out / "job.json").read_text(encoding="utf-8"))["outside"]
    assert set(made_from) == {"teacher", "student"}
    exported(tmp_path / "small.onnx", 6)
    planned = cli("run", str(recipe), *SHORT, *overrides, "--out", str(out), "--plan")
    assert planned.out.startswith("distill "), planned.out  # another student, of the same teacher
