"""A PyTorch network as ONNX: fp32 as it is, quantised ones as QDQ with int8 weights."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from torch import nn

from edgecomp.errors import CaptureError
from edgecomp.export.passes import PASSES
from edgecomp.quantize.placement import fake_quants

OPSET = 18


def export_onnx(network: nn.Module, example: torch.Tensor, path: Path) -> None:
    """Writes `network` with input `input` and output `logits`, both with a dynamic batch.

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
                (example,),
                input_names=["input"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
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
    for change in PASSES:
        change(model)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


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
