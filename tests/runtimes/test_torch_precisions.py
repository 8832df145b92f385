"""PyTorch in half precision, and gpu-s8 students' linear layers in integers: on the CPU here, with the operators that a GPU has."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgecomp import runtimes
from edgecomp.errors import RuntimeOptionError
from edgecomp.export.integer_linear import in_int8, in_type
from edgecomp.export.stage import Interface, export_pytorch_file
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold
from edgecomp.quantization.placement import place

AXES = ({0: "batch"},)
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


class Network(nn.Module):
    """Widths that are no multiples of 8, which torch._int_mm wants on CUDA."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(12, 20), nn.Linear(20, 20), nn.Linear(20, 5)
        self.norm = nn.LayerNorm(20)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        logits: torch.Tensor = self.head(self.norm(x + torch.relu(self.second(x))))
        return logits


def examples(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return Network().eval()


@pytest.fixture(scope="module")
def interface() -> Interface:
    return Interface(AXES, {"input": examples(2)}, {"input": examples(3)})


@pytest.fixture(scope="module")
def file(network: nn.Module, interface: Interface, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("in_float") / "model"
    export_pytorch_file(capture(network, interface.tensors, AXES), interface, to)
    return to.with_suffix(".pt2")


@pytest.mark.parametrize(("precision", "mode"), [("fp16", "eager"), ("bf16", "eager"), ("bf16", "compile")])
def test_answers_in_half_precision_are_the_same_but_for_rounding(
    network: nn.Module, file: Path, precision: str, mode: str
) -> None:
    session = runtimes.adapter("pytorch-cpu").load(
        file, threads=1, options={"precision": precision, "mode": mode}
    )
    x = examples(64)
    (found,) = (
        session.run({"x": x}).values()
        if session.signature().inputs[0].name == "x"
        else session.run({session.signature().inputs[0].name: x}).values()
    )
    with torch.inference_mode():
        wanted = network(torch.from_numpy(x)).numpy()
    assert found.dtype == np.float32
    error = np.abs(found - wanted).mean() / wanted.std()
    assert 0 < error < 0.02
    assert (found.argmax(axis=1) == wanted.argmax(axis=1)).mean() > 0.9


def test_weights_take_half_the_memory_and_another_precision_is_refused(file: Path) -> None:
    runtime = runtimes.adapter("pytorch-cpu")
    session = runtime.load(file, threads=1, options={"precision": "fp16"})
    kinds = {one.dtype for one in session._module.parameters() if one.ndim > 1}  # type: ignore[attr-defined]
    assert kinds == {torch.float16}
    with pytest.raises(
        RuntimeOptionError, match="option precision is 'fp8'; it may be 'fp32', 'fp16', 'bf16'"
    ):
        runtime.load(file, threads=1, options={"precision": "fp8"})


def test_what_stands_in_for_a_gpu_computes_in_the_targets_precision() -> None:
    stand_in = runtimes.TABLE["pytorch-gpu"].stand_in
    assert stand_in is not None
    assert stand_in.options_under({"mode": "compile", "precision": "bf16"}) == {"precision": "bf16"}


def test_linear_layers_in_integers_are_the_fake_quant_students(
    network: nn.Module, interface: Interface, tmp_path: Path
) -> None:
    graph = capture(network, interface.tensors, AXES)
    student = place(graph, "gpu-s8", ())
    calibrate(student, [{"input": examples(256)}], "min-max", 99.99)
    folded = fold(student.eval())
    integers, done, left = in_int8(folded)
    assert set(done) == {"first", "second", "head"}
    assert left == {}
    with torch.inference_mode():
        for count in (1, 3, 40):
            x = torch.from_numpy(examples(count))
            torch.testing.assert_close(integers(x), folded(x), rtol=1e-4, atol=1e-4)
    export_pytorch_file(integers, interface, tmp_path / "model")
    session = runtimes.adapter("pytorch-cpu").load(tmp_path / "model.pt2", threads=1, options={})
    port = session.signature().inputs[0].name
    for count in (1, 3, 40):  # fewer than the 17 rows that the kernel takes, and more
        (found,) = session.run({port: examples(count)}).values()
        with torch.inference_mode():
            wanted = folded(torch.from_numpy(examples(count))).numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    half = in_type(integers, torch.bfloat16)
    assert all(part.scale.dtype is torch.float32 for part in half.modules() if hasattr(part, "filled"))


def test_layers_in_integers_are_told_from_those_in_float(
    network: nn.Module, interface: Interface, tmp_path: Path
) -> None:
    student = place(capture(network, interface.tensors, AXES), "gpu-s8", ("second",))
    calibrate(student, [{"input": examples(256)}], "min-max", 99.99)
    integers, _, _ = in_int8(fold(student.eval()))
    export_pytorch_file(integers, interface, tmp_path / "model")
    layers = runtimes.adapter("pytorch-cpu").executed_layers(tmp_path / "model.pt2", options={})  # type: ignore[attr-defined]  # of those that tell
    widths = [(12, 20), (20, 20), (20, 5)]
    filled = [
        (16, 20),
        (20, 20),
        (24, 5),
    ]  # what the kernel takes is a multiple of 8; of outputs, what is kept
    assert [layer.precision for layer in layers] == ["int8", "fp32", "int8"]
    assert [layer.macs for layer in layers][1] == 20 * 20
    for layer, (inputs, outputs), (most, _) in zip(layers, widths, filled, strict=True):
        assert inputs * outputs <= layer.macs <= most * (outputs + 7)
