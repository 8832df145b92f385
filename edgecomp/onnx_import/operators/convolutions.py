"""Convolutions and pools over any number of axes."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from edgecomp.onnx_import.values import larger

Operator = Callable[..., torch.Tensor]

CONVOLUTIONS: dict[int, Operator] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED: dict[int, Operator] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAXIMA: dict[int, Operator] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGES: dict[int, Operator] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def conv(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None, group: int = 1, kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None, strides: Sequence[int] | None = None,
) -> torch.Tensor:  # fmt: skip
    """Conv of `x`, [N, channels, ...]. weight: [out, channels / group, ...]; bias: [out]; auto_pad,
    dilations, pads, strides: as ONNX has them, pads before each axis and then after each; kernel_shape: not
    read, for the weight has it."""
    axes = x.ndim - 2
    kernel = [int(size) for size in weight.shape[2:]]
    steps, gaps = _each(strides, axes), _each(dilations, axes)
    before, after = _padding(x, kernel, steps, gaps, auto_pad, pads, ceil=False)
    if before != after:
        x, before = F.pad(x, _pairs(before, after)), [0] * axes
    return CONVOLUTIONS[axes](x, weight, bias, steps, before, gaps, group)


def conv_transpose(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None, group: int = 1, kernel_shape: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None, output_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None, strides: Sequence[int] | None = None,
) -> torch.Tensor:  # fmt: skip
    """ConvTranspose of `x`, [N, channels, ...]. weight: [channels, out / group, ...]; bias: [out]; auto_pad,
    dilations, pads, strides: as ONNX has them, pads before each axis and then after each; output_padding:
    added after each axis; output_shape: of the axes, from which pads follow; kernel_shape: not read, for the
    weight has it."""
    axes = x.ndim - 2
    kernel = [int(size) for size in weight.shape[2:]]
    steps, gaps, more = _each(strides, axes), _each(dilations, axes), list(output_padding or [0] * axes)
    before, after = list((pads or [0] * 2 * axes)[:axes]), list((pads or [0] * 2 * axes)[axes:])
    if output_shape or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        wanted = list(output_shape or [])[-axes:] or [
            size * step for size, step in zip(x.shape[2:], steps, strict=True)
        ]
        full = [
            (size - 1) * step + extra + (k - 1) * gap + 1
            for size, step, extra, k, gap in zip(x.shape[2:], steps, more, kernel, gaps, strict=True)
        ]
        cut = [have - want for have, want in zip(full, wanted, strict=True)]
        less = [one // 2 for one in cut]
        rest = [one - half for one, half in zip(cut, less, strict=True)]
        before, after = (less, rest) if auto_pad == "SAME_UPPER" else (rest, less)
    if before == after and all(
        extra < max(step, gap) for extra, step, gap in zip(more, steps, gaps, strict=True)
    ):
        return TRANSPOSED[axes](x, weight, bias, steps, before, more, group, gaps)
    whole = TRANSPOSED[axes](x, weight, bias, steps, 0, 0, group, gaps)
    return F.pad(
        whole, _pairs([-one for one in before], [extra - one for extra, one in zip(more, after, strict=True)])
    )


def max_pool(
    x: torch.Tensor, kernel_shape: Sequence[int], auto_pad: str = "NOTSET", ceil_mode: int = 0,
    dilations: Sequence[int] | None = None, pads: Sequence[int] | None = None, storage_order: int = 0,
    strides: Sequence[int] | None = None,
) -> torch.Tensor:  # fmt: skip
    """MaxPool of `x`, [N, channels, ...], over windows of kernel_shape. auto_pad, dilations, pads, strides:
    as ONNX has them; ceil_mode: 1 for windows that reach over the end; storage_order: not read, it is of
    indices, which are not given."""
    axes = len(kernel_shape)
    steps, gaps = _each(strides, axes), _each(dilations, axes)
    before, after = _padding(x, kernel_shape, steps, gaps, auto_pad, pads, bool(ceil_mode))
    if before != after or any(pad > size // 2 for pad, size in zip(before, kernel_shape, strict=True)):
        x, before = F.pad(x, _pairs(before, after), value=float("-inf")), [0] * axes
    return MAXIMA[axes](x, list(kernel_shape), steps, before, gaps, bool(ceil_mode))


def average_pool(
    x: torch.Tensor, kernel_shape: Sequence[int], auto_pad: str = "NOTSET", ceil_mode: int = 0,
    count_include_pad: int = 0, dilations: Sequence[int] | None = None, pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> torch.Tensor:  # fmt: skip
    """AveragePool of `x`, [N, channels, ...], over windows of kernel_shape. auto_pad, pads, strides: as ONNX
    has them; ceil_mode: 1 for windows that reach over the end; count_include_pad: 1 where padding counts as
    values. Raises NotImplementedError for dilations."""
    axes = len(kernel_shape)
    steps, gaps = _each(strides, axes), _each(dilations, axes)
    if any(gap != 1 for gap in gaps):
        raise NotImplementedError("AveragePool with dilations")
    before, after = _padding(x, kernel_shape, steps, gaps, auto_pad, pads, bool(ceil_mode))
    pool, kernel, ceil = AVERAGES[axes], list(kernel_shape), bool(ceil_mode)
    if before == after and all(pad <= size // 2 for pad, size in zip(before, kernel_shape, strict=True)):
        return pool(x, kernel, steps, before, ceil, bool(count_include_pad))
    padded = F.pad(x, _pairs(before, after))
    if count_include_pad:
        return pool(padded, kernel, steps, 0, ceil)
    counted = F.pad(torch.ones_like(x[:1, :1]), _pairs(before, after))
    return pool(padded, kernel, steps, 0, ceil) / pool(counted, kernel, steps, 0, ceil)


def lp_pool(
    x: torch.Tensor, kernel_shape: Sequence[int], auto_pad: str = "NOTSET", ceil_mode: int = 0,
    dilations: Sequence[int] | None = None, p: int = 2, pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> torch.Tensor:  # fmt: skip
    """LpPool of `x`, [N, channels, ...]: the p-norm of each window of kernel_shape. auto_pad, ceil_mode,
    dilations, pads, strides: as in `average_pool`."""
    if ceil_mode:  # torch divides a window that reaches past the end by less than its size
        raise NotImplementedError("LpPool with ceil_mode")
    raised = average_pool(x.abs() ** p, kernel_shape, auto_pad, ceil_mode, 1, dilations, pads, strides)
    count = 1
    for size in kernel_shape:
        count *= size
    return (raised * count) ** (1 / p)


def _each(values: Sequence[int] | None, axes: int) -> list[int]:
    return list(values or [1] * axes)


def _pairs(before: Sequence[Any], after: Sequence[Any]) -> list[Any]:
    """As F.pad takes them: the last axis first."""
    return [one for both in reversed(list(zip(before, after, strict=True))) for one in both]


def _padding(
    x: torch.Tensor, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], auto_pad: str,
    pads: Sequence[int] | None, ceil: bool,
) -> tuple[list[Any], list[Any]]:  # fmt: skip
    """What is added before and after each axis."""
    axes = len(kernel)
    if auto_pad in ("NOTSET", ""):
        both = list(pads or [0] * 2 * axes)
        return both[:axes], both[axes:]
    if auto_pad == "VALID":
        return [0] * axes, [0] * axes
    added = []
    for size, window, step, gap in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        reach = (window - 1) * gap + 1
        steps = (size + step - 1) // step
        added.append(reach - 1 if step == 1 else larger((steps - 1) * step + reach - size, 0))
    less = [one // 2 for one in added]
    more = [one - half for one, half in zip(added, less, strict=True)]
    return (less, more) if auto_pad == "SAME_UPPER" else (more, less)
