"""What every runtime must do, whatever it is made of."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import pytest
import torch
from onnx import TensorProto, helper

from edgecomp import runtimes
from edgecomp.errors import (
    InferenceError,
    ModelFileError,
    RuntimeOptionError,
    RuntimeUnavailableError,
)
from edgecomp.machine import gpus
from edgecomp.runtimes import Inspect, Profile
from edgecomp.runtimes.onnxruntime_gpu import cuda_settings, tensorrt_settings

NAMES = ("onnxruntime-cpu", "openvino-cpu", "pytorch-cpu", "torchscript-cpu")
INTEGER = ("onnxruntime-cpu", "openvino-cpu")

# The network of conftest.py by hand: kernel × channels × output pixels.
STEM = 9 * 8 * 256
BLOCKS = (
    9 * (8 * 8 + 8 * 8) * 256
    + (9 * (8 * 16 + 16 * 16) + 8 * 16) * 64
    + (9 * (16 * 32 + 32 * 32) + 16 * 32) * 16
)
MACS = STEM + BLOCKS + 32 * 4


@pytest.mark.parametrize("name", NAMES)
class TestEveryRuntime:
    def test_the_tables_are_whole(self, name: str) -> None:
        assert runtimes.adapter(name).name == name
        assert runtimes.TABLE[name].distribution in runtimes.adapter(name).versions()

    def test_a_signature_has_names_shapes_and_numpy_dtypes(self, name: str, exported) -> None:
        session = runtimes.adapter(name).load(exported.files[name, "fp32"], threads=1, options={})
        signature = session.signature()
        (given,), (returned,) = signature
        if name == "torchscript-cpu":  # tells names alone
            assert given.shape is given.dtype is returned.shape is None
            return
        assert given.shape == (None, 1, 16, 16)
        assert returned.shape == (None, 4)
        assert np.dtype(given.dtype) == np.dtype(returned.dtype) == np.float32
        assert name == "pytorch-cpu" or (given.name, returned.name) == ("input", "logits")

    @pytest.mark.parametrize("batch", [1, 2, 24])
    def test_it_computes_what_pytorch_computes_at_any_batch(self, name: str, batch: int, exported) -> None:
        session = runtimes.adapter(name).load(exported.files[name, "fp32"], threads=1, options={})
        port = session.signature().inputs[0].name
        outputs = session.run({port: exported.inputs[:batch]})
        np.testing.assert_allclose(
            next(iter(outputs.values())), exported.logits["fp32"][:batch], rtol=1e-3, atol=1e-4
        )

    def test_an_input_of_the_wrong_name_or_shape_is_an_inference_error(self, name: str, exported) -> None:
        session = runtimes.adapter(name).load(exported.files[name, "fp32"], threads=1, options={})
        port = session.signature().inputs[0].name
        with pytest.raises(InferenceError):
            session.run({"no_such_input": exported.inputs})
        with pytest.raises(InferenceError):
            session.run(
                {port: exported.inputs[0] if name == "torchscript-cpu" else exported.inputs[:, :, :7]}
            )
        with pytest.raises(InferenceError):
            session.run({port: exported.inputs[:1].astype(np.float64)})
        assert session.run({port: exported.inputs[:1]})  # and it still works

    def test_a_missing_or_truncated_model_is_a_model_file_error(
        self, name: str, exported, tmp_path: Path
    ) -> None:
        runtime = runtimes.adapter(name)
        with pytest.raises(ModelFileError, match="no such model file"):
            runtime.load(tmp_path / "none", threads=1, options={})
        file = exported.files[name, "fp32"]
        for part in file.parent.glob(f"{file.stem}.*"):
            shutil.copy(part, tmp_path)
        cut = tmp_path / file.name
        cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
        with pytest.raises(ModelFileError, match=str(cut)):
            runtime.load(cut, threads=1, options={})

    def test_an_unknown_option_names_the_known_ones(self, name: str, exported) -> None:
        with pytest.raises(RuntimeOptionError, match="has no option 'turbo'"):
            runtimes.adapter(name).load(exported.files[name, "fp32"], threads=1, options={"turbo": True})


@pytest.mark.parametrize("name", INTEGER)
def test_the_int8_file_is_the_fake_quant_student(name: str, exported) -> None:
    session = runtimes.adapter(name).load(exported.files[name, "int8"], threads=1, options={})
    (logits,) = session.run({"input": exported.inputs}).values()
    reference = exported.logits["int8"]
    assert (logits.argmax(1) == reference.argmax(1)).mean() >= 0.95
    assert np.abs(logits - reference).mean() <= 0.02 * reference.std()


@pytest.mark.parametrize("name", INTEGER)
def test_every_weighted_layer_is_seen_and_runs_in_int8(name: str, exported) -> None:
    runtime = runtimes.adapter(name)
    assert isinstance(runtime, Inspect)
    for precision in ("int8", "fp32"):
        layers = [
            layer
            for layer in runtime.executed_layers(exported.files[name, precision], options={})
            if layer.macs
        ]
        assert len(layers) == 10
        assert {layer.precision for layer in layers} == {precision}
        assert sum(layer.macs for layer in layers) == MACS


def test_with_optimisation_off_onnxruntime_computes_the_student_exactly(exported) -> None:
    """What tells a wrong export from integer rounding."""
    session = runtimes.adapter("onnxruntime-cpu").load(
        exported.files["onnxruntime-cpu", "int8"], threads=1, options={"optimisation": "off"}
    )
    (logits,) = session.run({"input": exported.inputs}).values()
    assert (logits.argmax(1) == exported.logits["int8"].argmax(1)).all()


def test_a_wrong_value_of_an_option_names_the_right_ones(exported) -> None:
    with pytest.raises(RuntimeOptionError, match="'f32', 'bf16', 'f16'"):
        runtimes.adapter("openvino-cpu").load(
            exported.files["openvino-cpu", "fp32"], threads=1, options={"inference_precision": "int4"}
        )


@pytest.mark.parametrize("name", INTEGER)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_time_by_layer_is_that_of_the_layers(name: str, precision: str, exported) -> None:
    runtime = runtimes.adapter(name)
    assert isinstance(runtime, Profile)
    layers = runtime.layer_times(
        exported.files[name, precision], {"input": exported.inputs[:1]}, threads=1, options={}, runs=5
    )
    assert all(layer.calls == 5 == len(layer.each_us) and layer.total_us >= 0 for layer in layers)
    assert all(sum(layer.each_us) == pytest.approx(layer.total_us) for layer in layers)
    assert sum("conv" in f"{layer.name}{layer.type}".lower() for layer in layers) >= 9
    assert sum(layer.total_us for layer in layers) > 0


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # PyTorch's own compiler's
def test_a_compiled_program_computes_what_an_eager_one_does(exported) -> None:
    session = runtimes.adapter("pytorch-cpu").load(
        exported.files["pytorch-cpu", "fp32"], threads=1, options={"mode": "compile"}
    )
    port = session.signature().inputs[0].name
    (logits,) = session.run({port: exported.inputs[:2]}).values()
    np.testing.assert_allclose(logits, exported.logits["fp32"][:2], rtol=1e-3, atol=1e-4)


GPU = ("onnxruntime-cuda", "onnxruntime-tensorrt", "pytorch-gpu")


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU here")
@pytest.mark.parametrize("name", GPU)
def test_a_gpus_runtime_checks_its_options_and_says_that_there_is_none(name: str, exported) -> None:
    runtime, model = runtimes.adapter(name), exported.files["onnxruntime-cpu", "fp32"]
    assert runtime.name == name
    assert runtimes.TABLE[name].distribution in runtime.versions()
    with pytest.raises(RuntimeOptionError, match="has no option 'turbo'"):
        runtime.load(model, threads=1, options={"turbo": True})
    with pytest.raises(RuntimeUnavailableError, match=f"{name}: no GPU here"):
        runtime.load(model, threads=1, options={})


def test_what_a_gpus_providers_are_told(tmp_path: Path) -> None:
    """In the providers' own words: https://onnxruntime.ai/docs/execution-providers"""
    assert cuda_settings({"tf32": True, "convolution_search": "heuristic"}, tmp_path) == [
        ("CUDAExecutionProvider", {"use_tf32": "1", "cudnn_conv_algo_search": "HEURISTIC"})
    ]
    (wanted, told), (fallback, _) = tensorrt_settings(
        {"fp16": True, "int8": False, "builder_optimisation": 5}, tmp_path
    )
    assert (wanted, fallback) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert told == {
        "trt_fp16_enable": "True",
        "trt_int8_enable": "False",
        "trt_builder_optimization_level": "5",
    }
    (_, kept), _ = tensorrt_settings({"engine_cache": True}, tmp_path)
    assert kept["trt_engine_cache_enable"] == "True"
    assert kept["trt_engine_cache_path"] == str(tmp_path / "engines")


