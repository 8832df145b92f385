"""Multiply-accumulates of the layers of an OpenVINO graph as it is executed: weights are inputs of the operation that has them."""

import math
from collections.abc import Callable
from typing import Any

Shape = tuple[int, ...]

# Kinds of the executed graph that look up, move or compare constants, or multiply one value by one: no products are summed up.
ELEMENTWISE = {
    "Broadcast", "Concatenation", "Const", "Convert", "Eltwise", "FakeQuantize", "Gather", "GatherElements", "GatherND",
    "Input", "Interpolate", "MVN", "MathGeneric", "NormalizeL2", "Output", "Pad", "Reduce", "Reorder", "Reshape", "RoPE",
    "ScatterUpdate", "ScatterElementsUpdate", "ScatterNDUpdate", "Select", "ShapeOf", "Softmax", "Split", "StridedSlice",
    "Tile", "Transpose", "EmbeddingBagOffsetsSum", "EmbeddingBagPackedSum", "EmbeddingSegmentsSum", "OneHot", "PriorBox",
    "Unique", "SearchSorted",
}  # fmt: skip
BODIES = {"TensorIterator", "Loop", "If"}  # what they hold is not in the graph


def of(operation: Any, kind: str) -> int | None:
    """Of one example: 0 without constant weights, None where it has some, or may, and cannot be counted.

    operation: of the executed graph. kind: what the plugin calls it. An axis of unknown length, the batch's among them,
    counts as one position.
    """
    if kind in BODIES:
        return None
    if kind in ELEMENTWISE:
        return 0
    places = range(len(operation.inputs()))
    weights = [_shape(operation.input_value(place)) for place in places if _is_constant(operation, place)]
    if kind in WEIGHTED:
        return WEIGHTED[kind](operation, weights) if weights else 0
    return None if any(sum(size > 1 for size in shape) > 1 for shape in weights) else 0


def _is_constant(operation: Any, place: int) -> bool:
    """Whether it is a constant, moved or converted at most."""
    node = operation.input_value(place).get_node()
    while node.inputs() and _kind(node) in ("Convert", "Reorder", "Reshape", "Transpose"):
        node = node.input_value(0).get_node()
    return _kind(node) == "Const"


def _kind(node: Any) -> str:
    information = node.get_rt_info()
    if "layerType" not in information:
        return ""
    value = information["layerType"]
    return str(getattr(value, "value", value))


def _shape(output: Any) -> Shape:
    """0 for an axis of unknown length."""
    shape = output.get_partial_shape()
    if shape.rank.is_dynamic:
        return ()
    return tuple(size.get_length() if size.is_static else 0 for size in shape)


def _positions(shape: Shape) -> int:
    return math.prod(max(size, 1) for size in shape)


def _of_one(shape: Shape) -> int:
    """Positions of one example: the batch is an axis of unknown length, or else the first."""
    return _positions(shape if 0 in shape else shape[1:])


def _convolution(operation: Any, weights: list[Shape]) -> int:
    """[outputs, inputs, *kernel], with an axis of groups before them or without, once a place of the output."""
    return math.prod(weights[0]) * _positions(_shape(operation.output(0))[2:])


def _transposed(operation: Any, weights: list[Shape]) -> int:
    """The same, once a place of the input."""
    return math.prod(weights[0]) * _positions(_shape(operation.input_value(0))[2:])


def _product(operation: Any, weights: list[Shape]) -> int:
    """[*batch, rows, inner] by [*batch, columns, inner], in either order: outputs × inner; by a matrix, every weight once a row."""
    outputs = _shape(operation.output(0))
    if len(weights[0]) == 2:
        return math.prod(weights[0]) * _of_one(outputs[:-1])
    first = _is_constant(operation, 0)
    columns = max(outputs[-2 if first else -1], 1)
    inner = math.prod(weights[0][-2:]) // columns
    return inner * _of_one(outputs)


def _recurrent(operation: Any, weights: list[Shape]) -> int:
    """W and R [directions, gates · hidden, inputs], once a step of x [batch, steps, inputs]; a cell is one step."""
    matrices = [shape for shape in weights if sum(size > 1 for size in shape) > 1]
    x = _shape(operation.input_value(0))
    return sum(map(math.prod, matrices)) * _positions(x[1:-1])


WEIGHTED: dict[str, Callable[[Any, list[Shape]], int]] = {
    "Convolution": _convolution,
    "GroupConvolution": _convolution,
    "DeformableConvolution": _convolution,
    "Deconvolution": _transposed,
    "FullyConnected": _product,
    "MatMul": _product,
    "RNNSeq": _recurrent,
    "RNNCell": _recurrent,
}
