"""Fake-quant put where a scheme wants it: a pass over a captured graph, blind to the architecture."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import fx, nn

from edgecomp.quantization.constants import constant_nodes, value_of
from edgecomp.quantization.fake_quant import FakeQuant
from edgecomp.quantization.layers import (
    edge_layers,
    has_weight,
    is_depthwise,
    is_relu6,
    layer_name,
    layers,
    matrices,
    module_of,
    norm_after,
    recurrent_layers,
    rule_of,
    tables,
)
from edgecomp.quantization.schemes import Grid, Scheme
from edgecomp.quantization.schemes import scheme as scheme_of

ACTIVATION, WEIGHT, TABLE = "activation_quant", "weight_quant", "table_quant"

Rounded = Iterator[tuple[fx.Node, fx.Node, FakeQuant]]
"""Layers' nodes, their weights' nodes, their weights' fake-quants."""


def place(
    module: fx.GraphModule,
    scheme_name: str,
    float_layers: Collection[str] = (),
    weight_bits: int = 8,
    activation_bits: int = 8,
    *,
    edges_in_8_bits: bool = True,
) -> fx.GraphModule:
    """Fake-quant placed in the graph of `capture`, in place; returns the module.

    scheme_name: of SCHEMES. A layer among `float_layers` keeps its weight in float, reads its input in
    float where that is a float tensor, and gives a float tensor. A fake-quant is named after what it rounds: with fewer layers in
    integers, those that are left keep their names. Fewer `weight_bits` or `activation_bits` than 8 are a
    simulation. They go, as in the literature, to the weights and inputs of layers, and not to the first and
    last ones (LSQ, arXiv:1902.08153, section 3) unless `edges_in_8_bits` is off; sums and averages that no
    layer reads stay in 8 bits.
    """
    grids = Grids(
        scheme_of(scheme_name),
        scheme_of(scheme_name, weight_bits, activation_bits),
        edge_layers(module) if edges_in_8_bits else set(),
    )
    integer = _integer_tensors(module, float_layers)
    _quantise_activations(module, grids, integer, float_layers)
    _quantise_weights(module, grids, float_layers)
    module.graph.lint()
    module.recompile()
    return module


def remove_fake_quant(module: fx.GraphModule) -> fx.GraphModule:
    """The module without what `place` put there, in place: weights, biases and batch statistics stay as they are."""
    for node in list(module.graph.nodes):
        if isinstance(module_of(module, node), FakeQuant):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    module.delete_all_unused_submodules()
    module.graph.lint()
    module.recompile()
    return module


@torch.no_grad()
def restore(module: fx.GraphModule, state: Mapping[str, torch.Tensor]) -> None:
    """Loads `module` from the state of the same network, of which other layers may have been in integers.

    state: name → tensor. A weight that was in float there gets the scale that covers it, and an activation
    read in float keeps the scale 1: such a student serves to be timed.
    """
    module.load_state_dict({name: state[name] for name in module.state_dict() if name in state}, strict=False)
    names = {quant: name for name, quant in fake_quants(module).items()}
    for _, source, quant in rounded_weights(module):
        if f"{names[quant]}.log_scale" not in state:
            weight = value_of(module, source)
            others = tuple(axis for axis in range(weight.ndim) if axis != 0)
            quant.set_range(weight.amin(others, keepdim=True), weight.amax(others, keepdim=True))


def left_in_float(module: fx.GraphModule) -> dict[str, int]:
    """Operators of `module` that compute in float: name → how many.

    Those that the scheme has no rule for, or none for such a use.
    """
    counts: dict[str, int] = {}
    layers = {node for node, _, _ in rounded_weights(module)}
    constants = constant_nodes(module)
    for node in module.graph.nodes:
        value = node.meta.get("val")
        values = value if isinstance(value, (tuple, list)) else [value]  # a recurrent layer gives several
        computes = node not in constants and any(
            isinstance(one, torch.Tensor) and one.is_floating_point() for one in values
        )
        ruled = rule_of(node) is not None and (node in layers or not matrices(node))
        if node.op == "call_function" and computes and not ruled:
            name = str(node.target).removeprefix("aten.")
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def fake_quants(module: nn.Module) -> dict[str, FakeQuant]:
    """Every fake-quant of `module`, by its path."""
    return {name: part for name, part in module.named_modules() if isinstance(part, FakeQuant)}


