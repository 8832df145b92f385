"""Fake-quant put where a scheme wants it: a pass over the network's torch.fx graph."""

import torch
import torch.nn.functional as F
from torch import fx, nn

from edgecomp.errors import CaptureError
from edgecomp.quantize.fake_quant import FakeQuant
from edgecomp.quantize.schemes import FUNCTION_RULES, MODULE_RULES, SCHEMES, Grid, Rule, Scheme

ACTIVATION = "activation_quant_"


class QuantLayer(nn.Module):
    """A convolution or linear layer with a fake-quantised weight, and the batch normalisation that follows it.

    Batch normalisation stays a layer of its own while training; `fold` takes it into the weight's scale.
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear, norm: nn.BatchNorm2d | None, grid: Grid) -> None:
        super().__init__()
        self.layer = layer
        self.norm: nn.BatchNorm2d | None = norm
        self.weight_quant = FakeQuant(grid, channels=layer.weight.shape[0], dimensions=layer.weight.ndim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight_quant(self.layer.weight)
        if isinstance(self.layer, nn.Conv2d):
            y = self.layer._conv_forward(x, weight, self.layer.bias)
        else:
            y = F.linear(x, weight, self.layer.bias)
        normed: torch.Tensor = y if self.norm is None else self.norm(y)
        return normed


def with_fake_quant(network: nn.Module, scheme_name: str) -> fx.GraphModule:
    """The network with fake-quant placed; shares its parameters with `network`.

    Raises CaptureError where torch.fx cannot follow the network's Python.
    """
    scheme = SCHEMES[scheme_name]
    try:
        module = fx.symbolic_trace(network)
    except Exception as error:  # fx raises whatever the network's own code does with a proxy
        raise CaptureError(f"{type(network).__name__} cannot be captured by torch.fx: {error}. Control flow that "
                           "depends on a tensor's values must be rewritten") from error  # fmt: skip
    _quantise_layers(module, scheme)
    for count, node in enumerate(_integer_tensors(module)):
        name = f"{ACTIVATION}{count}"
        module.add_submodule(name, FakeQuant(scheme.activation))
        users = list(node.users)
        with module.graph.inserting_after(node):
            quantised = module.graph.call_module(name, (node,))
        for user in users:
            user.replace_input_with(node, quantised)
    module.graph.lint()
    module.recompile()
    return module


def left_in_float(module: fx.GraphModule) -> list[str]:
    """Operators without a rule in the scheme: they run in float, and are never left out silently."""
    return [
        str(node)
        for node in module.graph.nodes
        if node.op in ("call_module", "call_function", "call_method")
        and _rule(module, node) is None
        and not str(node.target).startswith(ACTIVATION)
    ]


def fake_quants(module: nn.Module) -> dict[str, FakeQuant]:
    return {name: part for name, part in module.named_modules() if isinstance(part, FakeQuant)}


def _quantise_layers(module: fx.GraphModule, scheme: Scheme) -> None:
    """Every convolution and linear layer becomes a QuantLayer and takes its batch normalisation along."""
    modules = dict(module.named_modules())
    for node in list(module.graph.nodes):
        layer = modules.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        norm, norm_node = None, None
        if len(node.users) == 1:
            (user,) = node.users
            follower = modules.get(str(user.target)) if user.op == "call_module" else None
            if isinstance(follower, nn.BatchNorm2d):
                norm, norm_node = follower, user
        module.set_submodule(str(node.target), QuantLayer(layer, norm, scheme.weight))
        if norm_node is not None:
            norm_node.replace_all_uses_with(node)
            module.graph.erase_node(norm_node)
            module.delete_submodule(str(norm_node.target))


def _integer_tensors(module: fx.GraphModule) -> list[fx.Node]:
    """The tensors that must lie on an integer grid, in graph order, each once."""
    wanted: dict[fx.Node, None] = {}
    for node in module.graph.nodes:
        if _rule(module, node) not in ("weighted", "integer"):
            continue
        for source in node.all_input_nodes:
            wanted[_origin(module, source)] = None
        output = node
        while len(output.users) == 1 and _rule(module, next(iter(output.users))) == "fused":
            output = next(iter(output.users))
        if not any(user.op == "output" for user in output.users):
            wanted[output] = None
    order = {node: index for index, node in enumerate(module.graph.nodes)}
    return sorted(wanted, key=order.__getitem__)


def _origin(module: fx.GraphModule, node: fx.Node) -> fx.Node:
    """The tensor whose grid `node` lies on: back through operators that only move values."""
    while _rule(module, node) == "same":
        (node,) = node.all_input_nodes
    return node


def _rule(module: fx.GraphModule, node: fx.Node) -> Rule | None:
    if node.op == "call_module":
        part = module.get_submodule(str(node.target))
        return "weighted" if isinstance(part, QuantLayer) else MODULE_RULES.get(type(part))
    if node.op == "call_function":
        return FUNCTION_RULES.get(node.target)
    return None
