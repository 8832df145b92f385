"""A Pad of zeros before a convolution is the convolution's own, and the function stays what it was."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgecomp import runtimes
from edgecomp.export.blocks import output_name, tap_blocks
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold
from edgecomp.quantization.placement import place

IMAGES = torch.randn(16, 3, 9, 9, generator=torch.Generator().manual_seed(0))


class Padded(nn.Module):
    """Pads `first` and `second`, each before a convolution, as TensorFlow's networks do; `value` is what is padded with."""

    def __init__(self, first: list[int], second: list[int], value: float = 0.0, twice: bool = False) -> None:
        super().__init__()
        self.pads, self.value, self.twice = (first, second), value, twice
        self.one, self.two = nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 8, 3, groups=8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = self.pads
        x = F.relu(self.one(F.pad(x, first, value=self.value)))
        x = F.pad(x, second, value=self.value)
        y = self.two(x)
        if self.twice:
            y = y + x[:, :, 1:-1, 1:-1]
        logits: torch.Tensor = self.head(y.mean((2, 3)))
        return logits


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize(
    ("network", "left"),
    [
        (Padded([1, 1, 1, 1], [1, 1, 1, 1]), 0),
        (Padded([0, 1, 0, 1], [1, 0, 0, 1]), 0),
        (Padded([0, 0, 0, 0], [0, 0, 0, 0]), 0),
        (Padded([1, 1, 1, 1], [1, 1, 1, 1], value=0.5), 2),
        (Padded([1, 1, 1, 1], [1, 1, 1, 1], twice=True), 1),
    ],
    ids=["as much on every side", "more on one side", "nothing", "no zeros", "read by another as well"],
)
def test_padding_goes_into_the_convolution(
    network: Padded, left: int, quantised: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module = capture(network.eval(), [IMAGES[:2]], [{0: "batch"}])
    if quantised:
        module = place(module, "cpu-u8-narrow")
        calibrate(module, [{"input": IMAGES.numpy()}])
        module = fold(module)
    file = tmp_path / "model.onnx"
    export_onnx(module, [IMAGES[:2]], file)
    ir.convert(file, tmp_path)
    graph = onnx.load(file).graph
    assert sum(node.op_type == "Pad" for node in graph.node) == left
    if quantised and not left:
        assert (
            sum(node.op_type == "QuantizeLinear" for node in graph.node) == 4
        )  # input, two layers, the mean
    with torch.no_grad():
        wanted = module(IMAGES).numpy()
    for runtime, model in (("onnxruntime-cpu", file), ("openvino-cpu", tmp_path / "model.xml")):
        session = runtimes.adapter(runtime).load(model, threads=1, options={})
        (found,) = session.run({"input": IMAGES.numpy()}).values()
        assert np.abs(found - wanted).mean() <= (0.02 if quantised else 1e-5) * wanted.std(), runtime


def test_who_looks_inside_sees_what_was_padded_as_pytorch_has_it(tmp_path: Path) -> None:
    """And what is deployed beside it pads in its convolutions all the same."""
    torch.manual_seed(0)
    module = place(
        capture(Padded([0, 1, 0, 1], [1, 0, 0, 1]).eval(), [IMAGES[:2]], [{0: "batch"}]), "cpu-u8-narrow"
    )
    calibrate(module, [{"input": IMAGES.numpy()}])
    tapped, names = tap_blocks(fold(module))
    inside, alone = tmp_path / "blocks.onnx", tmp_path / "model.onnx"
    outputs = ["output", *map(output_name, names)]
    export_onnx(tapped, [IMAGES[:2]], inside, output_names=outputs, first_outputs=(1, alone))
    assert [node.op_type for node in onnx.load(alone).graph.node].count("Pad") == 0
    with torch.no_grad():
        wanted = [one.numpy() for one in tapped(IMAGES)]
    session = runtimes.adapter("onnxruntime-cpu").load(inside, threads=1, options={})
    found = session.run({"input": IMAGES.numpy()})
    for name, values in zip(outputs, wanted, strict=True):
        assert found[name].shape == values.shape, name
        assert np.abs(found[name] - values).mean() <= 0.02 * values.std(), name
