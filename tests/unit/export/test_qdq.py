import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edgecomp import runtimes
from edgecomp.errors import CaptureError
from edgecomp.export.onnx import passes
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import kernels
from edgecomp.models.networks.resnet import ResNet
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold
from edgecomp.quantization.placement import fake_quants, place, weighted


@pytest.fixture(scope="module")
def student() -> torch.fx.GraphModule:
    torch.manual_seed(0)
    network = ResNet(1, 4, blocks=1, width=4)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):  # as after training; a bias of zeros would be left out
            nn.init.normal_(part.weight, 1, 0.5)
            nn.init.normal_(part.bias)
    module = place(capture(network, [torch.zeros(2, 1, 16, 16)], [{0: "batch"}]), "cpu-u8-narrow")
    calibrate(module, [{"input": torch.randn(8, 1, 16, 16).numpy()}])
    return fold(module)


@pytest.fixture(scope="module")
def exported(student: torch.fx.GraphModule, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(student, [torch.zeros(2, 1, 16, 16)], path)
    return path


def test_weights_are_int8_initialisers_holding_the_students_integers(
    student: torch.fx.GraphModule, exported: Path
) -> None:
    graph = onnx.load(exported).graph
    stored = [numpy_helper.to_array(item) for item in graph.initializer if len(item.dims) >= 2]
    assert len(stored) == 10
    assert all(weight.dtype == np.int8 for weight in stored)
    expected = []
    for _, source, quant in weighted(student):
        weight = student.get_parameter(str(source.target))
        expected.append((weight / quant.log_scale.exp()).round().detach().numpy().astype(np.int8))
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
    export_onnx(student, [torch.zeros(2, 1, 16, 16)], tmp_path / "again.onnx")
    content = exported.read_bytes()
    assert (tmp_path / "again.onnx").read_bytes() == content
    assert not re.search(rb"/[a-z]+/[a-z]+|\.py|stack_trace", content)


def test_the_student_still_trains_after_an_export(student: torch.fx.GraphModule) -> None:
    x = torch.randn(2, 1, 16, 16)
    student(x).sum().backward()


def test_a_table_is_looked_up_as_int8_and_dequantised_after(tmp_path: Path) -> None:
    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(50, 8)
            self.head = nn.Linear(8, 3)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.head(self.table(ids).mean(1))
            return logits

    ids = torch.arange(12).reshape(2, 6)
    axes = [{0: "batch", 1: "sequence"}]
    module = place(capture(Text(), [ids], axes), "cpu-u8-narrow")
    for quant in fake_quants(module).values():
        quant.state = "observe"
        module(ids)
        quant.set_range(quant.low, quant.high)
    fold(module)
    expected = module(ids).detach().numpy()
    export_onnx(module, [ids], tmp_path / "text.onnx", input_names=["ids"], dynamic_axes=axes)
    graph = onnx.load(tmp_path / "text.onnx").graph
    stored = {item.name: item.data_type for item in graph.initializer if list(item.dims) == [50, 8]}
    assert list(stored.values()) == [onnx.TensorProto.INT8]
    assert [dim.dim_param for dim in graph.input[0].type.tensor_type.shape.dim] == ["batch", "sequence"]
    session = ort.InferenceSession(tmp_path / "text.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"ids": ids.numpy()})
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_relu6_is_the_rounding_itself(tmp_path: Path) -> None:
    """Where a scale has grown beyond the ceiling, the grid still ends at 6, and no Clip is left in the file."""
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU6(), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(32, 2)
    )
    x = torch.randn(8, 1, 8, 8) * 20
    module = place(capture(network, [x[:2]], [{0: "batch"}]), "cpu-u8-narrow")
    calibrate(module, [{"input": x.numpy()}])
    for quant in fake_quants(module).values():
        if quant.most < 10:
            quant.log_scale.data += 1.0
    fold(module)
    expected = module(x).detach().numpy()
    export_onnx(module, [x[:2]], tmp_path / "relu6.onnx")
    assert "Clip" not in {node.op_type for node in onnx.load(tmp_path / "relu6.onnx").graph.node}
    session = ort.InferenceSession(tmp_path / "relu6.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"input": x.numpy()})
    assert np.abs(logits - expected).mean() < 0.02 * expected.std()


def made(**values: np.ndarray) -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(value, name) for name, value in values.items()]


def run_both(
    nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], change: Callable
) -> onnx.GraphProto:
    """The changed graph, of which the outputs are the same as before."""
    x, y = (onnx.helper.make_tensor_value_info(name, 1, None) for name in ("x", "y"))
    x = onnx.helper.make_tensor_value_info("x", 1, [2, 3, 4] if nodes[0].op_type == "MatMul" else [2, 4])
    graph = onnx.helper.make_graph(nodes, "g", [x], [y], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    values = {"x": np.random.default_rng(0).normal(size=[d.dim_value for d in x.type.tensor_type.shape.dim])}
    answers = []
    for _ in range(2):
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        answers.append(session.run(None, {"x": values["x"].astype(np.float32)})[0])
        change(model)
    np.testing.assert_array_equal(*answers)
    return model.graph


def test_a_relu_that_would_be_fused_into_a_float_gemm_is_written_as_max() -> None:
    nodes = [onnx.helper.make_node("Gemm", ["x", "w"], ["z"]), onnx.helper.make_node("Relu", ["z"], ["y"])]
    graph = run_both(nodes, made(w=np.eye(4, dtype=np.float32)), passes.write_relu_as_max)
    assert [node.op_type for node in graph.node] == ["Gemm", "Max"]


@pytest.mark.parametrize("kind", ["ReduceMean", "Gather"])
def test_an_axis_of_a_product_is_dropped_by_squeeze(kind: str) -> None:
    last = (
        onnx.helper.make_node("ReduceMean", ["z", "axes"], ["y"], keepdims=0)
        if kind == "ReduceMean"
        else onnx.helper.make_node("Gather", ["z", "index"], ["y"], axis=1)
    )
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["z"]), last]
    constants = made(w=np.eye(4, dtype=np.float32), axes=np.array([1], np.int64), index=np.array(0, np.int64))
    graph = run_both(nodes, constants, passes.keep_axes)
    assert [node.op_type for node in graph.node] == ["MatMul", kind, "Squeeze"]


