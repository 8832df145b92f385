"""Means over rows of an int8 table: the bag of an embedding."""

import onnx
from onnx import helper

from edgecomp.export.onnx.graphs import attribute, constants_of, readers_of

MEANS = ("ReduceMean", "ReduceSum")


def scale_after_mean(model: onnx.ModelProto) -> None:
    """In `model`, DequantizeLinear by column, then a mean over other axes → that mean of the bare integers, then the scales, once a column.

    The same value, for a scale is the same all along what is averaged. ONNX Runtime 1.31.1 dequantises by the last axis one number at a time, which
    took most of such a network's time. It is a Cast, and no DequantizeLinear with the scale 1:
    through that OpenVINO 2026.4.1 averages integers, and in batches it does so wrongly.
    """
    graph = model.graph
    constants, readers = constants_of(graph), readers_of(graph)
    gathered = {node.output[0] for node in graph.node if node.op_type == "Gather"}
    for node in [one for one in graph.node if one.op_type == "DequantizeLinear" and one.input[0] in gathered]:
        scale, zeros = constants.get(node.input[1]), constants.get(node.input[2])
        following = readers.get(node.output[0], [])
        if scale is None or zeros is None or scale.ndim != 1 or zeros.any() or len(following) != 1:
            continue
        (mean,) = following
        column = attribute(node, "axis", 1)
        axes = constants.get(mean.input[1]) if mean.op_type in MEANS and len(mean.input) > 1 else None
        if axes is None or column < 0 or {-1, column} & set(axes.ravel().tolist()):
            continue
        name = f"{mean.output[0]}_integers"
        place = list(graph.node).index(mean)
        graph.node.insert(
            place + 1,
            helper.make_node("Mul", [name, node.input[1]], [mean.output[0]], name=f"{mean.name}_scaled"),
        )
        mean.output[0] = name
        cast = helper.make_node(
            "Cast", [node.input[0]], [node.output[0]], name=node.name, to=onnx.TensorProto.FLOAT
        )
        node.CopyFrom(cast)
