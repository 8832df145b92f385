"""Passes around kernels of OpenVINO's CPU plugin that compute something else (2026.4, measured on AVX-512 with VNNI).

Each leaves the function as it is, and costs next to nothing in either runtime.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper


def keep_extremes_apart(model: onnx.ModelProto) -> None:
    """In `model`, the largest or smallest values along axes pass through a Max of them with themselves.

    That changes nothing. OpenVINO runs a QuantizeLinear that follows in the same kernel, and there gets other
    values.
    """
    for node in [node for node in model.graph.node if node.op_type in ("ReduceMax", "ReduceMin")]:
        found = f"{node.output[0]}_found"
        apart = helper.make_node("Max", [found, found], list(node.output), name=f"{node.name}_apart")
        model.graph.node.insert(list(model.graph.node).index(node) + 1, apart)
        node.output[0] = found


def keep_products_of_pixels_apart(model: onnx.ModelProto) -> None:
    """In `model`, an image of one pixel passes through a Max of it with itself before it is multiplied.

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
    """A convolution of whole rows in `model`, without padding, gets a column of zeros before both operands.

    Of 4×4 kernels over 32 or 48 channels and 8×8 over 16 or 32 the int8 kernel gave noise: the reduction of
    keys and values in SegFormer and PVT v2 at 32×32. Columns at the end are taken off again, and rows do not
    help.
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


def keep_scales_on_their_axis(model: onnx.ModelProto) -> None:
    """What `model` reshapes to other examples, [N·L, C] → [N, L, C], gets an axis in front first.

    OpenVINO moves scales of channels behind a Reshape where the first axis stays as it is, and takes two axes
    of unknown length for the same: with L a multiple of C they scale positions (LeViT; a linear layer or a
    batch normalisation over `view(-1, C)`), and with another L > C it cannot compile the network.
    """
    graph = model.graph
    sizes = _sizes(graph)
    dequantised = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    constants = {item.name: item for item in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Reshape"]:
        (name, shape), before, after = node.input, sizes.get(node.input[0], []), sizes.get(node.output[0], [])
        if len(before) < 2 or len(after) < 2 or not 1 < before[1] <= after[1] or name in dequantised:
            continue
        if np.prod(before[1:]) == np.prod(after[1:]) > 0:  # the same examples
            continue
        if shape in constants and 0 in numpy_helper.to_array(constants[shape]):  # an axis copied by its place
            continue
        apart = f"{node.output[0]}_apart"
        graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), f"{apart}_axis"))
        keep = helper.make_node("Unsqueeze", [name, f"{apart}_axis"], [apart], name=apart)
        graph.node.insert(list(graph.node).index(node), keep)
        node.input[:] = [apart, shape]


def keep_integers_from_norms(model: onnx.ModelProto) -> None:
    """Integers, or float sums with them, come to a normalisation of `model` through a Max with themselves.

    OpenVINO normalises the integers, for a scale makes no difference to a normalised tensor. It does to ε,
    which is left as it is: where the variance is near ε a GroupNorm, and a LayerNorm as well, was wrong by 3
    to 240 % (MobileViT-V2). It asks for a zero point of 0, or of 128 after convert_model, which makes one
    FakeQuantize of a Q/DQ pair (MobileViT); read_model leaves the pairs, and gives ViT 28 dB and Swin 18
    instead of 74 and 65.
    """
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    readings = [(node, 0) for node in graph.node if node.op_type in NORMS]
    for node, index in readings:
        source = producers.get(node.input[index])
        while source is not None and source.op_type in MOVES:
            source = producers.get(source.input[0])
        if source is None:
            continue
        if source.op_type == "DequantizeLinear" and source.input[0] in producers:
            name = node.input[index]
            apart = f"{name}_for_{node.output[0]}"
            keep = helper.make_node("Max", [name, name], [apart], name=apart)
            graph.node.insert(list(graph.node).index(node), keep)
            node.input[index] = apart
        elif source.op_type in SCALED_ALONG:
            further = [(source, place) for place in range(len(source.input))]
            readings.extend(reading for reading in further if reading not in readings)


def compute_constants(model: onnx.ModelProto) -> None:
    """What `model` looks up in constants, or convolves of them, is computed here.

    OpenVINO does not when it compiles. A product with a batch of matrices that come of such a node and a Transpose becomes
    a linear layer, which reads them as if they had not been transposed: the positions of Funnel's heads, in fp32 too.
    """
    graph = model.graph
    known = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    for node in list(graph.node):
        if node.op_type in NOT_COMPUTED or any(attribute.HasField("g") for attribute in node.attribute):
            continue
        given = {name: known[name] for name in node.input if name in known}
        if any(name and name not in given for name in node.input):
            continue
        known |= _computed(node, given, model)
        if node.op_type in LEFT_TO_RUN_TIME:
            graph.initializer.append(numpy_helper.from_array(known[node.output[0]], node.output[0]))
            graph.node.remove(node)


def _computed(
    node: onnx.NodeProto, given: dict[str, npt.NDArray[Any]], model: onnx.ModelProto
) -> dict[str, npt.NDArray[Any]]:
    """Output name → value. By ONNX Runtime: onnx's own GatherElements takes 64 rows at most, so that the exporter left it."""
    outputs = [name for name in node.output if name]
    constants = [numpy_helper.from_array(value, name) for name, value in given.items()]
    wanted = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph([node], "constants", [], wanted, constants)
    alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    session = ort.InferenceSession(alone.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(outputs, {}), strict=True))


def _sizes(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """Tensor name → size by axis, 0 where it is dynamic."""
    return {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    }


PASSES = (
    compute_constants,
    keep_extremes_apart,
    keep_products_of_pixels_apart,
    widen_kernels_of_whole_rows,
    keep_scales_on_their_axis,
    keep_integers_from_norms,
)

NOT_COMPUTED = (
    "QuantizeLinear", "DequantizeLinear", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
    "Multinomial", "Bernoulli",
)  # fmt: skip
LEFT_TO_RUN_TIME = ("GatherElements", "GatherND", "ReverseSequence", "Conv")
NORMS = ("LayerNormalization", "InstanceNormalization", "GroupNormalization")
MOVES = (
    "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Slice", "Split", "Gather", "Pad", "Expand",
    "DepthToSpace", "SpaceToDepth", "Resize", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean",
)  # fmt: skip
SCALED_ALONG = ("Add", "Sub", "Mul", "Div", "Relu", "Concat")  # a scale of the input is one of the output
