"""Fake-quant put where a scheme wants it: a pass over a captured graph, blind to the architecture."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import fx, nn

from edgecomp.quantize.fake_quant import FakeQuant
from edgecomp.quantize.schemes import RULES, Rule, Scheme
from edgecomp.quantize.schemes import scheme as scheme_of

ACTIVATION, WEIGHT, TABLE = "activation_quant", "weight_quant", "table_quant"

Norm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


def place(
    module: fx.GraphModule, scheme_name: str, float_layers: Collection[str] = (), weight_bits: int = 8
) -> fx.GraphModule:
    """Fake-quant placed in the graph of `capture`, in place; returns the module.

    A layer among `float_layers` keeps its weight in float, and reads its input in float where that is a float tensor.
    A fake-quant is named after what it rounds: with fewer layers in integers, those that are left keep their names.
    """
    scheme = scheme_of(scheme_name, weight_bits)
    integer = _integer_tensors(module)
    _quantise_activations(module, scheme, integer, float_layers)
    _quantise_weights(module, scheme, float_layers)
    module.graph.lint()
    module.recompile()
    return module


@torch.no_grad()
def restore(module: fx.GraphModule, state: Mapping[str, torch.Tensor]) -> None:
    """Weights and scales from the state of the same network, of which other layers may have been in integers.

    A weight that was in float there gets the scale that covers it. Raises KeyError where anything else is missing.
    """
    known = {name: state[name] for name in module.state_dict() if name in state}
    module.load_state_dict(known, strict=False)
    for node, source, quant in weighted(module):
        if f"{node.args[1].target}.log_scale" not in state:  # type: ignore[union-attr]
            weight = module.get_parameter(str(source.target))
            others = tuple(axis for axis in range(weight.ndim) if axis != 0)
            quant.set_range(weight.amin(others, keepdim=True), weight.amax(others, keepdim=True))


def left_in_float(module: fx.GraphModule) -> dict[str, int]:
    """Operators that compute in float because the scheme has no rule for them: name → how many."""
    counts: dict[str, int] = {}
    for node in module.graph.nodes:
        value = node.meta.get("val")
        computes = isinstance(value, torch.Tensor) and value.is_floating_point()
        if node.op == "call_function" and computes and node.target not in RULES:
            name = str(node.target).removeprefix("aten.")
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def fake_quants(module: nn.Module) -> dict[str, FakeQuant]:
    return {name: part for name, part in module.named_modules() if isinstance(part, FakeQuant)}


def weighted(module: fx.GraphModule) -> Iterator[tuple[fx.Node, fx.Node, FakeQuant]]:
    """Every convolution and linear layer with a constant weight: its node, its weight's node, its weight's fake-quant."""
    for node in module.graph.nodes:
        if rule_of(node) in ("convolution", "linear"):
            quant = _module_of(module, node.args[1])
            if isinstance(quant, FakeQuant):
                yield node, node.args[1].args[0], quant


def layer_name(node: fx.Node) -> str | None:
    """The module path of a convolution's or linear layer's constant weight, quantised or not; None without one."""
    if rule_of(node) not in ("convolution", "linear"):
        return None
    weight: Any = node.args[1]
    source = weight.args[0] if weight.op == "call_module" else weight
    return str(source.target).removesuffix(".weight") if source.op == "get_attr" else None


def layer_names(module: fx.GraphModule) -> list[str]:
    """Every convolution and linear layer with a constant weight, in the graph's order."""
    return list(dict.fromkeys(name for node in module.graph.nodes if (name := layer_name(node))))


def quantised_parameters(module: fx.GraphModule) -> set[str]:
    """The names of weights and tables that are stored as integers."""
    tables = {
        str(node.args[0].target)
        for node in module.graph.nodes
        if rule_of(node) == "embedding" and any(TABLE in str(user.target) for user in node.users)
    }
    return tables | {str(source.target) for _, source, _ in weighted(module)}


def rule_of(node: fx.Node) -> Rule | None:
    return RULES.get(node.target) if node.op == "call_function" else None


def norm_after(module: fx.GraphModule, node: fx.Node) -> tuple[fx.Node, Norm] | None:
    """The batch normalisation that alone follows a convolution or linear layer, to be folded into it."""
    if len(node.users) == 1:
        (user,) = node.users
        norm = _module_of(module, user)
        if isinstance(norm, Norm):
            return user, norm
    return None


