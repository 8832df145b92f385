"""One small network as every runtime's file, fp32 and int8."""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from edgecomp.export import torchscript
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir
from edgecomp.models.networks.resnet import ResNet
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold
from edgecomp.quantization.placement import place
from edgecomp.training.loop import Examples, logits_of


@dataclass(frozen=True)
class Exported:
    """files: (runtime, precision) → model file; logits: precision → what PyTorch computes for `inputs`."""

    files: dict[tuple[str, str], Path]
    logits: dict[str, npt.NDArray[np.float32]]
    inputs: npt.NDArray[np.float32]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    inputs = np.random.default_rng(0).normal(size=(24, 1, 16, 16)).astype(np.float32)
    fp32 = ResNet(1, 4, blocks=1, width=8).eval()
    int8 = place(
        capture(copy.deepcopy(fp32), [torch.from_numpy(inputs[:2])], [{0: "batch"}]), "cpu-u8-narrow"
    )
    calibrate(int8, [{"input": inputs}])
    fold(int8)
    files: dict[tuple[str, str], Path] = {}
    for precision, network in (("fp32", fp32), ("int8", int8)):
        onnx_file = folder / f"{precision}.onnx"
        export_onnx(network, [torch.from_numpy(inputs[:2])], onnx_file)
        (folder / precision).mkdir()
        ir.convert(onnx_file, folder / precision)
        files["onnxruntime-cpu", precision] = onnx_file
        files["openvino-cpu", precision] = folder / precision / "model.xml"
    program = torch.export.export(
        fp32, (torch.from_numpy(inputs[:2]),), dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    torch.export.save(program, folder / "fp32.pt2")
    files["pytorch-cpu", "fp32"] = folder / "fp32.pt2"
    torchscript.save(fp32, [torch.from_numpy(inputs[:2])], [torch.from_numpy(inputs[:5])], folder / "fp32.ts")
    files["torchscript-cpu", "fp32"] = folder / "fp32.ts"
    asked = Examples({"input": inputs}, np.zeros(len(inputs), np.int64), dict)
    logits = {"fp32": logits_of(fp32, asked), "int8": logits_of(int8, asked)}
    return Exported(files, logits, inputs)
