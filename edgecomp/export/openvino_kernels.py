"""Passes around kernels of OpenVINO's CPU plugin that compute something else (2026.4, measured on AVX-512 with VNNI).

Each leaves the function as it is, and costs next to nothing in either runtime.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper


def keep_extremes_apart(model: onnx.ModelProto) -> None:
    """The largest or smallest values along axes pass through a Max of them with themselves, which changes nothing.

    OpenVINO runs a QuantizeLinear that follows in the same kernel, and there gets other values.
    """
    for node in [node for node in model.graph.node if node.op_type in ("ReduceMax", "ReduceMin")]:
        found = f"{node.output[0]}_found"
        apart = helper.make_node("Max", [found, found], list(node.output), name=f"{node.name}_apart")
        model.graph.node.insert(list(model.graph.node).index(node) + 1, apart)
        node.output[0] = found


def keep_products_of_pixels_apart(model: onnx.ModelProto) -> None:
    """An image of one pixel passes through a Max of it with itself before it is multiplied.

    OpenVINO takes a scale of channels into the convolution before it, whose kernel at batch 1 then gives noise:
    PoolFormer and SwiftFormer at 32×32.
    """
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    sizes = _sizes(graph)
    for node in [node for node in graph.node if node.op_type == "Mul"]:
        for index, name in enumerate(node.input):
            source = producers.get(name)
            if source is None or source.op_type != "DequantizeLinear" or sizes.get(name, [])[2:] != [1, 1]:
                continue
            apart = f"{node.output[0]}_factor_{index}"
            keep = helper.make_node("Max", [name, name], [apart], name=apart)
            graph.node.insert(list(graph.node).index(node), keep)
            node.input[index] = apart


def widen_kernels_of_whole_rows(model: onnx.ModelProto) -> None:
    """A convolution of whole rows, without padding, gets a column of zeros before both the image and the kernel.

    Of 4×4 kernels over 32 or 48 channels and 8×8 over 16 or 32 the int8 kernel gave noise: the reduction of keys and
    values in SegFormer and PVT v2 at 32×32. Columns at the end are taken off again, and rows do not help.
    """
    graph = model.graph
    sizes = _sizes(graph)
    producers = {name: node for node in graph.node for name in node.output}
    constants = {item.name: item for item in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Conv"]:
        if sizes.get(node.output[0], [])[3:] != [1]:
            continue
        weight = producers.get(node.input[1])
        if weight is None or weight.input[0] not in constants:
            continue
        levels = numpy_helper.to_array(constants[weight.input[0]])
        settings = {item.name: item for item in node.attribute}
        padded = "pads" in settings and any(settings["pads"].ints)
        dilated = "dilations" in settings and any(step != 1 for step in settings["dilations"].ints)
        if padded or dilated or levels.ndim != 4 or levels.shape[3] == 1:
            continue
        name = f"{node.output[0]}_widened"
        wider = np.pad(levels, ((0, 0), (0, 0), (0, 0), (1, 0)))
        graph.initializer.append(numpy_helper.from_array(wider, f"{name}_int8"))
        inputs = [f"{name}_int8", *weight.input[1:]]
        dequantise = helper.make_node("DequantizeLinear", inputs, [name], name=name, axis=0)
        graph.node.insert(list(graph.node).index(node), dequantise)
        node.input[1] = name
        for attribute in ("pads", "auto_pad", "kernel_shape"):
            if attribute in settings:
                node.attribute.remove(settings[attribute])
        node.attribute.append(helper.make_attribute("pads", [0, 1, 0, 0]))


def _sizes(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """Tensor name → size by axis, 0 where it is dynamic."""
    return {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in graph.value_info
    }


PASSES = (keep_extremes_apart, keep_products_of_pixels_apart, widen_kernels_of_whole_rows)
