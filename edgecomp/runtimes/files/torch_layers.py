"""The layers with weights of a graph that edgecomp.runtimes.files.pt2 has read, and their multiply-accumulates, found by running it once."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from edgecomp.runtimes.base import Layer

MOVES = (
    "t",
    "transpose",
    "permute",
    "numpy_T",
    "contiguous",
    "clone",
    "_to_copy",
    "to",
    "view",
    "reshape",
    "unsqueeze",
    "alias",
)


def _product(shape: torch.Size, weight: torch.Size, given: torch.Size) -> int:
    return math.prod(shape) * given[-1]


def _convolution(shape: torch.Size, weight: torch.Size, given: torch.Size) -> int:
    return math.prod(shape) * math.prod(weight[1:])


def _transposed(shape: torch.Size, weight: torch.Size, given: torch.Size) -> int:
    return math.prod(given) * math.prod(weight[1:])


COUNTED: dict[str, Callable[[torch.Size, torch.Size, torch.Size], int]] = {
    **dict.fromkeys(("linear", "addmm", "mm", "matmul", "bmm", "_int_mm"), _product),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution", "_convolution", "_convolution_mode"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed),
}  # fmt: skip
"""By operator: of the shapes of what it gives, its weight and what it reads."""
PRECISIONS = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}
RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")


class Counting(fx.Interpreter):
    """Runs a graph and keeps its `layers`; counts are of all examples that it is run on."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.layers: list[Layer] = []

    def run_node(self, n: fx.Node) -> Any:
        """What the node `n` gives; a layer with weights is kept."""
        result = super().run_node(n)
        kind = str(getattr(n.target, "__name__", n.target)).split(".")[0]
        if n.op == "call_function" and kind in (*COUNTED, *RECURRENT):
            weights = [one for one in n.all_input_nodes if _is_weight(one)]
            if kind in RECURRENT and weights:
                self.layers.append(Layer(n.name, kind, "fp32", None))
            elif wide := [one for one in weights if self.env[one].dim() > 1]:
                given = next(one for one in n.all_input_nodes if one not in weights)
                shapes = result.shape, self.env[wide[0]].shape, self.env[given].shape
                precision = "int8" if kind == "_int_mm" else PRECISIONS.get(result.dtype, str(result.dtype))
                self.layers.append(Layer(n.name, kind, precision, COUNTED[kind](*shapes)))
        return result


def _is_weight(node: fx.Node) -> bool:
    while node.op == "call_function" and node.all_input_nodes:
        if str(getattr(node.target, "__name__", "")).split(".")[0] not in MOVES:
            return False
        node = node.all_input_nodes[0]
    return node.op == "get_attr"


def layers(module: fx.GraphModule, inputs: tuple[torch.Tensor, ...], examples: int) -> list[Layer]:
    """In order, with multiply-accumulates of one example; None of a recurrent one. module: the graph; inputs: of so many `examples`."""
    counting = Counting(module)
    with torch.inference_mode():
        counting.run(*inputs)
    return [one if one.macs is None else one._replace(macs=one.macs // examples) for one in counting.layers]
