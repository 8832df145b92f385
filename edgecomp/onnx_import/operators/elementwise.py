"""Operators on each value by itself: arithmetic, comparisons, activations, casts."""

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from edgecomp.onnx_import.values import (
    DTYPES,
    SYMBOLIC,
    Numbers,
    Operator,
    Value,
    numbers,
    operand,
    sym_float,
    sym_int,
    tensor,
)


def binary(function: Callable[[Any, Any], torch.Tensor]) -> Operator:
    """An operator of two values, either of which may be numbers. function: of two tensors, or of one and a number."""

    def applied(a: Value, b: Value) -> torch.Tensor:
        if isinstance(a, torch.Tensor):
            return function(a, operand(b, a))
        if isinstance(b, torch.Tensor):
            return function(operand(a, b), b)
        return function(tensor(a), tensor(b))

    return applied


def on_each(function: Callable[..., Any]) -> Operator:
    """An operator on numbers. function: of Python's numbers, or torch's symbolic ones."""

    def applied(*values: Numbers) -> Numbers:
        arrays = np.broadcast_arrays(*(np.asarray(one, dtype=object) for one in values))
        found = np.empty(arrays[0].shape, dtype=object)
        for place in np.ndindex(found.shape):
            found[place] = function(*(one[place] for one in arrays))
        return settled(found)

    return applied


def settled(found: Numbers) -> Numbers:
    """What was found, objects, as an array of numbers, where none is symbolic."""
    return found if any(isinstance(one, SYMBOLIC) for one in found.flat) else numbers(found.tolist())


def _float(value: Any) -> bool:
    return isinstance(value, float | torch.SymFloat)


def divided(a: Any, b: Any) -> Any:
    """a / b, cut off towards zero where both are whole numbers."""
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        some = a if isinstance(a, torch.Tensor) else b
        whole = not some.is_floating_point() and not _float(a) and not _float(b)
        return torch.div(a, b, rounding_mode="trunc") if whole else a / b
    if _float(a) or _float(b):
        return a / b
    return a // b if isinstance(a, SYMBOLIC) or isinstance(b, SYMBOLIC) or (a < 0) == (b < 0) else -(-a // b)


def rounded_down(value: Any) -> Any:
    """The largest whole number that is not above `value`, as a float; of a free size as well."""
    return sym_float(math.floor(value))


def rounded_up(value: Any) -> Any:
    """The smallest whole number that is not below `value`, as a float; of a free size as well."""
    return sym_float(math.ceil(value))


def power(a: torch.Tensor, b: Value) -> torch.Tensor:
    """Pow: `a` to the power of `b`, in the dtype of `a`."""
    exponent = operand(b, a) if not isinstance(b, torch.Tensor) or b.dtype != a.dtype else b
    return torch.pow(a, exponent).to(a.dtype)


def mod(a: Value, b: Value, fmod: int = 0) -> torch.Tensor:
    """Mod: what is left of `a` over `b`, with the sign of b, or where fmod is 1 with that of a."""
    left: torch.Tensor = binary(torch.fmod if fmod else torch.remainder)(a, b)
    return left


def greatest(*values: Value) -> Value:
    """Max: the largest of the values, place by place."""
    return functools.reduce(binary(_bounded(torch.maximum, "min")), values)


def least(*values: Value) -> Value:
    """Min: the smallest of the values, place by place."""
    return functools.reduce(binary(_bounded(torch.minimum, "max")), values)


def _bounded(function: Callable[..., torch.Tensor], bound: str) -> Callable[[Any, Any], Any]:
    def applied(a: Any, b: Any) -> torch.Tensor:
        if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
            return function(a, b)
        x, number = (a, b) if isinstance(a, torch.Tensor) else (b, a)
        return torch.clamp(x, **{bound: number})

    return applied


def total(*values: Value) -> Value:
    """Sum of the values, place by place."""
    return functools.reduce(binary(operator.add), values)


def average(*values: Value) -> Value:
    """Mean of the values, place by place."""
    return total(*values) / len(values)


def clip(x: torch.Tensor, min: Value | None = None, max: Value | None = None) -> torch.Tensor:
    """Clip: `x` held between min and max, each a single value, or None for no bound."""
    low, high = (
        None if one is None else operand(one, x) for one in (numbers_or_tensor(min), numbers_or_tensor(max))
    )
    if low is None and high is None:
        return x
    if isinstance(low, torch.Tensor) or isinstance(high, torch.Tensor):
        x = (
            x
            if low is None
            else torch.maximum(x, low if isinstance(low, torch.Tensor) else x.new_tensor(low))
        )
        return (
            x
            if high is None
            else torch.minimum(x, high if isinstance(high, torch.Tensor) else x.new_tensor(high))
        )
    if low == 0 and high is not None and x.is_floating_point():
        return F.hardtanh(x, 0.0, float(high))
    return torch.clamp(x, low, high)


