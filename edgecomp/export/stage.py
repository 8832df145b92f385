"""The export stage: teacher and student as files that each runtime takes, and its own answers."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from edgecomp.artifacts import write_json
from edgecomp.export import openvino_ir
from edgecomp.export.onnx_qdq import export_onnx
from edgecomp.progress import Track
from edgecomp.quantize.folding import fold
from edgecomp.quantize.placement import quantised_parameters
from edgecomp.training import logits_of

ARMS = ("teacher", "student_fp32", "student_int8")


def export_all(
    *,
    teacher: nn.Module,
    student_fp32: nn.Module,
    student_int8: fx.GraphModule,
    probes: npt.NDArray[np.float32],
    folder: Path,
    track: Track,
) -> None:
    """Writes onnx/ARM.onnx, openvino/ARM/model.xml, pytorch/ARM.pt2, parameters.json and reference.npy.

    probes: [N, ...], none of the test split's. reference.npy holds what the fake-quant student, its batch
    normalisation folded, answers to them in PyTorch: [N, classes].
    """
    example = torch.from_numpy(probes[:2].copy())
    networks: dict[str, nn.Module] = {
        "teacher": teacher,
        "student_fp32": student_fp32,
        "student_int8": fold(student_int8),
    }
    (folder / "onnx").mkdir()
    for arm, network in track(networks.items(), "export to ONNX", len(networks)):
        export_onnx(network, [example], folder / "onnx" / f"{arm}.onnx")
    for arm in track(ARMS, "convert to OpenVINO IR", len(ARMS)):
        (folder / "openvino" / arm).mkdir(parents=True)
        openvino_ir.convert(folder / "onnx" / f"{arm}.onnx", folder / "openvino" / arm)
    (folder / "pytorch").mkdir()
    for arm in ("teacher", "student_fp32"):  # the fake-quant student is no file for PyTorch yet
        program = torch.export.export(
            networks[arm].to(memory_format=torch.contiguous_format),  # type: ignore[call-overload]
            (example,),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
        torch.export.save(program, folder / "pytorch" / f"{arm}.pt2")
    write_json(
        folder / "parameters.json", {arm: parameter_bytes(network) for arm, network in networks.items()}
    )
    np.save(folder / "reference.npy", logits_of(student_int8, probes))


def model_file(arm: str, runtime: str) -> Path:
    """Where, in the export folder, the file of an arm for a runtime is."""
    return {
        "onnxruntime-cpu": Path("onnx") / f"{arm}.onnx",
        "openvino-cpu": Path("openvino") / arm / "model.xml",
        "pytorch-cpu": Path("pytorch") / f"{arm}.pt2",
    }[runtime]


def parameter_bytes(network: nn.Module) -> int:
    """Bytes of weights and biases as stored: one a quantised weight, four a scale, a bias or an fp32 weight."""
    one_byte = quantised_parameters(network) if isinstance(network, fx.GraphModule) else set()
    return sum(
        parameter.numel() * (1 if name in one_byte else 4) for name, parameter in network.named_parameters()
    )