def test_what_stands_in_for_a_gpu_takes_the_same_file_and_runs_on_a_cpu() -> None:
    for name, row in runtimes.TABLE.items():
        assert (row.stand_in is not None) == row.gpu, name
        if row.stand_in is not None:
            other = runtimes.TABLE[row.stand_in.runtime]
            assert (other.model_file, other.gpu) == (row.model_file, False)


def test_the_fake_runtime_does_what_its_file_says(tmp_path: Path) -> None:
    runtime = runtimes.adapter("fake")
    (tmp_path / "model.json").write_text('{"latency_ns": 1000, "wrong_after": 1}')
    session = runtime.load(tmp_path / "model.json", threads=1, options={})
    x = np.ones((2, 4), np.float32)
    assert session.signature().inputs[0].name == "x"
    np.testing.assert_array_equal(session.run({"x": x})["y"], 2 * x)
    np.testing.assert_array_equal(session.run({"x": x})["y"], 3 * x)
    with pytest.raises(InferenceError):
        session.run({"z": x})
    (tmp_path / "model.json").write_text('{"latency_ms": 1}')
    with pytest.raises(ModelFileError, match=r"latency_ms.*it has latency_ns"):
        runtime.load(tmp_path / "model.json", threads=1, options={})
    with pytest.raises(ModelFileError, match="no such model file"):
        runtime.load(tmp_path / "none.json", threads=1, options={})
    with pytest.raises(RuntimeOptionError):
        runtime.load(tmp_path / "model.json", threads=1, options={"turbo": True})


