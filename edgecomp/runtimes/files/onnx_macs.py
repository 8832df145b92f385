"""Multiply-accumulates of every layer of an ONNX file that has constant weights, read from the graph alone."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

Shape = tuple[int, ...]
Weights = Mapping[int, Shape]
"""The shapes of the constant ones among a node's inputs, by place."""

STANDARD = ("", "ai.onnx")  # domains whose operators are all known
LOOKUPS = {"EmbedLayerNormalization", "QEmbedLayerNormalization"}  # tables, and no products


class Counted(NamedTuple):
    """A layer's operator, and its multiply-accumulates for one example; None where nothing here can count them."""

    node: Any
    macs: int | None


def of_graph(model: Any) -> list[Counted]:
    """Every operator with constant weights, in order. model: an onnx.ModelProto; local functions must be inlined.

    A weight is constant where it is computed from constants alone. An axis of unknown length, the batch's among them, counts
    as one position. An operator of another domain than ONNX's own that reads a constant matrix, and a loop or branch that
    holds such a layer, cannot be counted unless the table below has it.
    """
    import onnx

    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph  # through sizes that are computed
    constants, shapes = _constants(graph), _shapes(graph)
    found = []
    for node in graph.node:
        if node.output and all(name in constants for name in node.output):
            continue
        if node.op_type in WEIGHTS:
            places, count = WEIGHTS[node.op_type]
            weights = {
                place: shapes.get(name, ()) for place, name in enumerate(node.input)
                if name in constants and (place in places or not places)
            }  # fmt: skip
            if weights:
                found.append(Counted(node, count(node, weights, shapes)))
        elif _is_unknown(node, constants, shapes):
            found.append(Counted(node, None))
    return found


def _is_unknown(node: Any, constants: set[str], shapes: Mapping[str, Shape]) -> bool:
    bodies = list(_bodies(node))
    if bodies:
        return any(_holds_layers(body, constants) for body in bodies)
    if node.domain in STANDARD or node.op_type in LOOKUPS:
        return False
    return any(_is_matrix(shapes.get(name, ())) for name in node.input if name in constants)


