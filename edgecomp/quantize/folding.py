"""Batch normalisation taken into the weight's scale, exactly: the integers stay what they were trained to be.

y = γ·(s·Σq·x + b - μ)/σ + β = (s·γ/σ)·Σq·x + …: the scale becomes s·|γ|/σ, and the integers of channels
with γ < 0 are negated. Conv → BatchNorm → Q never becomes an integer convolution in ONNX Runtime.
"""

import torch
from torch import fx, nn

from edgecomp.quantize.fake_quant import FakeQuant
from edgecomp.quantize.placement import Norm, norm_after, weighted

# A dead channel (γ = 0) keeps a scale that is a normal float32: its integers must still be well defined.
SMALLEST_GAIN = 1e-12


def fold(module: fx.GraphModule) -> fx.GraphModule:
    """Folds in place, for inference, and returns the module. Weights come to lie on their grids."""
    module.eval()
    layers = list(weighted(module))
    uses = [str(source.target) for _, source, _ in layers]
    for node, source, quant in layers:
        weight = module.get_parameter(str(source.target))
        followed = norm_after(module, node)
        if (
            followed is None or uses.count(str(source.target)) > 1
        ):  # a shared weight has one scale for all its uses
            with torch.no_grad():
                weight.copy_(_levels(weight, quant) * quant.log_scale.exp())
            continue
        norm_node, norm = followed
        bias = node.args[2] if len(node.args) > 2 else None
        old = module.get_parameter(str(bias.target)) if isinstance(bias, fx.Node) else None
        new = nn.Parameter(_fold_into(weight, quant, norm, old))
        path = f"folded_bias_{node.name}"
        module.register_parameter(path, new)
        with module.graph.inserting_before(node):
            replacement = module.graph.get_attr(path)
        node.args = (node.args[0], node.args[1], replacement, *node.args[3:])
        norm_node.replace_all_uses_with(node)
        module.graph.erase_node(norm_node)
        module.delete_submodule(str(norm_node.target))
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return module


@torch.no_grad()
def _levels(weight: torch.Tensor, quant: FakeQuant) -> torch.Tensor:
    return (weight / quant.log_scale.exp()).round().clamp(quant.grid.low, quant.grid.high)


@torch.no_grad()
def _fold_into(weight: torch.Tensor, quant: FakeQuant, norm: Norm, bias: torch.Tensor | None) -> torch.Tensor:
    """Changes weight and scale; returns the bias."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    levels, scale = _levels(weight, quant), quant.log_scale.exp()
    gain = (
        torch.rsqrt(variance + norm.eps)
        if norm.weight is None
        else norm.weight / torch.sqrt(variance + norm.eps)
    )
    gain = torch.where(gain.abs() < SMALLEST_GAIN, torch.full_like(gain, SMALLEST_GAIN), gain)
    shift = torch.zeros_like(mean) if norm.bias is None else norm.bias
    old = torch.zeros_like(mean) if bias is None else bias
    folded = shift + (old - mean) * gain
    gain = gain.reshape(scale.shape)
    quant.log_scale.copy_((scale * gain.abs()).log())
    weight.copy_(levels * gain.sign() * quant.log_scale.exp())
    return folded
