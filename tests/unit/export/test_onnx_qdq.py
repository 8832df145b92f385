import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edgecomp.export.onnx_qdq import export_onnx
from edgecomp.models.resnet import ResNet
from edgecomp.quantize.calibration import calibrate
from edgecomp.quantize.folding import fold
from edgecomp.quantize.placement import QuantLayer, with_fake_quant


@pytest.fixture(scope="module")
def student() -> torch.fx.GraphModule:
    torch.manual_seed(0)
    network = ResNet(1, 4, blocks=1, width=4)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):  # as after training; a bias of zeros would be left out
            nn.init.normal_(part.weight, 1, 0.5)
            nn.init.normal_(part.bias)
    module = with_fake_quant(network, "cpu-u8")
    calibrate(module, [torch.randn(8, 1, 16, 16).numpy()])
    return fold(module)


@pytest.fixture(scope="module")
def exported(student: torch.fx.GraphModule, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(student, torch.zeros(2, 1, 16, 16), path)
    return path


def test_weights_are_int8_initialisers_holding_the_students_integers(
    student: torch.fx.GraphModule, exported: Path
) -> None:
    graph = onnx.load(exported).graph
    stored = [numpy_helper.to_array(item) for item in graph.initializer if len(item.dims) >= 2]
    assert len(stored) == 10
    assert all(weight.dtype == np.int8 for weight in stored)
    layers = [part for part in student.modules() if isinstance(part, QuantLayer)]
    expected = [
        (part.layer.weight / part.weight_quant.log_scale.exp()).round().detach().numpy().astype(np.int8)
        for part in layers
    ]
    assert sorted(weight.tobytes() for weight in stored) == sorted(weight.tobytes() for weight in expected)


def test_biases_are_int32_on_the_accumulators_grid(exported: Path) -> None:
    graph = onnx.load(exported).graph
    known = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == 10
    for node in layers:
        bias = made_by[node.input[2]]
        assert bias.op_type == "DequantizeLinear"
        assert known[bias.input[0]].dtype == np.int32
        weight = made_by[node.input[1]]
        source = made_by[node.input[0]]
        while source.op_type != "DequantizeLinear":
            source = made_by[source.input[0]]
        np.testing.assert_allclose(
            known[bias.input[1]], known[source.input[1]] * known[weight.input[1]].ravel(), rtol=1e-6
        )


def test_no_batch_normalisation_is_left_and_pooling_has_an_integer_kernel(exported: Path) -> None:
    kinds = {node.op_type for node in onnx.load(exported).graph.node}
    assert "GlobalAveragePool" in kinds
    assert not kinds & {"BatchNormalization", "ReduceMean", "Constant"}


def test_the_same_network_gives_the_same_bytes_and_none_tell_of_this_machine(
    student: torch.fx.GraphModule, exported: Path, tmp_path: Path
) -> None:
    export_onnx(student, torch.zeros(2, 1, 16, 16), tmp_path / "again.onnx")
    content = exported.read_bytes()
    assert (tmp_path / "again.onnx").read_bytes() == content
    assert not re.search(rb"/[a-z]+/[a-z]+|\.py|stack_trace", content)


def test_the_student_still_trains_after_an_export(student: torch.fx.GraphModule) -> None:
    x = torch.randn(2, 1, 16, 16)
    student(x).sum().backward()