def numbers_or_tensor(value: Any) -> Any:
    """A value that is an attribute of an old operator set, or an input of a new one: as numbers, unless it is
    a tensor or None."""
    return value if value is None or isinstance(value, torch.Tensor) else numbers(value)


def where(condition: torch.Tensor, x: Value, y: Value) -> torch.Tensor:
    """Where: of `x` where the condition holds, else of `y`."""
    some = x if isinstance(x, torch.Tensor) else y if isinstance(y, torch.Tensor) else None
    return torch.where(condition.bool(), tensor(x, some), tensor(y, some))


def where_numbers(condition: Numbers, x: Numbers, y: Numbers) -> Numbers:
    """The same of numbers: of `x` where the condition holds, else of `y`."""
    chosen: Numbers = on_each(lambda holds, a, b: a if holds else b)(condition, x, y)
    return chosen


def cast(x: torch.Tensor, to: int, saturate: int = 1, round_mode: str = "up") -> torch.Tensor:
    """Cast of `x`. to: ONNX's number of the dtype; saturate, round_mode: not read, for they are of float8."""
    return x.to(DTYPES[to])


def cast_numbers(x: Numbers, to: int, saturate: int = 1, round_mode: str = "up") -> Numbers:
    """The same of numbers, `x`. to: ONNX's number of the dtype; saturate, round_mode: not read, for they are
    of float8."""
    kind = DTYPES[to]
    to_kind = (
        sym_float if kind.is_floating_point else (lambda one: one != 0) if kind is torch.bool else sym_int
    )
    found: Numbers = on_each(to_kind)(x)
    return found


def cast_like(x: torch.Tensor, like: torch.Tensor, saturate: int = 1, round_mode: str = "up") -> torch.Tensor:
    """CastLike: `x` in the dtype of `like`; saturate, round_mode: not read, for they are of float8."""
    return x.to(like.dtype)


def identity(x: Value) -> Value:
    """Identity: `x`."""
    return x


def dropout(
    data: Value,
    ratio: Value | None = None,
    training_mode: Value | None = None,
    seed: int = 0,
    is_test: int = 1,
) -> Value:
    """Dropout at inference, which is all that a file is read for: the data; ratio, training_mode, seed,
    is_test: not read."""
    return data


def gelu(x: torch.Tensor, approximate: str = "none") -> torch.Tensor:
    """Gelu of `x`. approximate: `none` or `tanh`."""
    return F.gelu(x, approximate=approximate)


def leaky_relu(x: torch.Tensor, alpha: float = 0.01) -> torch.Tensor:
    """LeakyRelu of `x`; alpha: the slope below 0."""
    return F.leaky_relu(x, alpha)


def elu(x: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
    """Elu of `x`: below 0, alpha · (eˣ − 1)."""
    return F.elu(x, alpha)


def celu(x: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
    """Celu of `x`: below 0, alpha · (e^(x / alpha) − 1)."""
    return F.celu(x, alpha)


def selu(
    x: torch.Tensor, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875
) -> torch.Tensor:
    """Selu of `x`: gamma · x, and below 0, gamma · alpha · (eˣ − 1)."""
    return gamma * (x.clamp(min=0) + (alpha * (x.clamp(max=0).exp() - 1)))


def prelu(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """PRelu of `x`, [N, channels, ...]. slope: that below 0: one number, one a channel, or of any shape that
    fits by broadcasting."""
    if slope.numel() == 1 or (slope.ndim == x.ndim - 1 and slope.numel() == slope.shape[0]):
        return F.prelu(x, slope.reshape(-1))
    return torch.where(x < 0, x * slope, x)


def thresholded_relu(x: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
    """ThresholdedRelu: `x` where it is above alpha, else 0."""
    return torch.where(x > alpha, x, torch.zeros_like(x))


def shrink(x: torch.Tensor, bias: float = 0.0, lambd: float = 0.5) -> torch.Tensor:
    """Shrink: `x` nearer to 0 by `bias`, and 0 where it is between −lambd and lambd."""
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, torch.zeros_like(x)))


def hard_sigmoid(x: torch.Tensor, alpha: float = 0.2, beta: float = 0.5) -> torch.Tensor:
    """HardSigmoid: alpha · x + beta, held between 0 and 1."""
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return F.hardsigmoid(x)
    return torch.clamp(alpha * x + beta, 0.0, 1.0)


def swish(x: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
    """Swish: `x` by the sigmoid of alpha · x."""
    return F.silu(x) if alpha == 1 else x * torch.sigmoid(alpha * x)


def softplus(x: torch.Tensor) -> torch.Tensor:
    """Softplus of `x`: log(1 + eˣ)."""
    return F.softplus(x)


def is_inf(x: torch.Tensor, detect_negative: int = 1, detect_positive: int = 1) -> torch.Tensor:
    """IsInf: whether `x` is infinite, place by place; detect_negative, detect_positive: 0 where that sign
    does not count."""
    found = torch.zeros_like(x, dtype=torch.bool)
    found = found | (x == math.inf) if detect_positive else found
    return found | (x == -math.inf) if detect_negative else found
