"""An ONNX graph as an fx.GraphModule: a node of one for a node of the other."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from torch import fx, nn

from edgecomp.errors import ModelFileError, UsageError, nearest
from edgecomp.onnx_import.names import Names, argument
from edgecomp.onnx_import.operators import TABLE, linear, moves, recurrent
from edgecomp.onnx_import.reading import ALIASES
from edgecomp.onnx_import.values import DTYPES, Numbers, row

FEW = 64
"""Whole numbers that are written into the graph, where they are so few: shapes, axes, bounds."""

IGNORED = {"consumed_inputs", "storage_order", "is_test", "spatial", "cudnn_enabled"}
"""Attributes that change no output at inference."""

LOOK_UP, BIASED = row(moves.look_up), row(linear.product_and_bias)


def as_declared(x: torch.Tensor, dtype: int) -> torch.Tensor:
    """An input, `x`, as the file declares it, whatever the data's own numbers are. dtype: ONNX's number of
    it."""
    return x if x.dtype == DTYPES[dtype] else x.to(DTYPES[dtype])


class Builder:
    """Builds a module of the nodes of one graph; for one use."""

    def __init__(self, file: Path, model: ir.Model) -> None:
        self._file, self._model = file, model
        self._graph = fx.Graph()
        self._root: dict[str, Any] = {}
        self._names, self._arguments = Names(), set[str]()
        self._made: dict[str, Any] = {}
        firsts = [(*value.shape, None)[0] for value in model.graph.inputs if value.shape is not None]
        self._takes_one = bool(firsts) and all(size == 1 for size in firsts)
        self._opset = model.opset_imports.get("", model.opset_imports.get("ai.onnx", 1))

    def build(self, outputs: Sequence[str]) -> fx.GraphModule:
        """A module that gives the values of these names, outputs or any between; one as a tensor, several as a tuple."""
        for value in self._model.graph.inputs:
            if (
                str(value.name) not in self._model.graph.initializers
            ):  # files of old list their weights as inputs
                self._input(value)
        for node in self._model.graph:
            if node.op_type == "Constant":
                continue
            try:
                self._node(node)
            except NotImplementedError as error:
                raise ModelFileError(
                    f"{self._file}: {_named(node)} has no conversion to PyTorch: {error}"
                ) from error
        found = [self._output(name) for name in outputs]
        self._graph.output(found[0] if len(found) == 1 else tuple(found))
        whole = fx.GraphModule(self._root, self._graph)  # by whose modules it is seen what has an effect
        whole.graph.eliminate_dead_code()
        used = {str(node.target) for node in whole.graph.nodes if node.op in ("get_attr", "call_module")}
        kept = {path: value for path, value in self._root.items() if path in used}
        module = fx.GraphModule(kept, whole.graph, "OnnxNetwork")
        module.graph.lint()
        return module.eval()

    def _input(self, value: ir.Value) -> None:
        assert value.dtype is not None
        placed = self._graph.placeholder(argument(str(value.name), self._arguments))
        self._made[str(value.name)] = self._graph.call_function(as_declared, (placed, int(value.dtype)))

    def _output(self, name: str) -> Any:
        if name in self._made:
            return self._made[name]
        for one, other in self._model.meta[ALIASES]:
            if name in (one, other) and (found := {one, other} & self._made.keys()):
                return self._made[found.pop()]
        constant = next((value for value in self._model.graph.outputs if value.name == name), None)
        if constant is not None:
            return self._value(constant, "tensor")
        known = [str(value.name) for value in self._model.graph.outputs]
        raise UsageError(f"{self._file} has no output {name!r:.100}{nearest(name, self._made)}; its outputs are {', '.join(known)}, and any "
                         "value between may be named too")  # fmt: skip

    def _node(self, node: ir.Node) -> None:
        if node.op_type in recurrent.GATES:
            made = self._recurrent(node)
        elif node.op_type == "BatchNormalization" and (norm := self._norm(node)) is not None:
            made = norm
        elif node.op_type == "Gather" and self._is_table(node):
            made = self._call(node, LOOK_UP)
        elif node.op_type == "Reshape" and (sizes := self._sizes_of_any_batch(node)) is not None:
            made = self._graph.call_function(TABLE["Reshape"], (self._value(node.inputs[0], ""), sizes))
        elif (product := self._product_before(node)) is not None:
            x, weight, bias = product
            values = (self._value(x, ""), self._value(weight, "tensor"), self._value(bias, "tensor"))
            made = self._graph.call_function(BIASED, values)
        else:
            made = self._call(node, TABLE[node.op_type])
        self._keep(node, made)

    def _keep(self, node: ir.Node, made: fx.Node) -> None:
        made.meta["onnx"] = (node.op_type, str(node.name or ""), [str(value.name) for value in node.outputs])
        wanted = [
            place
            for place, value in enumerate(node.outputs)
            if value.name and (value.uses() or value.is_graph_output())
        ]
        several = node.op_type in SEVERAL
        if not several and any(place > 0 for place in wanted):
            raise NotImplementedError(f"its output {node.outputs[max(wanted)].name!r:.100} is used")
        for place, value in enumerate(node.outputs):
            if several:
                self._made[str(value.name)] = self._graph.call_function(_part, (made, place))
            elif place == 0:
                self._made[str(value.name)] = made

    def _call(self, node: ir.Node, operator: Any) -> fx.Node:
        """The `operator` of `node`."""
        parameters: dict[str, inspect.Parameter] = dict(operator.parameters)
        attributes = {name: _attribute(one) for name, one in node.attributes.items() if name not in IGNORED}
        if "opset" in parameters:
            attributes["opset"] = self._opset
        if "outputs" in parameters:
            attributes["outputs"] = len(node.outputs)
        unknown = [name for name in attributes if name not in parameters]
        if unknown:
            raise NotImplementedError(f"its attribute {unknown[0]}={attributes[unknown[0]]}")
        kinds = [_kind(one) for one in parameters.values()]
        kinds += [kinds[-1] if kinds and _takes_any(parameters) else "tensor" if not kinds else ""] * len(
            node.inputs
        )
        inputs = [self._value(value, kind) for value, kind in zip(node.inputs, kinds, strict=False)]
        while inputs and inputs[-1] is None:
            inputs.pop()
        return self._graph.call_function(operator, tuple(inputs), attributes)

    def _value(self, value: ir.Value | None, kind: str) -> Any:
        """A node's input: what is computed, or a constant as the operator wants it (tensor, numbers, either)."""
        if value is None or not value.name:
            return None
        if value.name not in self._made:
            constant = _constant(value)
            if constant is None:
                raise ModelFileError(f"{self._file}: {value.name!r:.100} is used before it is computed")
            literal = _is_literal(constant, kind)
            key = f"{value.name}\0{literal}"  # a constant may be a number for one and a tensor for another
            if key not in self._made:
                self._made[key] = constant.tolist() if literal else self._constant(str(value.name), constant)
            return self._made[key]
        return self._made[value.name]

    def _constant(self, name: str, value: npt.NDArray[Any]) -> fx.Node:
        path = self._names.path(name)
        tensor = torch.from_numpy(np.array(value))
        trained = tensor.is_floating_point()
        self._root[path] = nn.Parameter(tensor) if trained else tensor
        return self._graph.get_attr(path)

    def _is_table(self, node: ir.Node) -> bool:
        table, ids = (_constant(value) for value in node.inputs[:2])
        on_rows = "axis" not in node.attributes or node.attributes["axis"].as_int() == 0
        return table is not None and table.ndim == 2 and table.dtype.kind == "f" and ids is None and on_rows

    def _product_before(
        self, node: ir.Node
    ) -> tuple[ir.Value | None, ir.Value | None, ir.Value | None] | None:
        """Input, weight and bias where an Add gives a MatMul that nothing else reads its bias."""
        if node.op_type != "Add":
            return None
        for one, other in ((0, 1), (1, 0)):
            product, bias = node.inputs[one], node.inputs[other]
            before = product.producer() if product is not None else None
            if before is None or before.op_type != "MatMul" or product is None or len(product.uses()) != 1:
                continue
            weight, added = _constant(before.inputs[1]), _constant(bias)
            if product.is_graph_output() or weight is None or added is None or weight.ndim != 2:
                continue
            if added.ndim == 1 and added.shape[0] == weight.shape[1]:
                return before.inputs[0], before.inputs[1], bias
        return None

    def _sizes_of_any_batch(self, node: ir.Node) -> list[int] | None:
        """Of a file that takes one example, where it reshapes to one: to as many as there are. None where that cannot be told."""
        shape, data = _constant(node.inputs[1]) if len(node.inputs) > 1 else None, node.inputs[0]
        if (
            not self._takes_one
            or shape is None
            or shape.ndim != 1
            or shape.size < 2
            or shape[0] != 1
            or "allowzero" in node.attributes
        ):
            return None
        rest = [int(size) for size in shape[1:]]
        if -1 not in rest and 0 not in rest:
            return [-1, *rest]
        known = data.shape if data is not None else None
        return [0, *rest] if known is not None and len(known) and known[0] == 1 else None

    def _norm(self, node: ir.Node) -> fx.Node | None:
        """Batch normalisation as a module of its own, which can be trained; None where its weights are computed."""
        values = [_constant(value) for value in node.inputs[1:5]]
        if any(value is None for value in values) or (
            node.attributes.get("training_mode") and node.attributes["training_mode"].as_int()
        ):
            return None
        scale, bias, mean, variance = (torch.from_numpy(np.array(value)) for value in values)
        epsilon = node.attributes["epsilon"].as_float() if "epsilon" in node.attributes else 1e-5
        norm = linear.BatchNorm(scale.numel(), eps=epsilon)
        norm.weight, norm.bias = nn.Parameter(scale), nn.Parameter(bias)
        norm.running_mean, norm.running_var = mean, variance
        assert node.inputs[3] is not None
        path = self._names.path(str(node.inputs[3].name).removesuffix("running_mean"))
        self._root[path] = norm
        return self._graph.call_module(path, (self._value(node.inputs[0], "tensor"),))

    def _recurrent(self, node: ir.Node) -> fx.Node:
        inputs = [*node.inputs, *[None] * (8 - len(node.inputs))]
        attributes = {name: _attribute(one) for name, one in node.attributes.items()}
        weights = [_constant(value) for value in inputs[1:4]]
        why = recurrent.refusal(node.op_type, attributes, 8 if inputs[7] is not None else 0)
        if why or weights[0] is None or weights[1] is None or (inputs[3] is not None and weights[2] is None):
            raise NotImplementedError(why or "its weights are computed from data")
        if inputs[4] is not None and inputs[4].name:
            raise NotImplementedError("sequence_lens")
        named = recurrent.parameters(node.op_type, weights[0], weights[1], weights[2])
        owner = self._names.path(str(node.name or inputs[1].name)) if inputs[1] else ""
        nodes = []
        for name, array in named.items():
            self._root[f"{owner}.{name}"] = nn.Parameter(torch.from_numpy(np.array(array)))
            nodes.append(self._graph.get_attr(f"{owner}.{name}"))
        states = inputs[5:7] if node.op_type == "LSTM" else inputs[5:6]
        hidden, directions = weights[1].shape[2], weights[1].shape[0]
        common = (hidden, directions, weights[2] is not None, attributes.get("layout", 0))
        backwards = attributes.get("direction") == "reverse"
        function = RECURRENT[node.op_type]
        x = self._value(inputs[0], "tensor")
        return self._graph.call_function(
            function, (x, nodes, *(self._value(one, "tensor") for one in states), *common, backwards)
        )


