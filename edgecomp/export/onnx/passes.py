"""What is done to an exported ONNX graph, in order, before it is written. Each pass changes the model in place."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from edgecomp.export.onnx.graphs import attribute, constants_of, dequantiser, readers_of
from edgecomp.export.onnx.padding import take_padding_into_convolutions
from edgecomp.export.onnx.pooled import scale_after_mean
from edgecomp.export.openvino import kernels


def pack_weights(model: onnx.ModelProto) -> None:
    """QuantizeLinear of a constant of `model` becomes the int8 initialiser it computes.

    By ONNX's definition, ties to even.
    """
    graph = model.graph
    constants = constants_of(graph)
    for node in [
        node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] in constants
    ]:
        weight, scale, zero_point = (constants[name] for name in node.input)
        shape = [1] * weight.ndim
        if scale.ndim:
            shape[attribute(node, "axis", 1)] = -1
        limits = np.iinfo(zero_point.dtype)
        levels = np.rint(weight / scale.reshape(shape)) + zero_point.reshape(shape).astype(np.float32)
        packed = np.clip(levels, limits.min, limits.max).astype(zero_point.dtype)
        graph.initializer.append(numpy_helper.from_array(packed, node.output[0]))
        graph.node.remove(node)


def quantise_biases(model: onnx.ModelProto) -> None:
    """A bias of `model` between integer inputs becomes int32 on the grid of the accumulator.

    That is input scale × weight scale. ONNX Runtime takes a Gemm without an output grid, the last one of a
    classifier, as an integer operator only so.
    """
    graph = model.graph
    constants = constants_of(graph)
    producers = {name: node for node in graph.node for name in node.output}
    for node in list(graph.node):
        if node.op_type not in ("Conv", "Gemm") or len(node.input) < 3 or node.input[2] not in constants:
            continue
        source = dequantiser(node.input[0], producers)
        weight = producers.get(node.input[1])
        if source is None or weight is None or weight.op_type != "DequantizeLinear":
            continue
        scale = np.float64(constants[source.input[1]]) * constants[weight.input[1]].astype(
            np.float64
        ).reshape(-1)
        bias = constants[node.input[2]].astype(np.float64)
        limits = np.iinfo(np.int32)
        levels = np.clip(np.rint(bias / scale), limits.min, limits.max).astype(np.int32)
        name = node.output[0] + "_bias"
        graph.initializer.extend(
            [
                numpy_helper.from_array(levels, f"{name}_int32"),
                numpy_helper.from_array(
                    np.broadcast_to(scale, bias.shape).astype(np.float32), f"{name}_scale"
                ),
                numpy_helper.from_array(np.zeros(bias.shape, np.int32), f"{name}_zeros"),
            ]
        )
        inputs = [f"{name}_int32", f"{name}_scale", f"{name}_zeros"]
        dequantise = helper.make_node("DequantizeLinear", inputs, [name], name=f"{node.name}_bias", axis=0)
        graph.node.insert(list(graph.node).index(node), dequantise)
        node.input[2] = name


def quantise_tables(model: onnx.ModelProto) -> None:
    """In `model`, Gather of a float table, then Q/DQ → Gather of the int8 table, then DQ.

    The values are the same, in a quarter of the bytes.
    """
    graph = model.graph
    constants = constants_of(graph)
    readers = readers_of(graph)
    for node in [node for node in graph.node if node.op_type == "Gather" and node.input[0] in constants]:
        table = constants[node.input[0]]
        following = readers.get(node.output[0], [])
        bounds = []
        while len(following) == 1 and following[0].op_type in BOUNDS and following[0].input[1] in constants:
            (bound,) = following
            table = BOUNDS[bound.op_type](table, *(constants[name] for name in bound.input[1:]))
            bounds.append(bound)
            following = readers.get(bound.output[0], [])
        if len(following) != 1 or following[0].op_type != "QuantizeLinear" or table.ndim != 2:
            continue
        (quantise,) = following
        scale, zero_point = constants[quantise.input[1]], constants[quantise.input[2]]
        limits = np.iinfo(zero_point.dtype)
        levels = np.clip(np.rint(table / scale) + zero_point, limits.min, limits.max)
        name = f"{node.input[0]}_int8"
        if name not in constants:
            constants[name] = levels.astype(zero_point.dtype)
            graph.initializer.append(numpy_helper.from_array(constants[name], name))
        node.input[0] = name
        node.output[0] = quantise.output[0]
        for absorbed in (*bounds, quantise):
            graph.node.remove(absorbed)


def transpose_weights(model: onnx.ModelProto) -> None:
    """A transposed constant weight of `model` is stored transposed.

    Between DQ and MatMul nothing may stand.
    """
    graph = model.graph
    constants = constants_of(graph)
    producers = {name: node for node in graph.node for name in node.output}
    for node in [node for node in graph.node if node.op_type == "Transpose"]:
        source = producers.get(node.input[0])
        if source is None or source.op_type != "DequantizeLinear" or source.input[0] not in constants:
            continue
        order = next(
            (list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), [1, 0]
        )
        if order != [1, 0]:
            continue
        name = f"{node.output[0]}_int8"
        turned = np.ascontiguousarray(constants[source.input[0]].T)
        graph.initializer.append(numpy_helper.from_array(turned, name))
        per_channel = constants[source.input[1]].ndim > 0
        axis = {"axis": 1 - attribute(source, "axis", 1) % 2} if per_channel else {}
        inputs = [name, *source.input[1:]]
        dequantise = helper.make_node(
            "DequantizeLinear", inputs, [node.output[0]], name=f"{source.name}_turned", **axis
        )
        graph.node.insert(list(graph.node).index(node), dequantise)
        graph.node.remove(node)


def separate_zero_points(model: onnx.ModelProto) -> None:
    """Each constant of `model` has a zero point that is a tensor of its own.

    Layers that share one tensor of zeros are left in float by OpenVINO, and without any a Gemm is by ONNX
    Runtime.
    """
    graph = model.graph
    constants = constants_of(graph)
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants and len(node.input) == 3:
            name = f"{node.output[0]}_zero_point"
            graph.initializer.append(numpy_helper.from_array(constants[node.input[2]].copy(), name))
            node.input[2] = name


def drop_redundant_activations(model: onnx.ModelProto) -> None:
    """Drops Relu and ReLU6 of `model` whose whole effect is the clipping of the QuantizeLinear that follows.

    One between two roundings stays: ONNX Runtime would make one of two pairs that nothing parts.
    """
    graph = model.graph
    constants = constants_of(graph)
    readers = readers_of(graph)
    made_by = {name: node for node in graph.node for name in node.output}
    for node in [node for node in graph.node if node.op_type in ("Relu", "Clip")]:
        following = readers.get(node.output[0], [])
        if not following or any(reader.op_type != "QuantizeLinear" for reader in following):
            continue
        scale, zero_point = (constants[name] for name in following[0].input[1:])
        source = made_by.get(node.input[0])
        if zero_point.dtype != np.uint8 or int(zero_point) != 0 or source is None:
            continue
        if source.op_type == "DequantizeLinear":
            continue
        if node.op_type == "Clip":
            low, high = (float(constants[name]) if name in constants else None for name in node.input[1:])
            if low != 0 or high is None or float(scale) * 255 > high * (1 + 1e-6):
                continue
        for reader in following:
            reader.input[0] = node.input[0]
        graph.node.remove(node)


def restore_global_pooling(model: onnx.ModelProto) -> None:
    """Global average pooling, which the exporter writes as ReduceMean, is GlobalAveragePool again in `model`.

    Runtimes have no integer kernel for the former. Of images alone: of a tensor with more axes, or of which
    that is not known, it would average others too.
    """
    constants = constants_of(model.graph)
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in model.graph.value_info}
    for node in model.graph.node:
        if node.op_type != "ReduceMean" or len(node.input) != 2 or not attribute(node, "keepdims", 1):
            continue
        axes = constants.get(node.input[1])
        images = ranks.get(node.output[0]) == 4
        if images and axes is not None and sorted(int(axis) % 4 for axis in axes) == [2, 3]:
            node.op_type = "GlobalAveragePool"
            del node.input[1:]
            del node.attribute[:]


def write_relu_as_max(model: onnx.ModelProto) -> None:
    """Relu of a Gemm in `model`, read in float, becomes a Max of it and 0.

    ONNX Runtime would fuse Relu and Gemm into a float operator, but takes no Max along.
    """
    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        source = made_by.get(node.input[0]) if node.op_type == "Relu" else None
        if source is not None and source.op_type == "Gemm":
            node.op_type = "Max"
            node.input.append(f"{node.output[0]}_zero")
            graph.initializer.append(numpy_helper.from_array(np.float32(0), node.input[1]))


def keep_axes(model: onnx.ModelProto) -> None:
    """An axis in `model` is dropped by Squeeze, not by the mean over it, nor by the selection from a product.

    OpenVINO moves scales of shape [1, 1, out] behind those, and multiplies [batch, out] by them as if they
    were [1, batch, out].
    """
    graph = model.graph
    constants = constants_of(graph)
    made_by = {name: node for node in graph.node for name in node.output}
    for node in list(graph.node):
        source = made_by.get(node.input[0]) if node.input else None
        selects = node.op_type == "Gather" and source is not None and source.op_type == "MatMul"
        if not (selects or node.op_type in REDUCES) or len(node.input) < 2 or node.input[1] not in constants:
            continue
        axes = constants[node.input[1]]
        if node.op_type == "Gather":
            if axes.ndim:
                continue
            node.input[1] = f"{node.output[0]}_index"
            graph.initializer.append(numpy_helper.from_array(axes.reshape(1), node.input[1]))
            axes = np.array([attribute(node, "axis", 0)])
        elif not attribute(node, "keepdims", 1):
            next(item for item in node.attribute if item.name == "keepdims").i = 1
        else:
            continue
        whole, dropped = f"{node.output[0]}_whole", f"{node.output[0]}_axes"
        graph.initializer.append(numpy_helper.from_array(axes.astype(np.int64), dropped))
        squeeze = helper.make_node(
            "Squeeze", [whole, dropped], list(node.output), name=f"{node.name}_squeeze"
        )
        graph.node.insert(list(graph.node).index(node) + 1, squeeze)
        node.output[0] = whole


def keep_narrow_apart(model: onnx.ModelProto) -> None:
    """What was clipped to fewer levels than 8 bits have, a simulation, is read in float in `model`.

    It reaches convolutions, sums and averages through a Max of it with itself. In integers OpenVINO left out
    part of such roundings: a ResNet-8 with 4-bit activations was off by 2 to 12 % of its logits' deviation. A
    MatMul stays as it is: it is exact, and with a float input both runtimes would round that anew.
    """
    graph = model.graph
    constants = constants_of(graph)
    readers = readers_of(graph)
    made_by = {name: node for node in graph.node for name in node.output}
    for node in [node for node in graph.node if node.op_type == "DequantizeLinear"]:
        quantise = made_by.get(node.input[0])
        clip = made_by.get(quantise.input[0]) if quantise is not None else None
        if quantise is None or clip is None or clip.op_type != "Clip":
            continue
        bounds = [float(constants[name]) for name in clip.input[1:] if name in constants]
        if len(bounds) < 2 or bounds[1] - bounds[0] > NARROW_STEPS * float(constants[quantise.input[1]]):
            continue
        (name,) = node.output
        apart = f"{name}_apart"
        keep = helper.make_node("Max", [name, name], [apart], name=apart)
        graph.node.insert(list(graph.node).index(node) + 1, keep)
        for reader in [
            reader for reader in readers.get(name, []) if reader.op_type not in ("Gemm", "MatMul")
        ]:
            reader.input[:] = [apart if source == name else source for source in reader.input]


def drop_unused(model: onnx.ModelProto) -> None:
    """Takes out of `model` the nodes and initialisers that no output is computed from."""
    graph = model.graph
    while True:
        used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
        unused = [node for node in graph.node if not any(name in used for name in node.output)]
        for node in unused:
            graph.node.remove(node)
        if not unused:
            break
    for initializer in [item for item in graph.initializer if item.name not in used]:
        graph.initializer.remove(initializer)


def drop_notes(model: onnx.ModelProto) -> None:
    """Takes stack traces, paths and versions out of `model`: the same network gives the same bytes."""
    model.doc_string = ""
    model.producer_name, model.producer_version = "edgecomp", ""
    del model.metadata_props[:]
    graph = model.graph
    graph.name = "model"
    del graph.value_info[:]
    for item in (*graph.node, *graph.input, *graph.output, *graph.initializer, graph):
        item.doc_string = ""
        del item.metadata_props[:]


PASSES = (
    pack_weights,
    take_padding_into_convolutions,
    quantise_tables,
    transpose_weights,
    quantise_biases,
    separate_zero_points,
    drop_redundant_activations,
    keep_narrow_apart,
    restore_global_pooling,
    write_relu_as_max,
    keep_axes,
    scale_after_mean,
    *kernels.PASSES,
    drop_unused,
    drop_notes,
)

# Where the grid is narrower than its type.
BOUNDS: dict[str, Callable[..., npt.NDArray[Any]]] = {"Max": np.maximum, "Min": np.minimum, "Clip": np.clip}
NARROW_STEPS = 127  # a ReLU6 may be a Clip too, over as good as all steps of 8 bits
REDUCES = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin")
