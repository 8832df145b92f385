"""An LSTM with rounded weights as ONNX Runtime's operator for it, which takes them in int8 and rounds what it reads itself."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper, parser
from torch import fx, nn

from edgecomp.export.onnx.names import any_order
from edgecomp.export.onnx.programs import OPSET
from edgecomp.quantization.constants import value_of
from edgecomp.quantization.layers import rule_of
from edgecomp.quantization.placement import rounded_weights

DOMAIN, OPERATOR = "com.microsoft", "DynamicQuantizeLSTM"

# What the operator is, for all other readers of the file: an LSTM in float with the weights that its integers stand for.
MEANING = f"""
<ir_version: 10, opset_import: ["" : {OPSET}]>
model (float[N] x) => (float[N] y) {{ y = Identity(x) }}
<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>
{OPERATOR} <hidden_size, direction>
    (X, W, R, B, lengths, h, c, P, W_scale, W_zero_point, R_scale, R_zero_point) => (Y, Y_h, Y_c)
{{
    one = Constant <value_ints: ints = [1]> ()
    W_levels = Cast <to: int = 1> (W)
    W_steps = Unsqueeze (W_scale, one)
    W_values = Mul (W_levels, W_steps)
    W_turned = Transpose <perm: ints = [0, 2, 1]> (W_values)
    R_levels = Cast <to: int = 1> (R)
    R_steps = Unsqueeze (R_scale, one)
    R_values = Mul (R_levels, R_steps)
    R_turned = Transpose <perm: ints = [0, 2, 1]> (R_values)
    Y, Y_h, Y_c = LSTM <hidden_size: int = @hidden_size, direction: string = @direction>
        (X, W_turned, R_turned, B, lengths, h, c)
}}
"""

Scales = dict[bytes, npt.NDArray[Any]]


def pack_recurrent(model: onnx.ModelProto, network: nn.Module) -> None:
    """Every LSTM of `model` whose weights are rounded becomes ONNX Runtime's operator, in place.

    network: what it was exported from; its fake-quants have the scales. The integers are [directions, inputs,
    4 · hidden], a scale for each of the last. One file serves all: the operator is a function of the file
    too, which ONNX Runtime does not look at, as it has a kernel.
    """
    scales = _scales(network)
    graph = model.graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    found = False
    for node in [node for node in graph.node if node.op_type == "LSTM" and scales]:
        weights = [constants.get(name) for name in node.input[1:3]]
        steps = [_in_onnx_order(weight, scales) for weight in weights]
        if any(one is None for one in steps):
            continue
        found = True
        node.input.extend([""] * (8 - len(node.input)))
        for place, (weight, step) in enumerate(zip(weights, steps, strict=True), 1):
            assert weight is not None
            assert step is not None
            node.input[place], *grid = _add(graph, node.input[place], weight, step)
            node.input.extend(grid)
        node.op_type, node.domain = OPERATOR, DOMAIN
        kept = [one for one in node.attribute if one.name == "direction"]
        del node.attribute[:]
        node.output.extend([""] * (3 - len(node.output)))
        hidden = helper.make_attribute("hidden_size", steps[0].shape[1] // 4)  # type: ignore[union-attr]  # none is None: the loop has gone on where one is
        node.attribute.extend([hidden, *(kept or [helper.make_attribute("direction", "forward")])])
    if found:
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
        model.functions.extend(parser.parse_model(MEANING).functions)


def _scales(network: nn.Module) -> Scales:
    """By a weight's values: its rows' scales."""
    if not isinstance(network, fx.GraphModule):
        return {}
    return {
        any_order(value_of(network, source).detach().numpy()): quant.scale().flatten().numpy()
        for node, source, quant in rounded_weights(network)
        if rule_of(node) == "recurrent"
    }


def _in_onnx_order(weight: npt.NDArray[Any] | None, scales: Scales) -> npt.NDArray[Any] | None:
    """The scales [directions, 4 · hidden] of a weight [directions, 4 · hidden, inputs]: torch's gates are input, forget, cell, output,
    ONNX's input, output, forget, cell. None where they are not known."""
    directions = [] if weight is None else [scales.get(any_order(one)) for one in weight]
    if not directions or any(one is None for one in directions):
        return None
    gates = [np.split(one, 4) for one in directions if one is not None]
    return np.stack([np.concatenate([one[place] for place in (0, 3, 1, 2)]) for one in gates])


def _add(graph: onnx.GraphProto, name: str, weight: npt.NDArray[Any], step: npt.NDArray[Any]) -> list[str]:
    """The names of the integers, their scales and their zero points."""
    levels = np.rint(weight / step[..., None]).astype(np.int8).transpose(0, 2, 1)
    values = {
        f"{name}_int8": np.ascontiguousarray(levels),
        f"{name}_scale": step,
        f"{name}_zero_point": np.zeros(step.shape, np.int8),
    }
    graph.initializer.extend(numpy_helper.from_array(value, key) for key, value in values.items())
    return list(values)