def weighted(module: fx.GraphModule) -> Rounded:
    """Every convolution and linear layer of `module` with a constant weight that is rounded."""
    return (found for found in rounded_weights(module) if has_weight(found[0]))


def rounded_weights(module: fx.GraphModule) -> Rounded:
    """The rounded weights of every layer of `module`, an LSTM's several among them; tables apart."""
    for node in module.graph.nodes:
        for weight in matrices(node):
            quant = module_of(module, weight)
            if isinstance(quant, FakeQuant):
                yield node, weight.args[0], quant  # type: ignore[misc]  # an argument of fx may be anything


def quantised_parameters(module: fx.GraphModule) -> set[str]:
    """The names of weights and tables of `module` that are stored as integers, or that such a weight is computed of (turned, or normalised)."""
    tables = {
        str(node.args[0].target)
        for node in module.graph.nodes
        if rule_of(node) == "embedding" and any(TABLE in str(user.target) for user in node.users)
    }
    left, found = [source for _, source, _ in rounded_weights(module)], tables
    while left:
        node = left.pop()
        if node.op == "get_attr":
            found.add(str(node.target))
        left += node.all_input_nodes
    return found


def _end_of(module: fx.GraphModule, node: fx.Node) -> fx.Node:
    """The tensor an operator hands on: after its batch normalisation and what is fused into it."""
    followed = norm_after(module, node)
    end = followed[0] if followed else node
    while len(end.users) == 1 and rule_of(next(iter(end.users))) == "fused":
        end = next(iter(end.users))
    return end


def _integer_tensors(module: fx.GraphModule, float_layers: Collection[str]) -> dict[fx.Node, bool]:
    """Tensors that lie on a grid because of what makes them, in order; True where they share their input's. What a layer in float makes does not, nor
    a sum with it."""
    found: dict[fx.Node, bool] = {}
    inside: set[fx.Node] = set()  # nodes whose results end up in such a tensor
    constants = constant_nodes(module)
    for node in module.graph.nodes:
        rule = rule_of(node)
        sources = node.all_input_nodes
        if node in constants:
            continue
        made = (rule == "convolution" and layer_name(node) not in float_layers) or (
            rule in ("join", "pool")
            and bool(sources)
            and all(source in inside for source in sources)
            and _is_spatial(node)
        )
        if made:
            end = _end_of(module, node)
            found[end] = False
            inside |= {node, end}
        elif rule == "same" and sources[0] in inside:
            found[node] = True
            inside.add(node)
    return found


def _is_spatial(node: fx.Node) -> bool:
    """Averages are taken over both axes of images: anything else has no integer kernel."""
    if node.target is not torch.ops.aten.mean.dim:
        return True
    source = node.all_input_nodes[0].meta["val"]
    axes: Any = node.args[1]
    return source.ndim == 4 and sorted(axis % 4 for axis in axes) == [2, 3]


class Grids(NamedTuple):
    """The grids of 8 bits, those asked for, and the layers that have the former whatever is asked for."""

    full: Scheme
    asked: Scheme
    edges: set[fx.Node]


def _quantise_activations(
    module: fx.GraphModule, grids: Grids, integer: dict[fx.Node, bool], float_layers: Collection[str]
) -> None:
    """A grid tensor is read through its fake-quant by all; a float one by those alone that compute in integers."""
    wanted: dict[fx.Node, list[fx.Node]] = {}
    constants = constant_nodes(module)
    for node in [node for node in module.graph.nodes if node not in constants]:
        if node in integer:
            if not all(user.op == "output" for user in node.users):
                wanted[node] = list(node.users)
            continue
        readers = [
            user
            for user in node.users
            if _reads_integers(user, node, integer, module, constants)
            and layer_name(user) not in float_layers
        ]
        if readers:
            wanted[node] = readers
    whole = _integer_tensors(module, ())  # a tensor is called the same whichever layers are in float
    names = {node: f"{ACTIVATION}_{_origin(node, whole).name}" for node in wanted}
    fewer = _read_by_layers(names, constants, grids.edges)
    for node, name in names.items():
        if not hasattr(module, name):
            grid = (grids.asked if name in fewer else grids.full).activation
            module.add_submodule(name, FakeQuant(grid, ceiling=_ceiling(node)))
    for node, readers in wanted.items():
        if not isinstance(node.meta.get("val"), torch.Tensor):
            continue  # parts of a tensor: each is rounded by itself
        with module.graph.inserting_after(node):
            quantised = module.graph.call_module(names[node], (node,))
        quantised.meta = dict(node.meta)
        for reader in readers:
            reader.replace_input_with(node, quantised)


