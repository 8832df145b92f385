"""A network that answers by pixel: its convolutions in integers, and the same function in both runtimes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from edgecomp import runtimes
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir
from edgecomp.export.parity import executed_precision
from edgecomp.models.networks.segmenter import Segmenter
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold
from edgecomp.quantization.placement import place
from edgecomp.tasks import TASKS

AXES = ({0: "batch"},)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], torch.Tensor, np.ndarray]:  # type: ignore[type-arg]  # of any number
    """The file of each runtime, images, and what the fake-quant network answers to them."""
    torch.manual_seed(0)
    folder, images = tmp_path_factory.mktemp("segmenter"), torch.randn(64, 1, 16, 16)
    network = Segmenter(1, 4, width=16)
    network.train()(images)  # batch statistics of its own
    captured = capture(network.eval(), [images[:2]], AXES)
    student = place(captured, "cpu-u8-narrow", {"head": "it answers"})
    calibrate(student, [{"input": images.numpy()}], "min-max")
    folded = fold(student.eval())
    with torch.no_grad():
        wanted = folded(images).numpy()
    export_onnx(folded, (images[:2],), folder / "model.onnx", input_names=["input"], dynamic_axes=AXES)
    ir.convert(folder / "model.onnx", folder)
    return {"onnxruntime-cpu": folder / "model.onnx", "openvino-cpu": folder / "model.xml"}, images, wanted


@pytest.mark.parametrize("name", ["onnxruntime-cpu", "openvino-cpu"])
def test_it_is_int8_and_the_same_function(
    made: tuple[dict[str, Path], torch.Tensor, np.ndarray],
    name: str,  # type: ignore[type-arg]  # of any number
) -> None:
    files, images, wanted = made
    runtime = runtimes.adapter(name)
    session = runtime.load(files[name], threads=1, options={})
    found = next(iter(session.run({"input": images.numpy()}).values())).copy()
    session.close()
    assert np.abs(found - wanted).mean() / wanted.std() < 0.02
    assert TASKS["segmentation"].agreeing(found, wanted).mean() >= 0.98
    assert isinstance(runtime, runtimes.Inspect)
    precision = executed_precision(runtime.executed_layers(files[name], options={}), {"head": "it answers"})
    assert precision["int8_share_pct"] == 100
