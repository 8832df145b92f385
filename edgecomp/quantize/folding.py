"""Batch normalisation taken into the weight's scale, exactly: the integers stay what they were trained to be.

y = γ·(s·Σq·x + b - μ)/σ + β = (s·γ/σ)·Σq·x + …: the scale becomes s·|γ|/σ, and the integers of channels
with γ < 0 are negated. Conv → BatchNorm → Q never becomes an integer convolution in ONNX Runtime.
"""

import torch
from torch import fx, nn

from edgecomp.quantize.placement import QuantLayer

# A dead channel (γ = 0) keeps a scale that is a normal float32: its integers must still be well defined.
SMALLEST_GAIN = 1e-12


def fold(module: fx.GraphModule) -> fx.GraphModule:
    """Folds in place, for inference, and returns the module."""
    module.eval()
    for part in module.modules():
        if isinstance(part, QuantLayer):
            _fold_layer(part)
    return module


@torch.no_grad()
def _fold_layer(part: QuantLayer) -> None:
    weight, quant = part.layer.weight, part.weight_quant
    scale = quant.log_scale.exp()
    levels = (weight / scale).round().clamp(quant.grid.low, quant.grid.high)
    if part.norm is None:
        weight.copy_(levels * scale)
        return
    mean, variance = part.norm.running_mean, part.norm.running_var
    assert mean is not None
    assert variance is not None
    gain = part.norm.weight / torch.sqrt(variance + part.norm.eps)
    gain = torch.where(gain.abs() < SMALLEST_GAIN, torch.full_like(gain, SMALLEST_GAIN), gain)
    bias = torch.zeros_like(mean) if part.layer.bias is None else part.layer.bias
    part.layer.bias = nn.Parameter(part.norm.bias + (bias - mean) * gain)
    gain = gain.reshape(scale.shape)
    quant.log_scale.copy_((scale * gain.abs()).log())
    weight.copy_(levels * gain.sign() * quant.log_scale.exp())
    part.norm = None