def _end_of(module: fx.GraphModule, node: fx.Node) -> fx.Node:
    """The tensor an operator hands on: after its batch normalisation and what is fused into it."""
    followed = norm_after(module, node)
    end = followed[0] if followed else node
    while len(end.users) == 1 and rule_of(next(iter(end.users))) == "fused":
        end = next(iter(end.users))
    return end


def _integer_tensors(module: fx.GraphModule) -> dict[fx.Node, bool]:
    """Tensors that lie on a grid because of what makes them, in order; True where they share their input's."""
    found: dict[fx.Node, bool] = {}
    inside: set[fx.Node] = set()  # nodes whose results end up in such a tensor
    for node in module.graph.nodes:
        rule = rule_of(node)
        sources = node.all_input_nodes
        made = rule == "convolution" or (
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


def _quantise_activations(
    module: fx.GraphModule, scheme: Scheme, integer: dict[fx.Node, bool], float_layers: Collection[str]
) -> None:
    """A grid tensor is read through its fake-quant by all; a float one by those alone that compute in integers."""
    wanted: dict[fx.Node, list[fx.Node]] = {}
    for node in list(module.graph.nodes):
        if node in integer:
            if not all(user.op == "output" for user in node.users):
                wanted[node] = list(node.users)
            continue
        readers = [
            user
            for user in node.users
            if _reads_integers(user, node, integer, module) and layer_name(user) not in float_layers
        ]
        if readers:
            wanted[node] = readers
    names: dict[fx.Node, str] = {}
    for node in wanted:
        shared = names.get(node.all_input_nodes[0]) if integer.get(node) else None
        name = shared or f"{ACTIVATION}_{node.name}"
        if shared is None:
            module.add_submodule(name, FakeQuant(scheme.activation, ceiling=_ceiling(node)))
        names[node] = name
    for node, readers in wanted.items():
        with module.graph.inserting_after(node):
            quantised = module.graph.call_module(names[node], (node,))
        quantised.meta = dict(node.meta)
        for reader in readers:
            reader.replace_input_with(node, quantised)


def _reads_integers(
    user: fx.Node, node: fx.Node, integer: dict[fx.Node, bool], module: fx.GraphModule
) -> bool:
    rule = rule_of(user)
    if rule in ("convolution", "linear"):
        return user.args[0] is node
    return rule in ("join", "pool") and _end_of(module, user) in integer


def _ceiling(node: fx.Node) -> float | None:
    """Where the tensor's values end by construction: ReLU6 at 6."""
    return float(node.args[2]) if node.target is torch.ops.aten.hardtanh.default else None  # type: ignore[arg-type]


def _quantise_weights(module: fx.GraphModule, scheme: Scheme, float_layers: Collection[str]) -> None:
    """One fake-quant for each parameter, however often it is used."""
    names: dict[str, str] = {}
    for node in list(module.graph.nodes):
        rule = rule_of(node)
        if rule == "embedding" and node.args[0].op == "get_attr":
            _quantise_table(module, scheme, node)
        if rule not in ("convolution", "linear") or node.args[1].op != "get_attr":
            continue
        if layer_name(node) in float_layers:
            continue
        source = node.args[1]
        weight = module.get_parameter(str(source.target))
        name = names.get(str(source.target))
        if name is None:
            name = names[str(source.target)] = f"{WEIGHT}_{source.name}"
            shape = (weight.shape[0],) + (1,) * (weight.ndim - 1)
            module.add_submodule(name, FakeQuant(scheme.weight, shape, axis=0))
        with module.graph.inserting_before(node):
            quantised = module.graph.call_module(name, (source,))
        node.replace_input_with(source, quantised)


def _quantise_table(module: fx.GraphModule, scheme: Scheme, node: fx.Node) -> None:
    """A scale for each column, applied to the rows that are looked up: the same values as in the whole table."""
    table = module.get_parameter(str(node.args[0].target))  # type: ignore[union-attr]
    name = f"{TABLE}_{node.name}"
    module.add_submodule(name, FakeQuant(scheme.weight, (table.shape[1],), axis=-1))
    users = list(node.users)
    with module.graph.inserting_after(node):
        quantised = module.graph.call_module(name, (node,))
    quantised.meta = dict(node.meta)
    for user in users:
        user.replace_input_with(node, quantised)


def _module_of(module: fx.GraphModule, node: Any) -> nn.Module | None:
    is_call = isinstance(node, fx.Node) and node.op == "call_module"
    return module.get_submodule(str(node.target)) if is_call else None
