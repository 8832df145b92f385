"""Quantisation schemes: which integers a family of runtimes computes with. What becomes of each operator stands in layers.py."""

from dataclasses import dataclass, replace

import torch

aten = torch.ops.aten


@dataclass(frozen=True)
class Grid:
    """Integers `low`..`high`; symmetric grids have zero point 0."""

    low: int
    high: int
    symmetric: bool


@dataclass(frozen=True)
class Scheme:
    """`activation` is per tensor; `weight` is per output channel, and so is `depthwise`, a depthwise convolution's; `table`, an embedding's, per column.
    `recurrent`: whether an LSTM's weights are rounded too.

    The weights' grid is narrow: folding batch normalisation negates channels with γ < 0, and -(-128) is no int8.
    """

    activation: Grid
    weight: Grid
    table: Grid = Grid(-127, 127, symmetric=True)
    depthwise: Grid = Grid(-127, 127, symmetric=True)
    recurrent: bool = True


INT8 = Grid(-127, 127, symmetric=True)

SCHEMES = {
    # ONNX Runtime and OpenVINO on CPU: u8×s8 kernels. With signed symmetric activations convolutions stay in float (docs/decisions/001).
    "cpu-u8": Scheme(activation=Grid(0, 255, symmetric=False), weight=INT8),
    # The same function on every CPU. On x86 without VNNI a kernel adds two u8×s8 products in 16 bits: 2·255·63 fits,
    # 2·255·127 saturates. The narrower weights cannot; a table's values are added to nothing, and a depthwise convolution's products in 32 bits
    # (docs/decisions/003).
    "cpu-u8-narrow": Scheme(activation=Grid(0, 255, symmetric=False), weight=Grid(-63, 63, symmetric=True)),
    # TensorRT, and ONNX Runtime on CUDA: s8×s8 kernels; a zero point other than 0 is refused.
    "gpu-s8": Scheme(activation=Grid(-128, 127, symmetric=True), weight=INT8, recurrent=False),
}


def scheme(name: str, weight_bits: int = 8, activation_bits: int = 8) -> Scheme:
    """The scheme of that `name`, with fewer bits where asked for.

    weight_bits: 4 are -7..7, 2 are -1..1 (ternary); activation_bits: 4 are 0..15, or -8..7 where the scheme's
    are signed.
    """
    found = SCHEMES[name]
    most = 2 ** (weight_bits - 1) - 1

    def fewer(grid: Grid) -> Grid:
        high = min(grid.high, most)
        return Grid(-high, high, symmetric=True)

    steps = 2**activation_bits
    low = -steps // 2 if found.activation.low < 0 else 0
    activation = replace(found.activation, low=low, high=min(found.activation.high, low + steps - 1))
    return replace(
        found,
        activation=activation,
        weight=fewer(found.weight),
        table=fewer(found.table),
        depthwise=fewer(found.depthwise),
    )
