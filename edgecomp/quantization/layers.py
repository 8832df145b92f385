"""The layers of a captured graph: what becomes of each operator (RULES), which layers there are, and what they are called."""

import operator
import re
from typing import Any, Literal

import torch
from torch import fx, nn

from edgecomp.quantization.constants import constant_nodes

# What folding adds to a parameter's name: for the value computed from it, and for the copy that one layer got.
COMPUTED, OWN = "_computed_", "_own_"

aten = torch.ops.aten
# No runtime gains from these in integers (benchmarks/left_in_float.py).
TRANSPOSED = (aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input)
UNRULED_RECURRENT = (aten.gru.input, aten.rnn_tanh.input, aten.rnn_relu.input)

# What becomes of an operator:
#   convolution  integers in and out: without Q on its output ONNX Runtime runs it in float
#   linear       integers in, float out: what follows (layer norm, softmax, residual sum) wants float, and both
#                runtimes have a kernel for it
#   embedding    an int8 table; dequantised after the look-up
#   recurrent    integer weights; ONNX Runtime's operator rounds its inputs itself, by their range at each step, and OpenVINO
#                computes in float
#   join, pool   between integer tensors: Q/DQ on every input and on the output, or the chain leaves integers.
#                Between float tensors (a transformer's residual sum) it stays in float
#   same         moves or selects values: its output shares its input's scale
#   fused        runs inside the operator before it: the tensor between the two is never quantised
# An operator that is not here runs in float, and placement lists it.
Rule = Literal["convolution", "linear", "embedding", "recurrent", "join", "pool", "same", "fused"]

RULES: dict[object, Rule] = {
    aten.conv1d.default: "convolution",
    aten.conv1d.padding: "convolution",
    aten.conv2d.default: "convolution",
    aten.conv2d.padding: "convolution",
    aten.conv3d.default: "convolution",
    aten.conv3d.padding: "convolution",
    aten.linear.default: "linear",
    aten.embedding.default: "embedding",
    aten.lstm.input: "recurrent",
    aten.add.Tensor: "join",
    aten.cat.default: "join",
    aten.adaptive_avg_pool2d.default: "pool",
    aten.avg_pool2d.default: "pool",
    aten.mean.dim: "pool",
    aten.max_pool2d.default: "same",
    aten.alias.default: "same",
    aten.chunk.default: "same",
    aten.clone.default: "same",
    aten.contiguous.default: "same",
    aten.detach.default: "same",
    aten.expand.default: "same",
    aten.flatten.using_ints: "same",
    aten.permute.default: "same",
    aten.reshape.default: "same",
    aten.select.int: "same",
    aten.slice.Tensor: "same",
    aten.split.Tensor: "same",
    aten.split_with_sizes.default: "same",
    aten.squeeze.default: "same",
    aten.squeeze.dim: "same",
    aten.squeeze.dims: "same",
    aten.transpose.int: "same",
    aten.unbind.int: "same",
    aten.unflatten.int: "same",
    aten.unsqueeze.default: "same",
    aten.upsample_nearest2d.vec: "same",
    aten.view.default: "same",
    operator.getitem: "same",  # one of the parts
    aten.relu.default: "fused",
    aten.hardtanh.default: "fused",  # ReLU6: the grid ends at 6
}

Norm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


def rule_of(node: fx.Node) -> Rule | None:
    """How the operator of `node` is quantised. None where it is not: it computes in float."""
    if node.op != "call_function" or (node.target is torch.ops.aten.hardtanh.default and not is_relu6(node)):
        return None
    return RULES.get(node.target)


def is_depthwise(node: fx.Node) -> bool:
    """Whether `node` is a convolution with one input and one output channel in each of several groups."""
    if rule_of(node) != "convolution" or len(node.args) < 7:
        return False
    weight: Any = node.args[1]
    groups: Any = node.args[6]
    return bool(groups > 1 and weight.meta["val"].shape[:2] == (groups, 1))


def is_relu6(node: fx.Node) -> bool:
    """Whether the values of `node`, a hardtanh, begin at 0.

    With other bounds a clip stands between a convolution and its grid.
    """
    return list(node.args[1:2]) == [0]


def has_weight(node: fx.Node) -> bool:
    """Whether `node` is a convolution or linear layer; its weight may be computed from an input."""
    return rule_of(node) in ("convolution", "linear")


def layers(module: fx.GraphModule) -> list[fx.Node]:
    """The convolutions and linear layers of `module` with a constant weight, quantised or not, in order."""
    constants = constant_nodes(module)
    return [node for node in module.graph.nodes if has_weight(node) and node.args[1] in constants]


