"""Layers under their own names in the exported graph: a runtime's table of layers, and a user, find them by these."""

import onnx
from onnx import numpy_helper
from torch import nn

from edgecomp.quantize.layers import name_of

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
HANDS_ON = ("QuantizeLinear", "DequantizeLinear", "Transpose", "Identity", "Reshape")


def name_layers(model: onnx.ModelProto, network: nn.Module) -> None:
    """Each convolution and linear layer is named after its weight's module path: `layers.0.conv1`, then `…@2`.

    The exporter stores a float weight of a linear layer turned, under a name of its own: it is known by its values.
    """
    graph = model.graph
    constants = {initializer.name: initializer for initializer in graph.initializer}
    turned = {
        value.detach().numpy().T.tobytes(): name
        for name, value in network.named_parameters()
        if value.ndim == 2
    }
    producers = {name: node for node in graph.node for name in node.output}
    uses: dict[str, int] = {}
    for node in graph.node:
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
