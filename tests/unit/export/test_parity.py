"""Files held against the networks they are made of."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir
from edgecomp.export.parity import REFERENCES, WORST_DB, compare_references
from edgecomp.models.networks.resnet import ResNet

INPUTS = {"input": np.random.default_rng(0).normal(size=(40, 1, 16, 16)).astype(np.float32)}


def network(seed: int) -> ResNet:
    torch.manual_seed(seed)
    return ResNet(1, 10, blocks=1, width=4).eval()


@pytest.mark.parametrize(
    ("runtime", "file"), [("onnxruntime-cpu", "model.onnx"), ("openvino-cpu", "model.xml")]
)
def test_a_reference_that_is_another_network_is_far_from_it(runtime: str, file: str, tmp_path: Path) -> None:
    export_onnx(network(0), [torch.zeros(2, 1, 16, 16)], tmp_path / "model.onnx")
    ir.convert(tmp_path / "model.onnx", tmp_path)
    with torch.no_grad():
        own, other = (network(seed)(torch.from_numpy(INPUTS["input"])[:32]).numpy() for seed in (0, 1))
    np.savez(
        tmp_path / "references.npz",
        teacher=own,
        student_fp32=other,
        control=np.full_like(own, np.nan),
        left_out=own,
    )
    compare_references(
        {arm: tmp_path / file for arm in ("teacher", "student_fp32", "control")},
        runtime_name=runtime,
        options={},
        inputs=INPUTS,
        references=tmp_path / "references.npz",
        folder=tmp_path,
    )
    found = json.loads((tmp_path / REFERENCES).read_text(encoding="utf-8"))
    assert found["teacher"] > 60
    assert found["student_fp32"] < 20
    assert found["control"] == WORST_DB
    assert list(found) == ["teacher", "student_fp32", "control"]  # the same bytes in every process