BITS = np.array([[0x3F80, 0xC020], [0x0000, 0x4049]], np.uint16)  # 1, -2.5, 0, 3.140625


def save(file: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> Path:
    graph = helper.make_graph(nodes, "model", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), file)
    return file


@pytest.mark.parametrize("name", INTEGER)
def test_bfloat16_is_handed_over_as_its_bits_and_returned_as_float32(name: str, tmp_path: Path) -> None:
    def port(name: str, kind: int) -> Any:
        return helper.make_tensor_value_info(name, kind, ["n", 2])

    nodes = [
        helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["wide"], ["again"], to=TensorProto.BFLOAT16),
    ]
    outputs = [port("wide", TensorProto.FLOAT), port("again", TensorProto.BFLOAT16)]
    model = save(tmp_path / "m.onnx", nodes, [port("x", TensorProto.BFLOAT16)], outputs)
    session = runtimes.adapter(name).load(model, threads=1, options={})
    assert [port.dtype for ports in session.signature() for port in ports] == [
        "bfloat16",
        "float32",
        "bfloat16",
    ]
    for _ in range(2):
        found = session.run({"x": BITS})
        for output in ("wide", "again"):
            assert found[output].dtype == np.float32
            np.testing.assert_array_equal(found[output], [[1, -2.5], [0, 3.140625]])


def test_texts_go_in_and_come_out(tmp_path: Path) -> None:
    ports = [helper.make_tensor_value_info(name, TensorProto.STRING, ["n"]) for name in ("words", "same")]
    model = save(
        tmp_path / "m.onnx", [helper.make_node("Identity", ["words"], ["same"])], ports[:1], ports[1:]
    )
    session = runtimes.adapter("onnxruntime-cpu").load(model, threads=1, options={})
    assert session.signature().inputs[0].dtype == "string"
    assert session.run({"words": np.array(["a", "bc"])})["same"].tolist() == ["a", "bc"]


@pytest.mark.parametrize("name", [b"words", b"number_of_them"])
def test_a_name_that_is_no_text_is_a_fault_of_the_file(name: bytes, tmp_path: Path) -> None:
    ports = [
        helper.make_tensor_value_info(one, TensorProto.STRING, ["number_of_them"])
        for one in ("words", "same")
    ]
    file = save(
        tmp_path / "m.onnx", [helper.make_node("Identity", ["words"], ["same"])], ports[:1], ports[1:]
    )
    file.write_bytes(file.read_bytes().replace(name, b"\xb3" + name[1:]))
    with pytest.raises(ModelFileError):
        runtimes.adapter("onnxruntime-cpu").load(file, threads=1, options={}).signature()


class Answers(torch.nn.Module):
    """A dictionary of a matrix in bfloat16 and a flag."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"half": x.bfloat16(), "odd": x.sum(1) > 0}


def test_pytorch_returns_whatever_a_network_does(tmp_path: Path) -> None:
    x = torch.tensor([[1.0, -2.5], [0.0, -3.0]])
    program = torch.export.export(Answers(), (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "m.pt2")
    session = runtimes.adapter("pytorch-cpu").load(tmp_path / "m.pt2", threads=1, options={})
    half, odd = session.run({session.signature().inputs[0].name: x.numpy()}).values()
    np.testing.assert_array_equal(half, x.numpy())
    np.testing.assert_array_equal(odd, [False, False])


class TwoSums(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + x, x.relu()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # OpenVINO's own converter's
def test_openvino_calls_what_has_no_name_by_its_place(tmp_path: Path) -> None:
    """As its own converter leaves what it has from PyTorch."""
    x = torch.tensor([[1.0, -2.5]])
    ov.save_model(ov.convert_model(TwoSums(), example_input=x, input=[-1, 2]), tmp_path / "m.xml")
    session = runtimes.adapter("openvino-cpu").load(tmp_path / "m.xml", threads=1, options={})
    assert [port.name for port in session.signature().outputs] == ["output_0", "output_1"]
    found = session.run({session.signature().inputs[0].name: x.numpy()})
    np.testing.assert_array_equal(found["output_0"], [[2, -5]])
    np.testing.assert_array_equal(found["output_1"], [[1, 0]])
