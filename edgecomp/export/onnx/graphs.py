"""What stands around a node of an ONNX graph."""

from typing import Any

import numpy.typing as npt
import onnx
from onnx import numpy_helper

Constants = dict[str, npt.NDArray[Any]]

MOVES_VALUES = ("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "MaxPool")


def dequantiser(name: str, producers: dict[str, onnx.NodeProto]) -> onnx.NodeProto | None:
    """The DequantizeLinear a tensor comes from, through operators that only move values."""
    node = producers.get(name)
    while node is not None and node.op_type in MOVES_VALUES:
        node = producers.get(node.input[0])
    return node if node is not None and node.op_type == "DequantizeLinear" else None


def readers_of(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def constants_of(graph: onnx.GraphProto) -> Constants:
    """Tensor name → value, for initialisers, Constant nodes, and Identity nodes of either."""
    known: Constants = {
        initializer.name: numpy_helper.to_array(initializer) for initializer in graph.initializer
    }
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            known[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type == "Identity" and node.input[0] in known:
            known[node.output[0]] = known[node.input[0]]
    return known


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)
