"""The export stage: teacher and students as files that each runtime takes, and the student's own answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto
from torch import fx, nn

from edgecomp.arms import STUDENT_FP32
from edgecomp.errors import EdgecompError
from edgecomp.export import torchscript
from edgecomp.export.blocks import BLOCK_PROBES, output_name, tap_blocks
from edgecomp.export.integer_linear import in_int8
from edgecomp.export.onnx.qdq import export_onnx, unswept
from edgecomp.export.openvino import ir
from edgecomp.files.writing import write_json
from edgecomp.inputs import Inputs, count, some
from edgecomp.outputs import ONE
from edgecomp.progress import Track
from edgecomp.quantization import saturation
from edgecomp.quantization.capture import DynamicAxes, capture, dynamic_shapes, recurrent_layers_whole
from edgecomp.quantization.fake_quant import frozen
from edgecomp.quantization.folding import fold
from edgecomp.quantization.placement import quantised_parameters
from edgecomp.runtimes.formats import format_of
from edgecomp.training.loop import Examples, logits_of, network_inputs

CONVERSIONS = 2  # at once
BLOCKS = "blocks"  # the student's file with every integer tensor among its outputs

PROBES = 2048  # of the training split: what an export is checked with
REFERENCE_PROBES = 512  # and the fp32 student's, whose answers may be counted: a share of them needs as many
SQNR_PROBES = 128  # and any other network in float, of which only the power of a difference is asked


class PostTraining(Protocol):
    """A runtime's own tool with its setting: writes an int8 file of a float one, of the same format."""

    @property
    def takes_ir(self) -> bool:
        """Whether the tool's own path for an IR gives a better file than the IR of its ONNX file."""

    def __call__(self, model: Path, to: Path) -> None: ...


@dataclass(frozen=True)
class Interface:
    """What goes into a network: its inputs' names and dynamic axes, legal examples, and some of another shape; and what its outputs are
    called, in order."""

    axes: DynamicAxes
    example: Inputs
    other: Inputs
    outputs: tuple[str, ...] = (ONE,)

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        return network_inputs(self.example)


def export_all(
    *,
    networks: Mapping[str, nn.Module],
    variants: Mapping[str, fx.GraphModule],
    student: str,
    post_training: Mapping[str, PostTraining],
    probes: Inputs,
    interface: Interface,
    fp32: Path | None,
    folder: Path,
    track: Track,
    others: Mapping[str, tuple[Interface, Inputs]] = MappingProxyType({}),
) -> None:
    """Writes onnx/ARM.onnx, openvino/ARM/model.xml, parameters.json, reference.npy and references.npz.

    networks: arm → trained network; captured ones are quantised, and folded in place. variants: the student
    with a layer in integers that it has in float, for the time that costs. post_training: arm → what makes it
    of `student_fp32`. student: the arm that is judged; where it is a network, reference.npy is what it
    answers in PyTorch, [N, classes], to the probes, and references.npz what every network in float answers to
    the first of them; none of these is of the test split. interface: what goes into the networks. fp32:
    another such folder that holds `student_fp32`; None: it is among the networks. others: the interface and the probes of an arm that reads
    other inputs than the student. folder: of what is written;
    track: shows progress. Raises CaptureError, EdgecompError.
    """
    (folder / "onnx").mkdir()
    stored: dict[str, int] = {}
    references: dict[str, Any] = {}
    with _conversions(folder, track) as convert:
        for arm, network in track(networks.items(), "export, networks", len(networks)):
            own, asked_of_it = others.get(arm, (interface, probes))
            if not isinstance(network, fx.GraphModule):
                asked = REFERENCE_PROBES if arm == STUDENT_FP32.name else SQNR_PROBES
                references[arm] = _asked(network, some(asked_of_it, slice(asked)))
            graph = deployed(network, own)
            stored[arm] = parameter_bytes(graph)
            if arm == student:
                np.save(folder / "reference.npy", _asked(network, probes))
            if arm == student and isinstance(network, fx.GraphModule):
                _look_inside(graph, interface, some(probes, slice(BLOCK_PROBES)), folder, arm)
                convert(BLOCKS)
            else:
                write_onnx(graph, own, folder / "onnx" / f"{arm}.onnx")
            convert(arm)
        for name, variant in variants.items():
            write_onnx(fold(variant), interface, folder / "onnx" / f"{name}.onnx")
            convert(name)
        np.savez(folder / "references.npz", **references)
        for arm, tool in track(post_training.items(), "quantise after training, files", len(post_training)):
            file = folder / "onnx" / f"{arm}.onnx"
            tool((fp32 or folder) / "onnx" / f"{STUDENT_FP32.name}.onnx", file)
            stored[arm] = initializer_bytes(file)
            convert(arm)
    for arm, tool in post_training.items():
        if tool.takes_ir:
            given = (fp32 or folder) / "openvino" / STUDENT_FP32.name / "model.xml"
            tool(given, folder / "openvino" / arm / "model.xml")
    write_json(folder / "parameters.json", stored)


