"""A PyTorch network as ONNX: fp32 as it is, quantised ones as QDQ with int8 weights."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from torch import nn

from edgecomp.errors import CaptureError
from edgecomp.export.float_layers import keep_in_float
from edgecomp.export.names import name_layers
from edgecomp.export.passes import PASSES
from edgecomp.quantize.capture import DynamicAxes, dynamic_shapes
from edgecomp.quantize.placement import fake_quants

OPSET = 18


def export_onnx(
    network: nn.Module,
    example: Sequence[torch.Tensor],
    path: Path,
    *,
    input_names: Sequence[str] = ("input",),
    output_names: Sequence[str] = ("logits",),
    dynamic_axes: DynamicAxes = ({0: "batch"},),
) -> None:
    """Writes `network` with those inputs and outputs, with those axes dynamic; layers keep their own names.

    Fake-quant becomes QuantizeLinear and DequantizeLinear, constant weights int8 initialisers. What the
    exporter notes of this machine (stack traces, paths) is dropped, so that the same network gives the same bytes.
    Raises CaptureError where torch.export cannot follow the network.
    """
    network.eval()
    quants = fake_quants(network).values()
    for quant in quants:
        quant.state = "export"
    try:
        with _quiet_exporter():
            program = torch.onnx.export(
                network,
                tuple(example),
                input_names=list(input_names),
                output_names=list(output_names),
                dynamic_shapes=dynamic_shapes(dynamic_axes),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise CaptureError(f"{type(network).__name__} cannot be exported to ONNX: {error}") from error
    finally:
        for quant in quants:
            quant.state = "quantise"
    assert program is not None
    model = program.model_proto
    name_layers(model)
    for change in (*PASSES, keep_in_float):
        change(model)
    _name_axes(model, dynamic_axes)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _name_axes(model: onnx.ModelProto, dynamic_axes: DynamicAxes) -> None:
    for value, axes in zip(model.graph.input, dynamic_axes, strict=True):
        for axis, name in axes.items():
            value.type.tensor_type.shape.dim[axis].dim_param = name
    for value in model.graph.output:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"


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
