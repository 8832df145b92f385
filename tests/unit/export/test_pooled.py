"""The mean of rows of an int8 table: scaled once, the same function in both runtimes, in batches too."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edgecomp import runtimes
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir
from edgecomp.models.networks.ngram import Ngram
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold
from edgecomp.quantization.placement import place

TEXTS = torch.randint(1, 128, (128, 24), generator=torch.Generator().manual_seed(0))


class Columns(Ngram):
    """Over its columns instead, which have scales of their own."""

    def forward(self, bytes: torch.Tensor) -> torch.Tensor:
        return self.table(self.buckets_of(bytes)).mean(2)


def quantised(network: torch.nn.Module) -> torch.fx.GraphModule:
    module = place(capture(network.eval(), [TEXTS[:2]], [{0: "batch"}]), "cpu-u8-narrow")
    calibrate(module, [{"bytes": TEXTS.numpy()}])
    return module.eval()


@pytest.mark.parametrize(
    "network",
    [Ngram(24, 5), Columns(24, 5), Ngram(24, 5, words=(1, 2))],
    ids=["over rows", "over columns", "words"],
)
def test_a_bag_is_averaged_before_it_is_scaled(network: torch.nn.Module, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = quantised(network)
    wanted = module(TEXTS).detach().numpy()
    file = tmp_path / "model.onnx"
    export_onnx(fold(module), [TEXTS[:2]], file, input_names=["bytes"])
    ir.convert(file, tmp_path)
    graph = onnx.load(file).graph
    made_by = {name: node for node in graph.node for name in node.output}
    (mean,) = (node for node in graph.node if node.op_type == "ReduceMean")
    over_rows = type(network) is Ngram
    assert made_by[mean.input[0]].op_type == ("Cast" if over_rows else "DequantizeLinear")
    for name, model in (("onnxruntime-cpu", file), ("openvino-cpu", tmp_path / "model.xml")):
        session = runtimes.adapter(name).load(model, threads=1, options={})
        for size in (1, 64):
            answers = [
                next(iter(session.run({"bytes": TEXTS[at : at + size].numpy()}).values())).copy()
                for at in range(0, 128, size)
            ]
            found = np.concatenate(answers).reshape(wanted.shape)
            assert np.abs(found - wanted).max() <= 0.02 * wanted.std(), (name, size)
        session.close()
