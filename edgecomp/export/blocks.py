"""Every integer tensor of a fake-quant student as an output of its own, so that an export can be checked by block."""

from torch import fx

from edgecomp.quantization.capture import duplicate
from edgecomp.quantization.fake_quant import FakeQuant
from edgecomp.quantization.placement import ACTIVATION

BLOCK_PROBES = 16


def output_name(block: str) -> str:
    """The graph's output for a `block`: it must not be called what a tensor in the graph may be."""
    return f"block/{block}"


def tap_blocks(student: fx.GraphModule) -> tuple[fx.GraphModule, list[str]]:
    """A copy of the graph that gives its outputs and every quantised activation, and the names of the latter.

    student: a captured graph with fake-quant in it, which stays as it is.

    A tensor is named after the module it comes from, and after its node where that says too little.
    """
    tapped = duplicate(student)
    found: dict[str, fx.Node] = {}
    for node in tapped.graph.nodes:
        if node.op == "call_module" and isinstance(tapped.get_submodule(str(node.target)), FakeQuant):
            if not str(node.target).startswith(ACTIVATION):
                continue
            paths = [name for name, _ in node.meta.get("nn_module_stack", {}).values() if name]
            name = paths[-1] if paths else node.all_input_nodes[0].name
            found[name if name not in found else f"{name}:{node.all_input_nodes[0].name}"] = node
    (output,) = (node for node in tapped.graph.nodes if node.op == "output")
    output.args = ((*output.all_input_nodes, *found.values()),)
    tapped.graph.set_codegen(fx.graph.CodeGen())  # the captured one knows of its own outputs alone
    tapped.graph.lint()
    tapped.recompile()
    return tapped, list(found)
