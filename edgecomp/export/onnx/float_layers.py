"""A layer that is left in float stays there."""

import onnx
from onnx import helper

from edgecomp.export.onnx.names import WEIGHTED


def keep_in_float(model: onnx.ModelProto) -> None:
    """In `model`, between a DequantizeLinear and a layer with a float weight comes a Max of one.

    That changes nothing. ONNX Runtime's WeightBiasQuantization rounds such a weight, by tensor, where it
    finds integers before and after the layer: the one layer that was to be spared would be the worst.
    """
    graph = model.graph
    constants = {initializer.name for initializer in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    for node in [node for node in graph.node if node.op_type in WEIGHTED]:
        source = producers.get(node.input[0])
        if node.input[1] in constants and source is not None and source.op_type == "DequantizeLinear":
            kept = f"{node.name}_in_float"
            stop = helper.make_node("Max", [node.input[0]], [kept], name=kept)
            graph.node.insert(list(graph.node).index(node), stop)
            node.input[0] = kept