def export_pytorch(
    networks: Mapping[str, nn.Module],
    interface: Interface,
    folder: Path,
    track: Track,
    in_integers: str | None = None,
    others: Mapping[str, tuple[Interface, Inputs]] = MappingProxyType({}),
) -> None:
    """Writes ARM.pt2 and, where a trace holds for any shape, ARM.ts, for those who deploy PyTorch itself.

    networks: arm → network, the same as `export_all` takes; interface: what goes into them; folder: of what
    is written; track: shows progress; others: as in `export_all`; in_integers: the arm that is a gpu-s8 student, whose linear layers compute in integers, with
    blocks.pt2 beside it; None where there is none. Raises CaptureError.
    """
    for arm, network in track(networks.items(), "export to PyTorch, networks", len(networks)):
        own, _ = others.get(arm, (interface, None))
        graph = deployed(network, own)
        if arm == in_integers and isinstance(network, fx.GraphModule):
            tapped, _ = tap_blocks(graph)
            write_pt2(in_int8(tapped)[0], interface, folder / f"{BLOCKS}.pt2")
            graph, _, left = in_int8(graph)
            write_json(folder / "left_in_float.json", left)
        export_pytorch_file(graph, own, folder / arm)


def export_for_timing(
    networks: Mapping[str, fx.GraphModule], interface: Interface, folder: Path, *, as_ir: bool = True
) -> None:
    """Captured networks as ONNX, and `as_ir` as well, where `timing_file` says.

    networks: arm → graph, which is folded in place; interface: what goes into them; folder: gets one for each
    arm. Raises CaptureError, EdgecompError.
    """
    for arm, network in networks.items():
        (folder / arm).mkdir()
        write_onnx(fold(network), interface, folder / arm / "model.onnx")
        if as_ir:
            ir.convert(folder / arm / "model.onnx", folder / arm)


def timing_file(arm: str, runtime: str) -> Path:
    """Where, in that folder, the file of an arm for a CPU runtime is."""
    return Path(arm) / f"model{format_of(runtime).suffix}"


def deployed(network: nn.Module, interface: Interface) -> fx.GraphModule:
    """What is exported: a captured network, folded, and any other captured, and so repaired, in the same way.

    network: a captured one is folded in place; interface: what goes into it. Raises CaptureError.
    """
    if isinstance(network, fx.GraphModule):
        return fold(network)
    return capture(network, interface.tensors, interface.axes)


def _asked(network: nn.Module, inputs: Inputs) -> npt.NDArray[np.float32]:
    """Logits [N, classes]."""
    return logits_of(network, Examples(inputs, np.zeros(count(inputs), np.int64), lambda given: given))


@contextmanager
def _conversions(folder: Path, track: Track) -> Iterator[Callable[[str], None]]:
    """Takes the name of an ONNX file and makes the IR of it, in a process of its own, while the next file is exported."""
    with ThreadPoolExecutor(CONVERSIONS) as pool:
        running: list[Future[None]] = []

        def convert(name: str) -> None:
            file, to = folder / "onnx" / f"{name}.onnx", folder / "openvino" / name
            running.append(pool.submit(ir.convert, file, to))

        yield convert
        for conversion in track(running, "convert to OpenVINO IR, files", len(running)):
            conversion.result()