def recurrent_layers(module: fx.GraphModule) -> list[fx.Node]:
    """The LSTMs of `module` with constant weights, in order: a node for all layers and directions of one."""
    constants = constant_nodes(module)
    return [
        node
        for node in module.graph.nodes
        if rule_of(node) == "recurrent" and all(weight in constants for weight in matrices(node))
    ]


def matrices(node: fx.Node) -> list[fx.Node]:
    """The weights of a layer's node that are rounded: one; of an LSTM two for each layer and direction."""
    if has_weight(node):
        return [node.args[1]]  # type: ignore[list-item]  # an argument of fx may be anything
    if rule_of(node) != "recurrent":
        return []
    parameters: Any = node.args[2]  # input and recurrent weights, and two biases or none
    biases = 2 if node.args[3] else 0
    return [weight for place, weight in enumerate(parameters) if place % (2 + biases) < 2]


def layer_names(module: fx.GraphModule) -> list[str]:
    """Every layer of `module` with constant weights that a scheme has a rule for, in the graph's order."""
    found = {*layers(module), *recurrent_layers(module)}
    return list(dict.fromkeys(str(layer_name(node)) for node in module.graph.nodes if node in found))


def unruled_layers(module: fx.GraphModule) -> list[str]:
    """Layers of `module` with constant weights that no scheme has a rule for, by name.

    Transposed convolutions, and recurrent ones but LSTMs, by the path of their first weight. They run in
    float.
    """
    constants = constant_nodes(module)
    found = []
    for node in module.graph.nodes:
        if node.target in TRANSPOSED or node.target in UNRULED_RECURRENT:
            weight: Any = node.args[1] if node.target in TRANSPOSED else node.args[2][0]
            if weight in constants:
                found.append(name_of(first_parameter(weight)))
    return list(dict.fromkeys(found))


def layer_name(node: fx.Node) -> str | None:
    """What the layer of `node` is called; None where it has no weights that are rounded.

    Quantised or not, folded or not: the module path of its weight, or of the first parameter that its weight
    is computed from.
    """
    weights = matrices(node)
    return name_of(first_parameter(weights[0])) if weights else None


def first_parameter(node: fx.Node) -> str:
    """The path of the parameter or buffer that the node is, or that it is computed from first."""
    while node.op != "get_attr" and node.all_input_nodes:
        node = node.all_input_nodes[0]
    return str(node.target) if node.op == "get_attr" else node.name


def name_of(parameter: str) -> str:
    """The layer that the weight of path `parameter` belongs to, before and after folding."""
    for suffix in (COMPUTED, OWN, ".parametrizations"):
        parameter = parameter.split(suffix)[0]
    return re.sub(r"\.weight(_[gv]|_[ih]h_l\d+(_reverse)?)?$", "", parameter)


def tables(module: fx.GraphModule) -> list[fx.Node]:
    """The nodes of every look-up in a constant table of `module`."""
    constants = constant_nodes(module)
    return [
        node
        for node in module.graph.nodes
        if rule_of(node) == "embedding" and node.args[0] in constants and node not in constants
    ]


def edge_layers(module: fx.GraphModule) -> set[fx.Node]:
    """The layers of `module` that no other comes before, and those that none follows. A table is a layer."""
    found = {*layers(module), *recurrent_layers(module), *tables(module)} - constant_nodes(module)
    fed: set[fx.Node] = set()
    for node in module.graph.nodes:
        if any(source in found or source in fed for source in node.all_input_nodes):
            fed.add(node)
    read: set[fx.Node] = set()
    for node in reversed(module.graph.nodes):
        if any(user in found or user in read for user in node.users):
            read.add(node)
    return {node for node in found if node not in fed or node not in read}


def norm_after(module: fx.GraphModule, node: fx.Node) -> tuple[fx.Node, Norm] | None:
    """The batch normalisation that alone follows a layer, to be folded into it: node and module; or None.

    node: a convolution or linear layer of `module`. A linear layer's outputs lie on the last axis, and what
    is normalised is axis 1.
    """
    if len(node.users) == 1 and (rule_of(node) != "linear" or node.meta["val"].ndim == 2):
        (user,) = node.users
        norm = module_of(module, user)
        if isinstance(norm, Norm):
            return user, norm
    return None


def module_of(module: fx.GraphModule, node: Any) -> nn.Module | None:
    """The module that a node calls: a batch normalisation, a fake-quant."""
    is_call = isinstance(node, fx.Node) and node.op == "call_module"
    return module.get_submodule(str(node.target)) if is_call else None
