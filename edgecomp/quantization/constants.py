"""What a captured graph computes from its parameters alone: known before any input is."""

from typing import Any

import torch
from torch import fx


def constant_nodes(module: fx.GraphModule) -> set[fx.Node]:
    """Parameters and buffers of `module`, and what is computed from nothing else.

    Such as a normalised weight, or a table of positions.
    """
    found: set[fx.Node] = set()
    for node in module.graph.nodes:
        computed = node.op in ("call_function", "call_module") and bool(node.all_input_nodes)
        if node.op == "get_attr" or (computed and all(source in found for source in node.all_input_nodes)):
            found.add(node)
    return found


@torch.no_grad()
def value_of(module: fx.GraphModule, node: fx.Node) -> Any:
    """The value in `module` of a node of `constant_nodes`: for a get_attr the parameter or buffer itself."""
    if node.op == "get_attr":
        return attribute(module, str(node.target))
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda source: value_of(module, source))
    if node.op == "call_module":
        return module.get_submodule(str(node.target))(*args, **kwargs)
    assert callable(node.target)
    return node.target(*args, **kwargs)


def attribute(module: fx.GraphModule, path: str) -> Any:
    """The parameter, buffer or module of that path."""
    owner, _, name = path.rpartition(".")
    return getattr(module.get_submodule(owner), name)
