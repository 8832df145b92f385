"""The export stage: teacher and students as files that each runtime takes, and the student's own answers."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto
from torch import fx, nn

from edgecomp.artifacts import write_json
from edgecomp.errors import EdgecompError
from edgecomp.export import openvino_ir, ptq, torchscript
from edgecomp.export.blocks import BLOCK_PROBES, output_name, tap_blocks
from edgecomp.export.onnx_qdq import export_onnx
from edgecomp.progress import Track
from edgecomp.quantize import saturation
from edgecomp.quantize.folding import fold
from edgecomp.quantize.placement import fake_quants, quantised_parameters
from edgecomp.training import logits_of

CONVERSIONS = 2  # at once

Probes = npt.NDArray[np.float32]


def export_all(
    *,
    networks: Mapping[str, nn.Module],
    variants: Mapping[str, fx.GraphModule],
    student: str,
    post_training: Mapping[str, ptq.Setting],
    calibration: Sequence[tuple[Probes]],
    probes: Probes,
    folder: Path,
    track: Track,
) -> None:
    """Writes onnx/ARM.onnx, openvino/ARM/model.xml, pytorch/ARM.pt2 and .ts, parameters.json and reference.npy.

    networks: arm → trained network; captured ones are quantised. variants: the student with a layer in integers that
    it has in float, for the time that costs. post_training: arm → how a runtime's own tool makes it of `student_fp32`,
    from batches of calibration inputs. student: the arm that is judged; where it is a network, reference.npy is what it
    answers in PyTorch, [N, classes], to the probes, [N, ...]; none of these is of the test split.
    """
    example = torch.from_numpy(probes[:2].copy())
    for room in ("onnx", "pytorch"):
        (folder / room).mkdir()
    stored: dict[str, int] = {}
    for arm, network in track(networks.items(), "export to ONNX and PyTorch", len(networks)):
        folded = fold(network) if isinstance(network, fx.GraphModule) else network
        stored[arm] = parameter_bytes(folded)
        export_onnx(folded, [example], folder / "onnx" / f"{arm}.onnx")
        _export_pytorch(folded, example, folder / "pytorch" / arm)
    for name, variant in variants.items():
        export_onnx(fold(variant), [example], folder / "onnx" / f"{name}.onnx")
    judged = networks.get(student)
    if judged is not None:
        np.save(folder / "reference.npy", logits_of(judged, probes))
    if isinstance(judged, fx.GraphModule):
        _look_inside(judged, probes[:BLOCK_PROBES], folder)
    batches = [{"input": batch} for (batch,) in calibration]
    fp32 = folder / "onnx" / "student_fp32.onnx"
    for arm, setting in track(post_training.items(), "quantise after training", len(post_training)):
        file = folder / "onnx" / f"{arm}.onnx"
        ptq.quantise(setting, fp32, batches, file)
        stored[arm] = initializer_bytes(file)
    _convert_all(folder, track)
    for arm, setting in post_training.items():
        if setting.tool == "ptq-nncf":  # its own path for an IR gives the better file
            model, made = (folder / "openvino" / name / "model.xml" for name in ("student_fp32", arm))
            ptq.quantise(setting, model, batches, made)
    write_json(folder / "parameters.json", stored)


def _convert_all(folder: Path, track: Track) -> None:
    files = sorted((folder / "onnx").glob("*.onnx"))
    with ThreadPoolExecutor(CONVERSIONS) as pool:  # each in a process of its own
        converted = pool.map(lambda file: openvino_ir.convert(file, folder / "openvino" / file.stem), files)
        list(track(converted, "convert to OpenVINO IR", len(files)))


def _export_pytorch(network: nn.Module, example: torch.Tensor, to: Path) -> None:
    """For those who deploy PyTorch itself: the network, fake-quant in plain operators, as .pt2 and as TorchScript."""
    network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    quants = fake_quants(network).values()
    for quant in quants:
        quant.state = "plain"
    try:
        program = torch.export.export(
            network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=False
        )
        for node in program.graph.nodes:  # notes of this process: the same network gives the same bytes
            for note in ("from_node", "stack_trace"):
                node.meta.pop(note, None)
        torch.export.save(program, to.with_suffix(".pt2"))
        try:
            torchscript.save(network, example, to.with_suffix(".ts"))
        except EdgecompError as error:
            to.with_suffix(".ts.not-written").write_text(f"{error}; use {to.name}.pt2\n", encoding="utf-8")
    finally:
        for quant in quants:
            quant.state = "quantise"


def _look_inside(student: fx.GraphModule, probes: Probes, folder: Path) -> None:
    """Every integer tensor of a folded student, as blocks.onnx and blocks.npz, and its layers' saturation.json."""
    layers = saturation.audit(student, torch.from_numpy(probes))
    write_json(folder / "saturation.json", {"layers": [layer._asdict() for layer in layers]})
    tapped, names = tap_blocks(student)
    example = torch.from_numpy(probes[:2].copy())
    export_onnx(
        tapped, [example], folder / "onnx" / "blocks.onnx", output_names=["logits", *map(output_name, names)]
    )
    with torch.no_grad():
        _, *values = tapped(torch.from_numpy(probes))
    np.savez(
        folder / "blocks.npz", **{name: value.numpy() for name, value in zip(names, values, strict=True)}
    )


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


def initializer_bytes(file: Path) -> int:
    """Bytes of an ONNX file's constants: weights, biases and scales."""
    sizes = {TensorProto.INT8: 1, TensorProto.UINT8: 1}
    graph = onnx.load(file).graph
    return sum(sizes.get(item.data_type, 4) * int(np.prod(item.dims)) for item in graph.initializer)