SEVERAL = {"Split", "TopK", "LSTM", "GRU"}
"""Operators of several outputs."""

RECURRENT: dict[str, Any] = {"LSTM": recurrent.lstm, "GRU": recurrent.gru}


def _part(values: tuple[Any, ...], place: int) -> Any:
    return values[place]


def _named(node: ir.Node) -> str:
    return f"{node.op_type} (node {node.name or '?'!s:.100})"


def _constant(value: ir.Value | None) -> npt.NDArray[Any] | None:
    if value is None or value.is_graph_input() or value.const_value is None:
        return None
    return np.asarray(value.const_value.numpy())


def _is_literal(value: npt.NDArray[Any], kind: str) -> bool:
    """Whether a constant is written into the graph: what is wanted as numbers, few whole numbers, and single ones beside tensors."""
    if kind:
        return kind == "numbers"
    return value.size <= (1 if value.dtype.kind == "f" else FEW)


def _kind(parameter: inspect.Parameter) -> str:
    """Whether a parameter of an operator is wanted as a tensor, as numbers, or as either."""
    wanted = {parameter.annotation, *get_args(parameter.annotation)}
    if Numbers in wanted:
        return "" if torch.Tensor in wanted else "numbers"
    return "tensor" if torch.Tensor in wanted else ""


def _takes_any(parameters: dict[str, inspect.Parameter]) -> bool:
    first = next(iter(parameters.values()))
    return first.kind is first.VAR_POSITIONAL


def _attribute(attribute: Any) -> Any:
    """As Python's numbers, texts and lists."""
    if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
        raise NotImplementedError("a graph inside")
    if attribute.type == ir.AttributeType.TENSOR:
        return attribute.as_tensor().numpy().tolist()
    value = attribute.value
    return list(value) if isinstance(value, tuple | list) else value