@pytest.mark.parametrize("kind", ["ReduceMax", "ReduceMin"])
def test_an_extreme_is_no_part_of_the_rounding_that_follows(kind: str) -> None:
    nodes = [onnx.helper.make_node(kind, ["x", "axes"], ["y"])]
    graph = run_both(nodes, made(axes=np.array([1], np.int64)), kernels.keep_extremes_apart)
    assert [node.op_type for node in graph.node][:2] == [kind, "Max"]


def test_a_kernel_as_wide_as_its_image_is_the_same_function(tmp_path: Path) -> None:
    """The reduction of keys and values in SegFormer at 32×32: OpenVINO's int8 kernel gave noise."""
    torch.manual_seed(0)
    module = place(capture(nn.Sequential(nn.Conv2d(16, 16, 8, 8), nn.Flatten(), nn.Linear(16, 4)),
                           [torch.zeros(2, 16, 8, 8)], [{0: "batch"}]), "cpu-u8-narrow")  # fmt: skip
    x = torch.randn(16, 16, 8, 8)
    calibrate(module, [{"input": x.numpy()}])
    expected = fold(module)(x).detach().numpy()
    export_onnx(module, [x[:2]], tmp_path / "model.onnx")
    for runtime in ("onnxruntime-cpu", "openvino-cpu"):
        session = runtimes.adapter(runtime).load(tmp_path / "model.onnx", threads=1, options={})
        (logits,) = session.run({"input": x.numpy()}).values()
        assert np.abs(logits - expected).mean() < 0.01 * expected.std(), runtime


def test_what_has_no_onnx_is_refused_in_one_line(tmp_path: Path) -> None:
    class Spectrum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.eigvals(x).real

    with pytest.raises(CaptureError, match=r"nothing for aten.linalg_eig. Write") as caught:
        export_onnx(Spectrum(), [torch.randn(2, 3, 3)], tmp_path / "model.onnx")
    assert len(str(caught.value)) < 400
    assert caught.value.__cause__ is not None


class Pools(nn.Module):
    """Groups of channels, [N, 4, 2, 8, 8], averaged over their pixels: five axes, of which two are the image's."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.reshape(-1, 4, 2, 8, 8) * 2).mean((-2, -1), keepdim=True).flatten(1)


def test_a_mean_over_the_last_two_of_five_axes_stays_one(tmp_path: Path) -> None:
    x = torch.randn(3, 8, 8, 8)
    export_onnx(Pools(), [x], tmp_path / "m.onnx")
    (found,) = ort.InferenceSession(tmp_path / "m.onnx").run(None, {"input": x.numpy()})
    np.testing.assert_allclose(found, Pools()(x).numpy(), atol=1e-5)


def test_a_dilated_kernel_of_whole_rows_is_left_as_it_is(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 8, 3, dilation=2), nn.Flatten(), nn.Linear(8, 3))
    x = torch.randn(16, 4, 5, 5)
    module = place(capture(network, [x[:2]], [{0: "batch"}]), "cpu-u8-narrow")
    calibrate(module, [{"input": x.numpy()}])
    wanted = fold(module)(x).detach().numpy()
    export_onnx(module, [x[:2]], tmp_path / "m.onnx")
    (found,) = ort.InferenceSession(tmp_path / "m.onnx").run(None, {"input": x.numpy()})
    np.testing.assert_allclose(found, wanted, atol=0.05)
