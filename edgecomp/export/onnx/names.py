"""Layers under their own names in the exported graph: a runtime's table of layers, and a user, find them by these."""

import numpy as np
import onnx
from onnx import numpy_helper
from torch import nn

from edgecomp.quantize.layers import name_of

RECURRENT = ("LSTM", "GRU", "RNN")
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
HANDS_ON = ("QuantizeLinear", "DequantizeLinear", "Transpose", "Identity", "Reshape")


def name_layers(model: onnx.ModelProto, network: nn.Module) -> None:
    """Each convolution and linear layer is named after its weight's module path: `layers.0.conv1`, then `…@2`.

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
        np.sort(value.detach().numpy(), None).tobytes(): name
        for name, value in network.named_parameters()
        if "weight_ih_l" in name
    }
    producers = {name: node for node in graph.node for name in node.output}
    uses: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in RECURRENT and node.input[1] in constants:
            first_direction = numpy_helper.to_array(constants[node.input[1]])[0]
            node.name = name_of(in_any_order.get(np.sort(first_direction, None).tobytes(), node.name))
        if node.op_type not in WEIGHTED:
            continue
        source = node.input[1]
        while source not in constants and source in producers and producers[source].op_type in HANDS_ON:
            source = producers[source].input[0]
        if source in constants:
            if source.startswith("val_"):
                source = turned.get(numpy_helper.to_array(constants[source]).tobytes(), source)
            name = name_of(source)
            uses[name] = uses.get(name, 0) + 1
            node.name = name if uses[name] == 1 else f"{name}@{uses[name]}"