def _origin(node: fx.Node, integer: Mapping[fx.Node, bool]) -> fx.Node:
    """Where the values of `node` were put on the grid that it shares."""
    while integer.get(node):
        node = node.all_input_nodes[0]
    return node


def _read_by_layers(names: Mapping[fx.Node, str], constants: set[fx.Node], edges: set[fx.Node]) -> set[str]:
    """The fake-quants whose tensors are inputs of layers, in integers or not, and of none of the edges."""
    inner: set[str] = set()
    outer: set[str] = set()
    for node, name in names.items():
        for user in node.users:
            if has_weight(user) and user.args[0] is node and user.args[1] in constants:
                (outer if user in edges else inner).add(name)
    return inner - outer


def _reads_integers(
    user: fx.Node,
    node: fx.Node,
    integer: dict[fx.Node, bool],
    module: fx.GraphModule,
    constants: set[fx.Node],
) -> bool:
    rule = rule_of(user)
    if has_weight(user):
        return user.args[0] is node and user.args[1] in constants
    return rule in ("join", "pool") and _end_of(module, user) in integer


def _ceiling(node: fx.Node) -> float | None:
    """Where the tensor's values end by construction: ReLU6 at 6."""
    if node.target is not torch.ops.aten.hardtanh.default or not is_relu6(node):
        return None
    return float(node.args[2]) if len(node.args) > 2 else 1.0  # type: ignore[arg-type]


def _quantise_weights(module: fx.GraphModule, grids: Grids, float_layers: Collection[str]) -> None:
    """One fake-quant for each parameter, however often it is used; what is computed from parameters alone is one too."""
    names: dict[str, str] = {}
    constants = constant_nodes(module)
    kept = {_weight_key(weight) for node in grids.edges for weight in matrices(node)}
    for node in tables(module):
        _quantise_table(module, (grids.full if node in grids.edges else grids.asked).table, node)
    found = layers(module) + (recurrent_layers(module) if grids.full.recurrent else [])
    wanted = [layer for layer in found if layer not in constants and layer_name(layer) not in float_layers]
    pairs = [(layer, source) for layer in wanted for source in matrices(layer)]
    added_in_16_bits = {_weight_key(source) for layer, source in pairs if not is_depthwise(layer)}
    for node, source in pairs:
        key = _weight_key(source)
        scheme = grids.full if key in kept else grids.asked
        grid = scheme.weight if key in added_in_16_bits else scheme.depthwise
        name = names.get(key)
        if name is None:
            weight = value_of(module, source)
            name = names[key] = f"{WEIGHT}_{source.name}"
            shape = (weight.shape[0],) + (1,) * (weight.ndim - 1)
            packed = rule_of(node) == "recurrent"
            module.add_submodule(name, FakeQuant(grid, shape, axis=0, packed=packed))
        with module.graph.inserting_before(node):
            quantised = module.graph.call_module(name, (source,))
        node.replace_input_with(source, quantised)


def _weight_key(weight: fx.Node) -> str:
    """What layers that share a weight have in common."""
    return str(weight.target) if weight.op == "get_attr" else str(weight.name)


def _quantise_table(module: fx.GraphModule, grid: Grid, node: fx.Node) -> None:
    """A scale for each column, applied to the rows that are looked up: the same values as in the whole table."""
    source: Any = node.args[0]
    name = f"{TABLE}_{source.name}"
    if not hasattr(module, name):
        columns = value_of(module, source).shape[1]
        module.add_submodule(name, FakeQuant(grid, (columns,), axis=-1))
    users = list(node.users)
    with module.graph.inserting_after(node):
        quantised = module.graph.call_module(name, (node,))
    quantised.meta = dict(node.meta)
    for user in users:
        user.replace_input_with(node, quantised)
