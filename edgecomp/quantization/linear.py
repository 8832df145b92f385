"""One way to write a linear layer: products with constant weights become aten.linear, so that one rule covers them."""

import math
import re
from typing import Any, NamedTuple

import torch
from torch import fx

from edgecomp.quantization.constants import constant_nodes

aten = torch.ops.aten


def write_as_linear(module: fx.GraphModule) -> None:
    """Products of `module` with constant weights become aten.linear, in place.

    x @ W, addmm(b, x, W) and einsum("…i,io->…o", x, W) with W [in, out] become linear(x, Wᵀ, b); so does an
    einsum with weights of more axes, such as "bti,hio->btho", where no axis of the weights is also one of the
    examples' and of the result.
    """
    _write_contractions(module)
    constants = constant_nodes(module)
    turned: dict[fx.Node, fx.Node] = {}
    for node in list(module.graph.nodes):
        found = _product(node)
        if found is None:
            continue
        x, weight, bias, transposed = found
        if x in constants or weight not in constants or _dimensions(weight) != 2 or _dimensions(x) < 2:
            continue
        if transposed and weight not in turned:
            with module.graph.inserting_after(weight):
                turned[weight] = module.graph.call_function(aten.transpose.int, (weight, 0, 1))
        weight = turned[weight] if transposed else weight
        with module.graph.inserting_before(node):
            layer = module.graph.call_function(
                aten.linear.default, (x, weight, bias)[: 2 if bias is None else 3]
            )
        layer.meta = dict(node.meta)
        node.replace_all_uses_with(layer)
        module.graph.erase_node(node)


def _product(node: fx.Node) -> tuple[Any, Any, Any, bool] | None:
    """Input, weight, bias, and whether the weight is [in, out]; None where the node is no such product."""
    if node.target in (aten.matmul.default, aten.mm.default):
        return node.args[0], node.args[1], None, True
    if node.target is aten.addmm.default and not node.kwargs and _dimensions(node.args[0]) == 1:
        return node.args[1], node.args[2], node.args[0], True
    if node.target is aten.einsum.default and len(node.args[1]) == 2:  # type: ignore[arg-type]
        return _einsum(str(node.args[0]).replace(" ", ""), *node.args[1])  # type: ignore[misc]
    return None


def _einsum(equation: str, x: Any, weight: Any) -> tuple[Any, Any, Any, bool] | None:
    parts = re.fullmatch(r"((?:\w|\.)*)(\w),(\w)(\w)->(.*)(\w)", equation)
    if parts is None or parts[1] != parts[5]:
        return None
    if (parts[2], parts[6]) == (parts[3], parts[4]):
        return x, weight, None, True
    return (x, weight, None, False) if (parts[2], parts[6]) == (parts[4], parts[3]) else None


def _dimensions(node: Any) -> int:
    """−1 where it is not known."""
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return value.ndim if isinstance(value, torch.Tensor) else -1


class Contraction(NamedTuple):
    """An einsum of x and a weight as one product: the order of each one's axes, with what is summed over last, and of the result's."""

    x: list[int]
    weight: list[int]
    summed: int
    result: list[int]


def contraction(equation: str) -> Contraction | None:
    """None where the equation is no product with a matrix: a label of both that stays, or one of a single operand that is summed over."""
    parts = re.fullmatch(r"([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)", equation.replace(" ", ""))
    if parts is None or any(len(set(labels)) != len(labels) for labels in parts.groups()):
        return None
    x, weight, result = parts.groups()
    summed = [label for label in x if label in weight]
    kept = [label for label in x if label not in summed], [label for label in weight if label not in summed]
    if not summed or not all(kept) or sorted(kept[0] + kept[1]) != sorted(result):
        return None
    return Contraction(
        [x.index(label) for label in kept[0] + summed],
        [weight.index(label) for label in kept[1] + summed],
        len(summed),
        [(kept[0] + kept[1]).index(label) for label in result],
    )


def _write_contractions(module: fx.GraphModule) -> None:
    constants = constant_nodes(module)
    for node in list(module.graph.nodes):
        if node.target is not aten.einsum.default or len(node.args[1]) != 2:
            continue
        x, weight = node.args[1]
        plan = contraction(str(node.args[0]))
        if plan is None or x in constants or weight not in constants or _dimensions(weight) < 3:
            continue
        kept = [int(weight.meta["val"].shape[axis]) for axis in plan.weight[: -plan.summed]]
        with module.graph.inserting_before(node):
            rows = _flattened(module, _call(module, aten.permute.default, x, plan.x), plan.summed)
            matrix = _call(module, aten.permute.default, weight, plan.weight)
            matrix = _call(module, aten.reshape.default, matrix, [math.prod(kept), -1])
            found = _call(module, aten.linear.default, rows, matrix)
            if len(kept) > 1:
                found = _call(module, aten.unflatten.int, found, -1, kept)
            found = _call(module, aten.permute.default, found, plan.result)
        found.meta = {**node.meta, "val": found.meta["val"]}
        node.replace_all_uses_with(found)
        module.graph.erase_node(node)


def _flattened(module: fx.GraphModule, node: fx.Node, axes: int) -> fx.Node:
    """Its last axes as one."""
    if axes == 1:
        return node
    last = _dimensions(node) - 1
    return _call(module, aten.flatten.using_ints, node, last - axes + 1, last)


def _call(module: fx.GraphModule, operator: Any, *arguments: Any) -> fx.Node:
    """A node that knows its value's shape."""
    made = module.graph.call_function(operator, arguments)
    values = [one.meta["val"] if isinstance(one, fx.Node) else one for one in arguments]
    made.meta["val"] = operator(*values)
    return made
