"""What stands around a node of an ONNX graph."""

from typing import Any

import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

Constants = dict[str, npt.NDArray[Any]]

RECURRENT = ("LSTM", "GRU", "RNN")
MOVES_VALUES = ("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "MaxPool")


def dequantiser(name: str, producers: dict[str, onnx.NodeProto]) -> onnx.NodeProto | None:
    """The DequantizeLinear that a tensor comes from, through operators that only move values; or None.

    name: of the tensor; producers: output's name → node.
    """
    node = producers.get(name)
    while node is not None and node.op_type in MOVES_VALUES:
        node = producers.get(node.input[0])
    return node if node is not None and node.op_type == "DequantizeLinear" else None


def readers_of(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """Tensor name → the nodes of `graph` that read it, in order; one that reads it twice is there twice."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def constants_of(graph: onnx.GraphProto) -> Constants:
    """Tensor name → value, for the initialisers of `graph`, Constant nodes, and Identity nodes of either."""
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
    """The integer attribute `name` of a node, or `default` where it has none."""
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)


def store_weights(model: onnx.ModelProto) -> None:
    """Weights and biases of recurrent layers as the operators take them, in place.

    model: in which the exporter has left the sorting of gates to every start of a file.
    """
    graph = model.graph
    constants = {one.name: one for one in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    for node in [node for node in graph.node if node.op_type in RECURRENT]:
        for place, name in enumerate(node.input[1:4], 1):
            needed = _ancestors(name, made_by)
            if not name or name in constants or not needed <= made_by.keys() | constants.keys():
                continue
            part = helper.make_graph(
                [part for part in graph.node if part.output[0] in needed],
                "weights",
                [],
                [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)],
                [constants[one] for one in needed & constants.keys()],
            )
            (value,) = ReferenceEvaluator(helper.make_model(part, opset_imports=model.opset_import)).run(
                None, {}
            )
            node.input[place] = f"{name}_stored"
            graph.initializer.append(numpy_helper.from_array(value, node.input[place]))


def _ancestors(name: str, made_by: dict[str, onnx.NodeProto]) -> set[str]:
    """A tensor and all that it is computed from."""
    found: set[str] = set()
    wanted = [name]
    while wanted:
        one = wanted.pop()
        if one and one not in found:
            found.add(one)
            wanted += made_by[one].input if one in made_by else []
    return found
