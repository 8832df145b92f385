"""Multiply-accumulates are counted for every operator with constant weights, in both runtimes alike; what cannot be counted is named."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edgecomp import runtimes
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir
from edgecomp.export.parity import executed_precision
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold
from edgecomp.quantization.layers import unruled_layers
from edgecomp.quantization.placement import place
from edgecomp.runtimes import Inspect
from edgecomp.runtimes.files import onnx_macs

STEPS, INPUTS, HIDDEN, CLASSES = 7, 16, 32, 4


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], **settings: bool) -> None:
        super().__init__()
        self.layer = kind(INPUTS, HIDDEN, batch_first=True, **settings)
        self.head = nn.Linear(HIDDEN * (2 if settings.get("bidirectional") else 1), CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.layer(x)[0][:, -1])
        return found


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.down = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.up, self.head = nn.ConvTranspose2d(32, 16, 2, stride=2), nn.Conv2d(32, CLASSES, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x).relu()
        up = self.up(self.down(first).relu())
        found: torch.Tensor = self.head(torch.cat([first, up], 1)).mean((2, 3))
        return found


class ByPlace(nn.Module):
    """Every place of a sequence has a matrix of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.head = nn.Parameter(torch.randn(STEPS, INPUTS, HIDDEN)), nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head((x[:, :, None] @ self.weight)[:, :, 0]).mean(1)
        return found


