"""Layers under their own names in the exported graph: a runtime's table of layers, and a user, find them by these."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from torch import nn

from edgecomp.export.onnx.graphs import RECURRENT
from edgecomp.quantization.layers import name_of

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
HANDS_ON = ("QuantizeLinear", "DequantizeLinear", "Transpose", "Identity", "Reshape")


def name_layers(model: onnx.ModelProto, network: nn.Module) -> None:
    """Each layer is named after its weight's module path: `layers.0.conv1`, then `…@2`, as are the layers of one recurrent module.

    model: changed in place; network: what it was exported from.

    The exporter stores a float weight of a linear layer turned, and a recurrent one's rows in another order, under a name of its
    own: they are known by their values.
    """
    graph = model.graph
    constants = {initializer.name: initializer for initializer in graph.initializer}
    turned = {
        value.detach().numpy().T.tobytes(): name
        for name, value in network.named_parameters()
        if value.ndim == 2
    }
    in_any_order = {
        any_order(value.detach().numpy()): name
        for name, value in network.named_parameters()
        if "weight_ih_l" in name
    }
    producers = {name: node for node in graph.node for name in node.output}
    uses: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in RECURRENT and node.input[1] in constants:
            first_direction = numpy_helper.to_array(constants[node.input[1]])[0]
            node.name = _used(name_of(in_any_order.get(any_order(first_direction), node.name)), uses)
        if node.op_type not in WEIGHTED:
            continue
        source = node.input[1]
        while source not in constants and source in producers and producers[source].op_type in HANDS_ON:
            source = producers[source].input[0]
        if source in constants:
            if source.startswith("val_"):
                source = turned.get(numpy_helper.to_array(constants[source]).tobytes(), source)
            node.name = _used(name_of(source), uses)


def any_order(weight: npt.NDArray[Any]) -> bytes:
    """The same bytes for a `weight` of the same values, whatever their order."""
    return bytes((np.sort(weight, None) + 0).tobytes())  # -0 is 0


def _used(name: str, uses: dict[str, int]) -> str:
    uses[name] = uses.get(name, 0) + 1
    return name if uses[name] == 1 else f"{name}@{uses[name]}"