def write_onnx(
    network: nn.Module,
    interface: Interface,
    path: Path,
    blocks: Sequence[str] = (),
    without_blocks: Path | None = None,
) -> None:
    """Writes `network` as the ONNX file `path`.

    interface: its inputs' names and dynamic axes, an example, and its outputs' names; blocks: names of more outputs, in its order;
    without_blocks: where the same network goes without those. Raises CaptureError.
    """
    export_onnx(
        network,
        interface.tensors,
        path,
        input_names=list(interface.example),
        output_names=[*interface.outputs, *blocks],
        dynamic_axes=interface.axes,
        first_outputs=None if without_blocks is None else (len(interface.outputs), without_blocks),
    )


def export_pytorch_file(network: nn.Module, interface: Interface, to: Path) -> None:
    """Writes `network`, its fake-quant in plain operators, as .pt2 and as TorchScript.

    interface: what goes into it; to: the files without their suffixes. Where no trace holds for any shape of
    the inputs, TO.ts.not-written says so.
    """
    example = write_pt2(network, interface, to.with_suffix(".pt2"))
    with frozen(network, "plain"):
        try:
            torchscript.save(network, example, network_inputs(interface.other), to.with_suffix(".ts"))
        except EdgecompError as error:
            to.with_suffix(".ts.not-written").write_text(f"{error}; use {to.name}.pt2\n", encoding="utf-8")


def write_pt2(network: nn.Module, interface: Interface, to: Path) -> tuple[torch.Tensor, ...]:
    """Writes `network`, its fake-quant in plain operators, as the .pt2 file `to`, and returns the example it was exported with.

    interface: what goes into it. Raises CaptureError.
    """
    network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    example = tuple(tensor.contiguous() for tensor in interface.tensors)
    with frozen(network, "plain"):
        shapes = dynamic_shapes(network, interface.axes)
        with unswept(), recurrent_layers_whole():
            program = torch.export.export(network, example, dynamic_shapes=shapes, strict=False)
        for node in program.graph.nodes:  # notes of this process: the same network gives the same bytes
            for note in ("from_node", "stack_trace"):
                node.meta.pop(note, None)
        program.example_inputs = None  # torch would pickle them
        torch.export.save(program, to)
    return example


def _look_inside(
    student: fx.GraphModule, interface: Interface, probes: Inputs, folder: Path, arm: str
) -> None:
    """A folded student's file, and every integer tensor of it as blocks.onnx and blocks.npz, and its layers' saturation.json."""
    tensors = network_inputs(probes)
    layers = saturation.audit(student, tensors)
    write_json(folder / "saturation.json", {"layers": [layer._asdict() for layer in layers]})
    tapped, names = tap_blocks(student)
    files, blocks = folder / "onnx", [output_name(name) for name in names]
    write_onnx(tapped, interface, files / f"{BLOCKS}.onnx", blocks, without_blocks=files / f"{arm}.onnx")
    with torch.no_grad():
        values = tapped(*tensors)[len(interface.outputs) :]
    np.savez(
        folder / "blocks.npz", **{name: value.numpy() for name, value in zip(names, values, strict=True)}
    )


def model_file(arm: str, runtime: str) -> Path:
    """Where, in the run folder, the file of an arm for a runtime is."""
    own = format_of(runtime)
    return Path(own.step, own.place.format(arm))


def parameter_bytes(network: nn.Module) -> int:
    """Bytes of a network's weights and biases as stored: one a quantised weight, four any float value."""
    one_byte = quantised_parameters(network) if isinstance(network, fx.GraphModule) else set()
    return sum(
        parameter.numel() * (1 if name in one_byte else 4) for name, parameter in network.named_parameters()
    )


def initializer_bytes(file: Path) -> int:
    """Bytes of an ONNX file's constants: weights, biases and scales."""
    sizes = {TensorProto.INT8: 1, TensorProto.UINT8: 1}
    graph = onnx.load(file).graph
    return sum(sizes.get(item.data_type, 4) * int(np.prod(item.dims)) for item in graph.initializer)
