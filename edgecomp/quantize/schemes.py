"""Quantisation schemes: what a family of runtimes executes in integers. Read the tables, they are the rules."""

import operator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Grid:
    """Integers `low`..`high`; symmetric grids have zero point 0."""

    low: int
    high: int
    symmetric: bool


@dataclass(frozen=True)
class Scheme:
    """`activation` is per tensor; `weight` is per output channel.

    The weights' grid is narrow: folding batch normalisation negates channels with γ < 0, and -(-128) is no int8.
    """

    activation: Grid
    weight: Grid


SCHEMES = {
    # ONNX Runtime and OpenVINO on CPU: u8×s8 kernels. With signed symmetric activations ONNX Runtime left
    # 12 of 21 convolutions of a ResNet-20 in float.
    "cpu-u8": Scheme(activation=Grid(0, 255, symmetric=False), weight=Grid(-127, 127, symmetric=True)),
}

# What becomes of an operator:
#   weighted  integers in, integers out, and a quantised weight
#   integer   integers in and out: both runtimes need Q/DQ on every input and on the output, or leave the chain
#   same      moves or selects values: its output lies on its input's grid
#   fused     runs inside the operator before it, so the tensor between the two is never quantised
Rule = Literal["weighted", "integer", "same", "fused"]

MODULE_RULES: dict[type[nn.Module], Rule] = {
    nn.Conv2d: "weighted",
    nn.Linear: "weighted",
    nn.AdaptiveAvgPool2d: "integer",
    nn.AvgPool2d: "integer",
    nn.MaxPool2d: "same",
    nn.Flatten: "same",
    nn.Identity: "same",
    nn.Dropout: "same",
    nn.ReLU: "fused",
}

FUNCTION_RULES: dict[object, Rule] = {
    operator.add: "integer",
    torch.add: "integer",
    torch.flatten: "same",
    torch.relu: "fused",
    F.relu: "fused",
}
