"""What a file asks for, a runtime does: layers in float stay there, signed schemes have no zero point."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from torch import fx

from edgecomp import runtimes
from edgecomp.export.blocks import output_name, tap_blocks
from edgecomp.export.onnx import float_layers
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir
from edgecomp.export.parity import compare, compare_blocks, executed_precision, own_name
from edgecomp.models.networks.resnet import ResNet
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold
from edgecomp.quantization.layers import layer_names
from edgecomp.quantization.placement import place, restore
from edgecomp.runtimes import Inspect, Layer
from edgecomp.tasks import task

INPUTS = torch.randn(64, 1, 16, 16, generator=torch.Generator().manual_seed(0))
FLOAT = ("layers.1.conv2", "head")


def student(scheme: str = "cpu-u8-narrow", in_float: tuple[str, ...] = ()) -> fx.GraphModule:
    torch.manual_seed(0)
    network = ResNet(1, 10, blocks=1, width=8)
    module = place(capture(network, [INPUTS[:2]], [{0: "batch"}]), scheme, in_float)
    calibrate(module, [{"input": INPUTS.numpy()}])
    return fold(module)


def test_the_file_beside_the_one_with_all_tensors_is_the_network_alone(tmp_path: Path) -> None:
    alone, beside, with_all = (tmp_path / f"{name}.onnx" for name in ("alone", "beside", "all"))
    module = student(in_float=FLOAT)
    export_onnx(module, [INPUTS[:2]], alone)
    tapped, names = tap_blocks(module)
    outputs = ["logits", *map(output_name, names)]
    export_onnx(tapped, [INPUTS[:2]], with_all, output_names=outputs, first_outputs=(1, beside))
    kinds = [[node.op_type for node in onnx.load(file).graph.node] for file in (alone, beside)]
    assert kinds[0] == kinds[1]
    answers = [
        ort.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"input": INPUTS.numpy()})
        for file in (alone, beside)
    ]
    assert len(answers[1]) == 1
    np.testing.assert_array_equal(answers[0][0], answers[1][0])


def precisions(runtime_name: str, model: Path) -> dict[str, str]:
    runtime = runtimes.adapter(runtime_name)
    assert isinstance(runtime, Inspect)
    layers = runtime.executed_layers(model, options={})
    return {own_name(layer): layer.precision for layer in layers if layer.macs}


def test_layers_in_float_run_in_float_and_all_others_in_int8_in_both_runtimes(tmp_path: Path) -> None:
    module = student(in_float=FLOAT)
    export_onnx(module, [INPUTS[:2]], tmp_path / "model.onnx")
    ir.convert(tmp_path / "model.onnx", tmp_path)
    wanted = {name: "fp32" if name in FLOAT else "int8" for name in layer_names(module)}
    assert precisions("onnxruntime-cpu", tmp_path / "model.onnx") == wanted
    assert precisions("openvino-cpu", tmp_path / "model.xml") == wanted


def test_without_what_keeps_it_in_float_onnx_runtime_rounds_the_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecomp.export.onnx.qdq.keep_in_float", lambda model: None)
    export_onnx(
        student(in_float=("layers.1.conv1",)), [INPUTS[:2]], tmp_path / "model.onnx"
    )  # read by integers
    assert precisions("onnxruntime-cpu", tmp_path / "model.onnx")["layers.1.conv1"] == "int8"
    assert float_layers.keep_in_float.__doc__


def test_a_student_with_a_layer_put_back_to_integers_can_be_timed(tmp_path: Path) -> None:
    trained = place(
        capture(ResNet(1, 10, blocks=1, width=8), [INPUTS[:2]], [{0: "batch"}]), "cpu-u8-narrow", FLOAT
    )
    calibrate(trained, [{"input": INPUTS.numpy()}])
    graph = capture(ResNet(1, 10, blocks=1, width=8), [INPUTS[:2]], [{0: "batch"}])
    variant = place(graph, "cpu-u8-narrow", FLOAT[1:])
    restore(variant, trained.state_dict())
    export_onnx(fold(variant), [INPUTS[:2]], tmp_path / "model.onnx")
    assert precisions("onnxruntime-cpu", tmp_path / "model.onnx")["layers.1.conv2"] == "int8"


def test_fewer_layers_in_integers_need_no_scale_that_more_do_not_have() -> None:
    graph = capture(ResNet(1, 10, blocks=1, width=8), [INPUTS[:2]], [{0: "batch"}])
    whole = set(
        place(
            capture(ResNet(1, 10, blocks=1, width=8), [INPUTS[:2]], [{0: "batch"}]), "cpu-u8-narrow"
        ).state_dict()
    )
    for layer in layer_names(graph):
        some = place(
            capture(ResNet(1, 10, blocks=1, width=8), [INPUTS[:2]], [{0: "batch"}]), "cpu-u8-narrow", [layer]
        )
        assert set(some.state_dict()) < whole, layer


def test_the_signed_scheme_has_zero_points_of_zero_and_is_the_same_function(tmp_path: Path) -> None:
    module = student("gpu-s8")
    export_onnx(module, [INPUTS[:2]], tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    quantisers = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    zero_points = [constants[node.input[2]] for node in quantisers]
    assert {str(value.dtype) for value in zero_points} == {"int8", "int32"}  # int32: biases
    assert not any(value.any() for value in zero_points)
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(tmp_path / "model.onnx", settings, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"input": INPUTS.numpy()})
    with torch.no_grad():
        wanted = module(INPUTS).numpy()
    assert np.abs(logits - wanted).mean() <= 0.002 * wanted.std()


def test_every_integer_tensor_is_compared_and_a_wrong_one_is_seen(tmp_path: Path) -> None:
    module = student()
    tapped, names = tap_blocks(module)
    outputs = ["logits", *map(output_name, names)]
    export_onnx(tapped, [INPUTS[:2]], tmp_path / "blocks.onnx", output_names=outputs)
    with torch.no_grad():
        logits, *values = tapped(INPUTS[:16])
        torch.testing.assert_close(logits, module(INPUTS[:16]))
    blocks = {name: value.numpy() for name, value in zip(names, values, strict=True)}
    inputs = {"input": INPUTS[:16].numpy()}

    def compared(blocks: dict[str, np.ndarray]) -> dict[str, float]:
        model = tmp_path / "blocks.onnx"
        return compare_blocks(model, "onnxruntime-cpu", options={}, inputs=inputs, blocks=blocks)

    found = compared(blocks)
    assert set(found) == set(names)
    assert min(found.values()) > 20
    assert compared(blocks | {names[3]: -blocks[names[3]]})[names[3]] < 0


@pytest.mark.parametrize("runtime_name", ["onnxruntime-cpu", "openvino-cpu"])
def test_several_sets_of_probes_are_compared_and_the_worst_counts(runtime_name: str, tmp_path: Path) -> None:
    module = student()
    export_onnx(module, [INPUTS[:2]], tmp_path / "model.onnx")
    ir.convert(tmp_path / "model.onnx", tmp_path)
    model = tmp_path / ("model.onnx" if runtime_name == "onnxruntime-cpu" else "model.xml")
    with torch.no_grad():
        reference = module(INPUTS).numpy()
    probes = {"all": {"input": INPUTS.numpy()}, "few": {"input": INPUTS[:8].numpy()}}

    def compared(few: np.ndarray | None) -> dict[str, object]:
        references = None if few is None else {"all": reference, "few": few}
        return compare(
            model,
            runtime_name,
            options={},
            probes=probes,
            references=references,
            float_layers={},
            task=task(None),
        )[0]

    right, wrong, itself = compared(reference[:8]), compared(-reference[:8]), compared(None)
    assert right["agreeing"] == wrong["agreeing"] == 64
    if runtime_name == "onnxruntime-cpu":
        assert right["agreeing_unoptimised"] == 64
    assert right["sqnr_db"] > 20 > wrong["sqnr_db"]
    assert set(right["by_shape"]) == {f"{name}, batch {n}" for name in probes for n in (64, 8, 1)}
    assert itself["agreeing_unoptimised"] == 64
    assert itself["sqnr_db"] > 20


def test_layers_meant_to_be_float_do_not_count_and_attentions_own_products_are_apart() -> None:
    layers = [
        Layer("a/WithoutBiases", "Convolution", "int8", 60),
        Layer("b", "Gemm", "fp32", 30),
        Layer("b@2", "Gemm", "fp32", 10),
        Layer("scores", "MatMul", "fp32", 0),
        Layer("softmax", "Softmax", "fp32", 0),
    ]
    found = executed_precision(layers, {"b": "it is sensitive"})
    assert found["int8_share_pct"] == 100
    assert [one["reason"] for one in found["float_layers"]] == ["it is sensitive"] * 2
    assert found["activation_products"] == {"fp32": 1}
    assert found["float_operators"] == {"Softmax": 1}
    assert executed_precision(layers, {})["int8_share_pct"] == 60
    assert executed_precision(layers, {"a": "x", "b": "y"})["int8_share_pct"] is None