SEQUENCE, IMAGE = (2, STEPS, INPUTS), (2, 3, 16, 16)
# Network → one example's shape, and what of it is in float and in all.
NETWORKS = {
    "LSTM": (lambda: Recurrent(nn.LSTM), SEQUENCE, STEPS * 4 * HIDDEN * (INPUTS + HIDDEN), HIDDEN * CLASSES),
    "GRU, both ways": (
        lambda: Recurrent(nn.GRU, bidirectional=True), SEQUENCE, 2 * STEPS * 3 * HIDDEN * (INPUTS + HIDDEN), 2 * HIDDEN * CLASSES,
    ),
    "RNN": (lambda: Recurrent(nn.RNN), SEQUENCE, STEPS * HIDDEN * (INPUTS + HIDDEN), HIDDEN * CLASSES),
    "UNet": (UNet, IMAGE, 32 * 16 * 4 * 64, (3 * 16 * 9 + 32 * CLASSES * 9) * 256 + 16 * 32 * 9 * 64),
    "a matrix by place": (ByPlace, SEQUENCE, STEPS * INPUTS * HIDDEN, STEPS * HIDDEN * CLASSES),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.filterwarnings("ignore:The tensor attributes")
def test_what_runs_in_float_is_counted_in_both_runtimes(name: str, tmp_path: Path) -> None:
    make, shape, in_float, in_integers = NETWORKS[name]
    torch.manual_seed(0)
    example = torch.randn(*shape)
    left = ["layer"] if name == "LSTM" else []  # which has a rule
    module = place(capture(make(), [example], [{0: "batch"}]), "cpu-u8-narrow", left)
    calibrate(module, [{"input": torch.randn(16, *shape[1:]).numpy()}])
    export_onnx(fold(module), [example], tmp_path / "model.onnx")
    ir.convert(tmp_path / "model.onnx", tmp_path)
    for runtime_name, file in (("onnxruntime-cpu", "model.onnx"), ("openvino-cpu", "model.xml")):
        runtime = runtimes.adapter(runtime_name)
        assert isinstance(runtime, Inspect)
        layers = runtime.executed_layers(tmp_path / file, options={})
        macs = {
            kind: sum(one.macs or 0 for one in layers if one.precision == kind) for kind in ("fp32", "int8")
        }
        assert macs == {"fp32": in_float, "int8": in_integers}, runtime_name
        found = executed_precision(layers, {})
        assert found["uncounted"] == []
        # OpenVINO makes two layers of names of its own of one that goes both ways, and torch's exporter one a step of an RNN.
        named = left + [layer for layer in unruled_layers(module) if not layer.startswith("layer")]
        told = executed_precision(layers, dict.fromkeys(named, "no integer kernel"))
        assert {one["name"] for one in told["float_layers"]} == set(named)
        assert not named or told["int8_share_pct"] == 100
        assert found["int8_share_pct"] == pytest.approx(100 * in_integers / (in_float + in_integers))


def looped(tmp_path: Path) -> Path:
    """Three times the same product, in a loop."""
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), "weight")
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["held", "weight"], ["more"]),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("held", TensorProto.FLOAT, [None, 4]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, [None, 4]),
        ],
    )
    times = numpy_helper.from_array(np.asarray(3, np.int64), "times")
    graph = helper.make_graph(
        [
            helper.make_node("Loop", ["times", "", "x"], ["looped"], "repeat", body=body),
            helper.make_node("MatMul", ["looped", "weight"], ["y"], "last"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [weight, times],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("runtime_name", ["onnxruntime-cpu", "openvino-cpu"])
def test_what_a_loop_multiplies_is_not_counted_and_named(runtime_name: str, tmp_path: Path) -> None:
    model = looped(tmp_path)
    if runtime_name == "openvino-cpu":
        ir.convert(model, tmp_path)
        model = tmp_path / "model.xml"
    runtime = runtimes.adapter(runtime_name)
    assert isinstance(runtime, Inspect)
    found = executed_precision(runtime.executed_layers(model, options={}), {})
    assert found["int8_share_pct"] is None
    assert len(found["uncounted"]) == 1


def test_an_operator_that_nobody_knows_is_not_counted() -> None:
    matrix = numpy_helper.from_array(np.ones((4, 4), np.float32), "matrix")
    vector = numpy_helper.from_array(np.ones(4, np.float32), "vector")
    graph = helper.make_graph(
        [
            helper.make_node("Twist", ["x", "matrix"], ["a"], "first", domain="acme"),
            helper.make_node("Shift", ["a", "vector"], ["b"], "second", domain="acme"),
            helper.make_node("Mul", ["b", "matrix"], ["y"], "third"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [matrix, vector],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("acme", 1)]
    )
    assert [(node.name, macs) for node, macs in onnx_macs.of_graph(model)] == [("first", None)]


@pytest.mark.parametrize(
    ("operator", "shapes", "attributes", "output", "macs"),
    [
        ("Gemm", [("batch", 8), (4, 8)], {"transB": 1}, ("batch", 4), 32),
        ("Gemm", [("batch", 8), (8, 4)], {}, ("batch", 4), 32),
        ("MatMul", [("batch", 5, 8), (8, 4)], {}, ("batch", 5, 4), 160),
        ("MatMul", [(1, 5, 8), (8, 4)], {}, (1, 5, 4), 160),
        ("MatMul", [(6, 5), ("batch", 5, 3)], {}, ("batch", 6, 3), 90),
        ("Einsum", [("batch", 5, 8), (3, 8, 4)], {"equation": "bti,hio->btho"}, ("batch", 5, 3, 4), 480),
        ("Einsum", [("batch", 5, 8), (3, 8, 4)], {"equation": "...i,hio->...ho"}, ("batch", 5, 3, 4), None),
        ("Conv", [("batch", 6, 9, 9), (4, 3, 3, 3)], {"group": 2}, ("batch", 4, 7, 7), 4 * 27 * 49),
        ("ConvTranspose", [("batch", 6, 9, 9), (6, 4, 2, 2)], {"strides": [2, 2]}, ("batch", 4, 18, 18), 96 * 81),
    ],
)  # fmt: skip
def test_products_by_operator(
    operator: str,
    shapes: list[tuple[int | str, ...]],
    attributes: dict[str, object],
    output: tuple[int | str, ...],
    macs: int | None,
) -> None:
    """A weight is what has no axis of its own name."""
    weights = [f"i{place}" for place, shape in enumerate(shapes) if "batch" not in shape]
    constant = weights[-1]
    names = [f"i{place}" for place in range(len(shapes))]
    graph = helper.make_graph(
        [helper.make_node(operator, names, ["y"], "layer", **attributes)],
        "g",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in zip(names, shapes, strict=True)
            if name != constant
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(np.zeros(shapes[names.index(constant)], np.float32), constant)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    onnx.checker.check_model(model, full_check=True)
    assert [found for _, found in onnx_macs.of_graph(model)] == [macs]
