"""Batch normalisation taken into the weight's scale, exactly: the integers stay what they were trained to be.

y = γ·(s·Σq·x + b - μ)/σ + β = (s·γ/σ)·Σq·x + …: the scale becomes s·|γ|/σ, and the integers of channels
with γ < 0 are negated. Conv → BatchNorm → Q never becomes an integer convolution in ONNX Runtime.

The biases are rounded as runtimes do, to int32 on the accumulator's grid, input scale × weight scale. Where a
normalisation multiplies a channel that hardly uses its input's grid, one step is no small thing: of a MobileNet after
25 steps, 41 of 1,024 answers changed by this rounding alone.
"""

import copy
from typing import Any

import torch
from torch import fx, nn

from edgecomp.quantization.constants import constant_nodes, value_of
from edgecomp.quantization.fake_quant import FakeQuant
from edgecomp.quantization.layers import COMPUTED, OWN, Norm, first_parameter, matrices, norm_after, rule_of
from edgecomp.quantization.placement import rounded_weights, weighted

# A dead channel (γ = 0) keeps a scale that is a normal float32: its integers must still be well defined.
SMALLEST_GAIN = 1e-12

# A bias takes at most so many steps of the accumulator, which adds products of integers to it in 32 bits.
MOST_STEPS = 2.0**30


def fold(module: fx.GraphModule) -> fx.GraphModule:
    """Folds in place, for inference, and returns the module. Weights and biases come to lie on their grids.

    A weight that is read in another way too (an embedding's table, a layer used twice with a batch normalisation after each) stays as
    it is there: the layer gets a copy.
    """
    module.eval()
    _compute_constants(module)
    for node, source, quant in list(rounded_weights(module)):
        followed = norm_after(module, node)
        alone = _is_read_once(module, source) if followed else _is_read_through(module, source, quant)
        if not alone:
            source, quant = _own_copy(module, node, source, quant)
        if followed is None:
            weight = module.get_parameter(str(source.target))
            with torch.no_grad():
                weight.copy_(_levels(weight, quant) * quant.log_scale.exp())
            continue
        norm_node, norm = followed
        bias = node.args[2] if len(node.args) > 2 else None
        old = value_of(module, bias) if isinstance(bias, fx.Node) else None
        new = nn.Parameter(_fold_into(module.get_parameter(str(source.target)), quant, norm, old))
        path = f"folded_bias_{node.name}"
        module.register_parameter(path, new)
        with module.graph.inserting_before(node):
            replacement = module.graph.get_attr(path)
        node.args = (node.args[0], node.args[1], replacement, *node.args[3:])
        norm_node.replace_all_uses_with(node)
        module.graph.erase_node(norm_node)
    for node, source, quant in weighted(module):
        _round_bias(module, node, source, quant)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return module


@torch.no_grad()
def _round_bias(module: fx.GraphModule, node: fx.Node, source: fx.Node, quant: FakeQuant) -> None:
    """A channel whose bias would not fit into int32 gets fewer, larger steps: all its products are small beside it.

    The bias of a linear layer over more than two axes is added in float, and stays as it is.
    """
    bias: Any = node.args[2] if len(node.args) > 2 else None
    read: Any = node.args[0]
    grid = module.get_submodule(str(read.target)) if read.op == "call_module" else None
    calibrated = isinstance(grid, FakeQuant) and grid.state == "quantise"
    if bias is None or not calibrated or (rule_of(node) == "linear" and read.meta["val"].ndim != 2):
        return
    assert isinstance(grid, FakeQuant)
    value = value_of(module, bias)
    step = grid.scale().double()
    needed = (value.double().abs() / (step * MOST_STEPS)).reshape(quant.log_scale.shape)
    scale = quant.log_scale.exp()
    if (needed > scale).any() and _is_read_once(module, source):
        quant.log_scale.copy_(torch.maximum(scale, needed.float()).log())
        weight = module.get_parameter(str(source.target))
        weight.copy_(_levels(weight, quant) * quant.log_scale.exp())
    step = step * quant.log_scale.exp().double().flatten()
    path = f"rounded_bias_{node.name}"
    module.register_parameter(path, nn.Parameter(((value.double() / step).round() * step).float()))
    with module.graph.inserting_before(node):
        node.replace_input_with(bias, module.graph.get_attr(path))


def _compute_constants(module: fx.GraphModule) -> None:
    """What layers compute from parameters alone, and weights that are computed or buffers, become parameters."""
    constants = constant_nodes(module)
    weights = {source for _, source, _ in rounded_weights(module)}
    for node in [node for node in module.graph.nodes if node in constants]:
        if node.op == "get_attr" and (
            node not in weights or isinstance(value_of(module, node), nn.Parameter)
        ):
            continue
        read = any(user not in constants for user in node.users)
        if node not in weights and not (read and _comes_from_a_layer(node)):
            continue
        path = f"{first_parameter(node)}{COMPUTED}{node.name}"
        _register(module, path, value_of(module, node).contiguous())
        with module.graph.inserting_before(node):
            replacement = module.graph.get_attr(path)
        replacement.meta = dict(node.meta)
        node.replace_all_uses_with(replacement)
    module.graph.eliminate_dead_code()


def _comes_from_a_layer(node: fx.Node) -> bool:
    return rule_of(node) in ("convolution", "linear") or any(map(_comes_from_a_layer, node.all_input_nodes))


def _is_read_once(module: fx.GraphModule, source: fx.Node) -> bool:
    """Whether one layer reads this weight, through its fake-quant, and nothing else does."""
    users = [user for node in _nodes_of(module, source) for user in node.users]
    return len([reader for user in users for reader in user.users]) == len(users) == 1


def _is_read_through(module: fx.GraphModule, source: fx.Node, quant: FakeQuant) -> bool:
    """Whether this weight is read on one grid alone, by however many layers."""
    users = [user for node in _nodes_of(module, source) for user in node.users]
    return all(user.op == "call_module" and module.get_submodule(str(user.target)) is quant for user in users)


def _nodes_of(module: fx.GraphModule, source: fx.Node) -> list[fx.Node]:
    return [node for node in module.graph.nodes if node.op == "get_attr" and node.target == source.target]


def _own_copy(
    module: fx.GraphModule, node: fx.Node, source: fx.Node, quant: FakeQuant
) -> tuple[fx.Node, FakeQuant]:
    """The layer's weight and its fake-quant, shared with no other."""
    weight, own = f"{source.target}{OWN}{node.name}", copy.deepcopy(quant)
    name = f"own_quant_{node.name}_{source.name}"
    _register(module, weight, module.get_parameter(str(source.target)))
    module.add_submodule(name, own)
    with module.graph.inserting_before(node):
        copied = module.graph.get_attr(weight)
        quantised = module.graph.call_module(name, (copied,))
    for shared in [shared for shared in matrices(node) if shared.args[0] is source]:
        node.replace_input_with(shared, quantised)
    return copied, own


def _register(module: fx.GraphModule, path: str, value: torch.Tensor) -> None:
    """A parameter of that value, beside the one that it comes from: the layer keeps its module path."""
    owner, _, name = path.rpartition(".")
    module.get_submodule(owner).register_parameter(name, nn.Parameter(value.detach().clone()))


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
