"""One way to write a linear layer: products with a constant matrix become aten.linear, so that one rule covers them."""

import re
from typing import Any

import torch
from torch import fx

from edgecomp.quantize.constants import constant_nodes

aten = torch.ops.aten


def write_as_linear(module: fx.GraphModule) -> None:
    """x @ W, addmm(b, x, W) and einsum("…i,io->…o", x, W) with W [in, out] become linear(x, Wᵀ, b), in place."""
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
