"""Operators that make one value of many: sums, means, the largest, soft maxima, running sums, sorting."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from edgecomp.onnx_import.operators.elementwise import settled
from edgecomp.onnx_import.values import Numbers, Operator, single, whole

Reduced = Callable[[torch.Tensor, list[int], bool], torch.Tensor]


def reduction(function: Reduced) -> Operator:
    """An operator that reduces axes. function: of a tensor, its axes, none of them negative, and whether they stay, 1 long."""

    def applied(
        x: torch.Tensor, axes: Numbers | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> torch.Tensor:
        named = [] if axes is None else whole(axes)
        if not named and noop_with_empty_axes:
            return function(x, [], bool(keepdims))
        return function(x, [axis % x.ndim for axis in named] or list(range(x.ndim)), bool(keepdims))

    return applied


def of_numbers(function: Callable[..., Any]) -> Operator:
    """The same of numbers. function: numpy's own."""

    def applied(x: Numbers, axes: Any = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Numbers:
        named = tuple(whole(np.asarray(axes))) if axes is not None else None
        if noop_with_empty_axes and not named:
            return x
        return settled(
            np.asarray(
                function(np.asarray(x, dtype=object), axis=named or None, keepdims=bool(keepdims)),
                dtype=object,
            )
        )

    return applied


def mean(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    """The mean of `x` over axes; keepdim: whether they stay, 1 long. With no axes, x."""
    return x.mean(axes, keepdim) if axes else x


def added(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    """The sum of `x` over axes, in its dtype; keepdim: whether they stay, 1 long. With no axes, x."""
    return x.sum(axes, keepdim).to(x.dtype) if axes else x


def largest(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    """The largest value of `x` over axes; keepdim: whether they stay, 1 long. With no axes, x."""
    return x.amax(axes, keepdim) if axes else x


def smallest(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    """The smallest value of `x` over axes; keepdim: whether they stay, 1 long. With no axes, x."""
    return x.amin(axes, keepdim) if axes else x


def multiplied(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    """The product of `x` over axes, in its dtype; keepdim: whether they stay, 1 long. With no axes, x."""
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim).to(x.dtype)
    return x


def l1(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    """Σ|x| of `x` over axes; keepdim: whether they stay, 1 long."""
    return added(x.abs(), axes, keepdim)


def l2(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    """√Σx² of `x` over axes; keepdim: whether they stay, 1 long."""
    return added(x * x, axes, keepdim).sqrt()


def log_sum(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    """log Σx of `x` over axes; keepdim: whether they stay, 1 long."""
    return added(x, axes, keepdim).log()


def log_sum_exp(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    """log Σeˣ of `x` over axes; keepdim: whether they stay, 1 long. With no axes, x."""
    return torch.logsumexp(x, axes, keepdim) if axes else x


def sum_square(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    """Σx² of `x` over axes; keepdim: whether they stay, 1 long."""
    return added(x * x, axes, keepdim)


def soft_maximum(function: Callable[..., torch.Tensor]) -> Operator:
    """Softmax or its logarithm: since operator set 13 over one axis, before it over all from one on.
    function: torch's, of a tensor and an axis."""

    def applied(x: torch.Tensor, axis: int | None = None, opset: int = 13) -> torch.Tensor:
        axis = (-1 if opset >= 13 else 1) if axis is None else axis
        if opset >= 13 or axis in (-1, x.ndim - 1):
            return function(x, axis)
        return function(x.flatten(axis), -1).reshape(x.shape)

    return applied


def arg_maximum(function: Callable[..., torch.Tensor]) -> Operator:
    """ArgMax or ArgMin. function: torch's, of a tensor, an axis, and whether it stays, 1 long."""

    def applied(
        x: torch.Tensor, axis: int = 0, keepdims: int = 1, select_last_index: int = 0
    ) -> torch.Tensor:
        if not select_last_index:
            return function(x, axis, bool(keepdims))
        return x.shape[axis] - 1 - function(x.flip(axis), axis, bool(keepdims))

    return applied


def cum_sum(x: torch.Tensor, axis: Numbers, exclusive: int = 0, reverse: int = 0) -> torch.Tensor:
    """CumSum of `x` along `axis`. exclusive: 1 where each place is without its own value; reverse: 1 from the
    end on."""
    at = int(single(axis))
    x = x.flip(at) if reverse else x
    found = x.cumsum(at).to(x.dtype)
    found = found - x if exclusive else found
    return found.flip(at) if reverse else found


def top_k(
    x: torch.Tensor,
    k: Numbers,
    axis: int = -1,
    largest: int = 1,
    sorted: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """TopK of `x`: the k values that are the largest along `axis`, or with `largest` 0 the smallest, and
    their places. sorted: 1 where they are in order."""
    found = torch.topk(x, single(k), axis, bool(largest), bool(sorted))
    return found.values, found.indices


def lp_normalization(x: torch.Tensor, axis: int = -1, p: int = 2) -> torch.Tensor:
    """LpNormalization of `x`: over its p-norm along `axis`."""
    return torch.nn.functional.normalize(x, p, axis)


def global_average(x: torch.Tensor) -> torch.Tensor:
    """GlobalAveragePool of `x`, [N, channels, ...]: its mean over all further axes, which stay, 1 long."""
    if x.ndim == 4:
        return torch.nn.functional.adaptive_avg_pool2d(x, 1)
    return x.mean(_places(x), keepdim=True)


def global_largest(x: torch.Tensor) -> torch.Tensor:
    """GlobalMaxPool of `x`, [N, channels, ...]: its largest value over all further axes, which stay, 1
    long."""
    return x.amax(_places(x), keepdim=True)


def _places(x: torch.Tensor) -> list[int]:
    return list(range(2, x.ndim))
