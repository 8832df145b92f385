"""Convolutions whose gradients oneDNN spoils, written so that it does not.

Its 1×1 kernels copy the pixels that a stride leaves into a workspace. With channels last and fewer input channels than fit a
vector, 8 on AVX2 and 16 on AVX-512, they write behind its end wherever an image is taken in parts: a crash, a hang, or
wrong gradients (oneDNN 3.12, https://github.com/uxlfoundation/oneDNN/issues/6035; benchmarks/conv_gradients.py finds which).
Without a stride there is no copy: a 1×1 convolution of every second pixel is the same convolution.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

VECTOR = 16  # floats in the widest vector of any CPU: one rule for all, so that all of them compute alike

Steps = int | tuple[int, ...] | list[int]


def sound_gradients(network: nn.Module) -> AbstractContextManager[object]:
    """The context to train the network in: nothing, unless a weight of it could be of such a convolution.

    It reaches modules, functions and captured graphs alike, on the thread that enters it; a forward pass alone needs none.
    """
    weights = [*network.parameters(), *network.buffers()]
    return _WithoutStrides() if any(map(_narrow, weights)) else nullcontext()


class _WithoutStrides(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        written: Callable[..., Any] = INSTEAD.get(func, func)
        return written(*args, **(kwargs or {}))


def _convolution(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Steps = 1,
    padding: Steps | str = 0,
    dilation: Steps = 1,
    groups: int = 1,
) -> torch.Tensor:
    """torch.conv2d, of the pixels that the stride leaves where it is one to be spared."""
    down, across = _pair(stride)
    if down * across > 1 and groups == 1 and _narrow(weight) and padding in NONE:
        # As input[..., ::down, ::across], whose gradient would come back in the other layout, and be slow to add.
        return torch.conv2d(F.avg_pool2d(input, 1, (down, across)), weight, bias)
    return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)


def _transposed(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Steps = 1,
    padding: Steps = 0,
    output_padding: Steps = 0,
    groups: int = 1,
    dilation: Steps = 1,
) -> torch.Tensor:
    """torch.conv_transpose2d, whose weight's gradient is that of a convolution with input and output exchanged."""
    down, across = _pair(stride)
    if down * across == 1 or groups != 1 or not _narrow(weight) or padding not in NONE:
        return torch.conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)
    pixels = torch.conv_transpose2d(input, weight)
    below, beside = _pair(output_padding)
    height, width = pixels.shape[-2:]
    size = (*pixels.shape[:-2], (height - 1) * down + 1 + below, (width - 1) * across + 1 + beside)
    spread = pixels.new_zeros(size)
    spread[..., ::down, ::across] = pixels
    return spread if bias is None else spread + bias[:, None, None].to(spread.dtype)


NONE = (0, (0,), [0], (0, 0), [0, 0], "valid")

INSTEAD: dict[Any, Callable[..., torch.Tensor]] = {
    torch.conv2d: _convolution,
    torch.ops.aten.conv2d.default: _convolution,
    torch.ops.aten.conv2d.padding: _convolution,
    torch.conv_transpose2d: _transposed,
    torch.ops.aten.conv_transpose2d.input: _transposed,
}


def _narrow(weight: torch.Tensor) -> bool:
    """Whether it could be a 1×1 convolution's from, or a transposed one's to, fewer channels than fit a vector."""
    return weight.ndim == 4 and weight.shape[2:] == (1, 1) and weight.shape[1] < VECTOR


def _pair(steps: Steps) -> tuple[int, int]:
    both = (steps,) if isinstance(steps, int) else tuple(steps)
    return both[0], both[-1]
