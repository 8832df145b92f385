"""A PyTorch network as ONNX: fp32 as it is, quantised ones as QDQ with int8 weights."""

import gc
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from onnxscript.optimizer import remove_unused_nodes
from torch import nn

from edgecomp.errors import CaptureError
from edgecomp.export.onnx.float_layers import keep_in_float
from edgecomp.export.onnx.graphs import store_weights
from edgecomp.export.onnx.names import name_layers
from edgecomp.export.onnx.passes import PASSES
from edgecomp.export.onnx.programs import OPSET, Programs, operators_read_once
from edgecomp.export.onnx.recurrent import pack_recurrent
from edgecomp.outputs import ONE
from edgecomp.quantization.capture import DynamicAxes, dynamic_shapes, recurrent_layers_whole
from edgecomp.quantization.fake_quant import frozen

OTHER_OPERATORS = (
    "Write that part of the network with other operators, for example an EmbeddingBag as Embedding and mean"
)


def export_onnx(
    network: nn.Module,
    example: Sequence[torch.Tensor],
    path: Path,
    *,
    input_names: Sequence[str] = ("input",),
    output_names: Sequence[str] = (ONE,),
    dynamic_axes: DynamicAxes = ({0: "batch"},),
    first_outputs: tuple[int, Path] | None = None,
    programs: Programs | None = None,
) -> None:
    """Writes `network` as the ONNX file `path`, with those inputs and outputs; layers keep their own names.

    example: one tensor an input; input_names, output_names: in the network's order; dynamic_axes: by input,
    axis → name; first_outputs: how many, and where the same network goes with these alone; programs: of networks of the same
    structure that were exported before. Raises CaptureError where torch.export cannot follow the network, or ONNX has no such operator.

    Fake-quant becomes QuantizeLinear and DequantizeLinear, constant weights int8 initialisers. What the
    exporter notes of this machine (stack traces, paths) is dropped, so that the same network gives the same
    bytes.
    """
    network.eval()
    known = Programs() if programs is None else programs
    model = _translated(network, example, list(input_names), list(output_names), dynamic_axes, known)
    if first_outputs is not None:
        count, to = first_outputs
        alone = onnx.ModelProto()
        alone.CopyFrom(model)
        del alone.graph.output[count:]
        remove_unused_nodes(alone)
        _finish(alone, network, dynamic_axes, to)
    _finish(model, network, dynamic_axes, path)


def _translated(
    network: nn.Module,
    example: Sequence[torch.Tensor],
    input_names: list[str],
    output_names: list[str],
    dynamic_axes: DynamicAxes,
    programs: Programs,
) -> onnx.ModelProto:
    def export() -> torch.onnx.ONNXProgram:
        program = torch.onnx.export(
            network,
            tuple(example),
            input_names=input_names,
            output_names=output_names,
            dynamic_shapes=dynamic_shapes(network, dynamic_axes),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            optimize=False,
        )
        assert program is not None
        return program

    shapes = [(tuple(one.shape), one.dtype) for one in example]
    try:
        with (
            _quiet_exporter(),
            unswept(),
            operators_read_once(),
            recurrent_layers_whole(),
            frozen(network, "onnx"),
        ):
            program = programs.program(network, (shapes, input_names, output_names, dynamic_axes), export)
    except torch.onnx.OnnxExporterError as error:
        raise CaptureError(
            f"{type(network).__name__} cannot be exported to ONNX: {_reason(error)}"
        ) from error
    return program.model_proto


def _finish(model: onnx.ModelProto, network: nn.Module, dynamic_axes: DynamicAxes, path: Path) -> None:
    """The passes, and the file."""
    store_weights(model)
    name_layers(model, network)
    pack_recurrent(model, network)
    for change in (*PASSES, keep_in_float):
        change(model)
    _name_axes(model, dynamic_axes)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CaptureError(
            f"{type(network).__name__} cannot be exported to ONNX: torch's exporter wrote a graph that is none, "
            f"{_first_sentence(error)}. {OTHER_OPERATORS}"
        ) from error
    path.write_bytes(model.SerializeToString(deterministic=True))


def _reason(error: BaseException) -> str:
    """The operator that has no translation, where the exporter's pages of text name one, or their first sentence."""
    operators = re.findall(r"No ONNX function found for <OpOverload\(op='([^']+)'", str(_innermost(error)))
    named = f"ONNX has nothing for {operators[0]}" if operators else _first_sentence(_innermost(error))
    return f"{named}. {OTHER_OPERATORS}"


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _first_sentence(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[
        :200
    ]


def _name_axes(model: onnx.ModelProto, dynamic_axes: DynamicAxes) -> None:
    for value, axes in zip(model.graph.input, dynamic_axes, strict=True):
        for axis, name in axes.items():
            value.type.tensor_type.shape.dim[axis].dim_param = name
    for value in model.graph.output:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"


@contextmanager
def unswept() -> Iterator[None]:
    """Without Python's cyclic garbage collector, which takes a quarter of an export's time to find nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """torch.onnx warns of its own deprecated insides; what a user can act on it raises."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