def _bodies(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g


def _holds_layers(graph: Any, outer: set[str]) -> bool:
    """Whether a loop's or a branch's body multiplies by a constant, its own or one from outside."""
    constants = outer | _constants(graph)
    for node in graph.node:
        if node.op_type in WEIGHTS and any(name in constants for name in node.input[1:]):
            return True
        if any(_holds_layers(body, constants) for body in _bodies(node)):
            return True
    return False


def _constants(graph: Any) -> set[str]:
    """Initialisers, and what is computed from constants alone."""
    known = {initializer.name for initializer in graph.initializer}
    for node in graph.node:
        computed = node.op_type == "Constant" or (
            node.input and all(name in known for name in node.input if name)
        )
        if computed and not node.op_type.startswith("Random"):
            known |= set(node.output)
    return known


def _shapes(graph: Any) -> dict[str, Shape]:
    """0 for an axis of unknown length."""
    known = {
        value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    return known | {initializer.name: tuple(initializer.dims) for initializer in graph.initializer}


def _is_matrix(shape: Shape) -> bool:
    return sum(size > 1 for size in shape) > 1


def _positions(shape: Shape) -> int:
    return math.prod(max(size, 1) for size in shape)


def _of_one(shape: Shape) -> int:
    """Positions of one example: the batch is an axis of unknown length, or else the first."""
    return _positions(shape if 0 in shape else shape[1:])


def _elements(weights: Weights) -> int:
    return sum(math.prod(shape) for shape in weights.values())


def _convolution(node: Any, weights: Weights, shapes: Mapping[str, Shape]) -> int:
    """[outputs, inputs of a group, *kernel], once a place of the output."""
    return _elements(weights) * _positions(shapes.get(node.output[0], ())[2:])


def _transposed(node: Any, weights: Weights, shapes: Mapping[str, Shape]) -> int:
    """[inputs, outputs of a group, *kernel], once a place of the input."""
    return _elements(weights) * _positions(shapes.get(node.input[0], ())[2:])


def _product(node: Any, weights: Weights, shapes: Mapping[str, Shape]) -> int:
    """[*batch, rows, inner] by [*batch, inner, columns], either of them constant: outputs × inner."""
    ((place, shape),) = weights.items()
    turned = _attribute(node, "transB" if place else "transA", 0)
    inner = shape[-2:][0 if bool(place) != bool(turned) else -1]
    return max(inner, 1) * _of_one(shapes.get(node.output[0], ()))


def _einsum(node: Any, weights: Weights, shapes: Mapping[str, Shape]) -> int | None:
    """The product of all labels' sizes (the outputs, and what is summed over), of one example: the output's first label is the batch."""
    equation = _attribute(node, "equation", b"").decode().replace(" ", "")
    left, _, right = equation.partition("->")
    terms = left.split(",")
    if "." in equation or not right or len(terms) != len(node.input):
        return None
    sizes: dict[str, int] = {}
    for labels, name in zip(terms, node.input, strict=True):
        for label, size in zip(labels, shapes.get(name, (0,) * len(labels)), strict=True):
            sizes[label] = max(sizes.get(label, 1), size)
    return math.prod(size for label, size in sizes.items() if label != right[0])


def _recurrent(node: Any, weights: Weights, shapes: Mapping[str, Shape]) -> int:
    """W [directions, gates · hidden, inputs] and R [directions, gates · hidden, hidden], once a step. layout 0: steps first."""
    axis = 1 if _attribute(node, "layout", 0) else 0
    steps = shapes.get(node.input[0], ())[axis : axis + 1]
    return _elements(weights) * _positions(steps)


def _rows(node: Any, weights: Weights, shapes: Mapping[str, Shape]) -> int:
    """Every weight once a row of the input [batch, rows, inner]."""
    return _elements(weights) * _of_one(shapes.get(node.input[0], ())[:-1])


def _blocks(node: Any, weights: Weights, shapes: Mapping[str, Shape]) -> int:
    """Weights in blocks of a few bits: their sizes are attributes."""
    size = int(_attribute(node, "K", 0) * _attribute(node, "N", 0))
    return size * _of_one(shapes.get(node.input[0], ())[:-1])


def _attribute(node: Any, name: str, default: Any) -> Any:
    for one in node.attribute:
        if one.name == name:
            return one.s if isinstance(default, bytes) else one.i
    return default


Count = Callable[[Any, Weights, Mapping[str, Shape]], int | None]

# Operator → where weights may be among its inputs (anywhere: none is named), and how their products are counted.
WEIGHTS: dict[str, tuple[tuple[int, ...], Count]] = {
    "Conv": ((1,), _convolution),
    "ConvInteger": ((1,), _convolution),
    "FusedConv": ((1,), _convolution),
    "NhwcFusedConv": ((1,), _convolution),
    "QLinearConv": ((3,), _convolution),
    "DeformConv": ((1,), _convolution),
    "ConvTranspose": ((1,), _transposed),
    "Gemm": ((0, 1), _product),
    "QGemm": ((3,), _product),
    "FusedGemm": ((0, 1), _product),
    "MatMul": ((0, 1), _product),
    "FusedMatMul": ((0, 1), _product),
    "MatMulInteger": ((1,), _product),
    "MatMulIntegerToFloat": ((1,), _product),
    "DynamicQuantizeMatMul": ((1,), _product),
    "QLinearMatMul": ((3,), _product),
    "Einsum": ((), _einsum),
    "LSTM": ((1, 2), _recurrent),
    "GRU": ((1, 2), _recurrent),
    "RNN": ((1, 2), _recurrent),
    "DynamicQuantizeLSTM": ((1, 2), _recurrent),
    "Attention": ((1,), _rows),
    "QAttention": ((1,), _rows),
    "MatMulNBits": ((1,), _blocks),
}
