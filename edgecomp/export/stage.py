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
    it has in float, for the time that costs. post_training: arm → how it is made of
    `student_fp32` by a runtime's own tool. student: the arm that is judged; where it is a network, reference.npy
    holds what it answers to the probes [N, ...] in PyTorch, [N, classes], and for a fake-quant student
    onnx/blocks.onnx and blocks.npz what each of its integer tensors is, and saturation.json the audit. No probe is of the test split.
    """
    example = torch.from_numpy(probes[:2].copy())
    for room in ("onnx", "openvino", "pytorch"):
        (folder / room).mkdir()
    stored: dict[str, int] = {}
    for arm, network in track(networks.items(), "export to ONNX and PyTorch", len(networks)):
        stored[arm] = parameter_bytes(network)
        if isinstance(network, fx.GraphModule):
            fold(network)
        export_onnx(network, [example], folder / "onnx" / f"{arm}.onnx")
        _export_pytorch(network, example, folder / "pytorch" / arm)
    for name, variant in variants.items():
        export_onnx(fold(variant), [example], folder / "onnx" / f"{name}.onnx")
    blocks = networks.get(student)
    if isinstance(blocks, fx.GraphModule):
        _export_blocks(blocks, probes[:BLOCK_PROBES], folder)
        layers = saturation.audit(blocks, torch.from_numpy(probes[:BLOCK_PROBES]))
        write_json(folder / "saturation.json", {"layers": [layer._asdict() for layer in layers]})
    for arm, setting in track(post_training.items(), "quantise after training", len(post_training)):
        batches = [{"input": batch} for (batch,) in calibration]
        ptq.quantise(setting, folder / "onnx" / "student_fp32.onnx", batches, folder / "onnx" / f"{arm}.onnx")
        stored[arm] = initializer_bytes(folder / "onnx" / f"{arm}.onnx")
    files = sorted((folder / "onnx").glob("*.onnx"))
    with ThreadPoolExecutor(CONVERSIONS) as pool:  # each in a process of its own
        converted = pool.map(lambda file: openvino_ir.convert(file, folder / "openvino" / file.stem), files)
        list(track(converted, "convert to OpenVINO IR", len(files)))
    for arm, setting in post_training.items():
        if setting.tool == "ptq-nncf":  # its own path for an IR gives the better file
            model = folder / "openvino" / "student_fp32" / "model.xml"
            ptq.quantise(setting, model, batches, folder / "openvino" / arm / "model.xml")
    write_json(folder / "parameters.json", stored)
    if student in networks:
        np.save(folder / "reference.npy", logits_of(networks[student], probes))


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
        torchscript.save(network, example, to.with_suffix(".ts"))
    finally:
        for quant in quants:
            quant.state = "quantise"


def _export_blocks(student: fx.GraphModule, probes: Probes, folder: Path) -> None:
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
