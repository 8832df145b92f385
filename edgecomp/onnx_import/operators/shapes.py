"""Operators that ask for a shape, or give values another one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from edgecomp.onnx_import.operators.elementwise import settled
from edgecomp.onnx_import.values import Numbers, Value, numbers, product, single, tensor, whole

FEW = 64  # values that are numbers still where their shape is one that is known


def shape(x: Value, start: int = 0, end: int | None = None) -> Numbers:
    """Shape of `x`, [axes], of those from `start` to `end`, None for the last one too."""
    return settled(np.array(list(x.shape)[start:end], dtype=object))


def size(x: Value) -> Numbers:
    """Size: how many values `x` has."""
    return settled(np.array(product(x.shape), dtype=object))


def reshape(data: torch.Tensor, shape: Numbers, allowzero: int = 0) -> torch.Tensor:
    """Reshape of the data. shape: -1 is what is left, and 0 is the data's own axis, unless allowzero is 1."""
    return data.reshape(_sizes(data, shape, allowzero))


def reshape_numbers(data: Numbers, shape: Any, allowzero: int = 0) -> Numbers:
    """The same of numbers, the data. shape: -1 is what is left, and 0 is the data's own axis, unless
    allowzero is 1."""
    return data.reshape(_sizes(data, numbers(shape), allowzero))


def _sizes(data: Value, shape: Numbers, allowzero: int) -> list[Any]:
    kept = [not allowzero and isinstance(one, int) and one == 0 for one in whole(shape)]
    return [
        data.shape[place] if same else one
        for place, (one, same) in enumerate(zip(whole(shape), kept, strict=True))
    ]


def flatten(x: torch.Tensor, axis: int = 1) -> torch.Tensor:
    """Flatten of `x` to two axes: all before `axis`, and all from it on."""
    axis = axis + x.ndim if axis < 0 else axis
    if axis == 0:
        return x.reshape(1, -1)
    rows = x if axis == 1 else x.flatten(0, axis - 1)
    return rows.flatten(1) if rows.ndim > 1 else rows.unsqueeze(1)


def squeeze(data: torch.Tensor, axes: Numbers | None = None) -> torch.Tensor:
    """Squeeze: the data without these axes, which are 1 long; None for all that are."""
    if axes is None:
        return data.squeeze()
    places = sorted((axis % data.ndim for axis in whole(axes)), reverse=True)
    for axis in places:
        data = data.squeeze(axis)
    return data


def squeeze_numbers(data: Numbers, axes: Any = None) -> Numbers:
    """The same of numbers: the data without these axes, which are 1 long; None for all that are."""
    return np.squeeze(data, None if axes is None else tuple(whole(numbers(axes))))


def unsqueeze(data: torch.Tensor, axes: Numbers) -> torch.Tensor:
    """Unsqueeze: the data with new axes, 1 long, where the result has these."""
    rank = data.ndim + axes.size
    for axis in sorted(axis % rank for axis in whole(axes)):
        data = data.unsqueeze(axis)
    return data


def unsqueeze_numbers(data: Numbers, axes: Any) -> Numbers:
    """The same of numbers: the data with new axes, 1 long, where the result has these."""
    return np.expand_dims(data, tuple(whole(numbers(axes))))


def transpose(data: torch.Tensor, perm: Sequence[int] | None = None) -> torch.Tensor:
    """Transpose of the data. perm: the axes in their new order, None for the reverse."""
    order = list(perm) if perm is not None else list(range(data.ndim))[::-1]
    moved = [place for place, axis in enumerate(order) if place != axis]
    return data.transpose(*moved) if len(moved) == 2 else data.permute(order)


def transpose_numbers(data: Numbers, perm: Sequence[int] | None = None) -> Numbers:
    """The same of numbers, the data. perm: the axes in their new order, None for the reverse."""
    return np.transpose(data, perm)


def expand(x: torch.Tensor, shape: Numbers) -> torch.Tensor:
    """Expand: `x` broadcast together with `shape`."""
    wanted = whole(shape)
    return x.expand(_broadcast([*x.shape], wanted))


def expand_numbers(x: Numbers, shape: Any) -> Value:
    """The same of numbers: `x` broadcast together with `shape`; a tensor where they are many, or an axis is
    free."""
    wanted = whole(numbers(shape))
    known = all(isinstance(one, int) for one in wanted)
    if known and product(wanted) <= FEW:
        return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(wanted)))
    return expand(tensor(x), numbers(shape))


def _broadcast(own: list[Any], wanted: list[Any]) -> list[Any]:
    """-1 where an axis keeps its size."""
    longer = max(len(own), len(wanted))
    own, wanted = ([1] * (longer - len(one)) + one for one in (own, wanted))
    return [b if isinstance(a, int) and a == 1 else a for a, b in zip(own, wanted, strict=True)]


def tile(x: torch.Tensor, repeats: Numbers) -> torch.Tensor:
    """Tile: `x` so many times along each axis, the repeats."""
    return x.repeat(whole(repeats))


def tile_numbers(x: Numbers, repeats: Any) -> Numbers:
    """The same of numbers: `x` so many times along each axis, the repeats."""
    return np.tile(x, whole(numbers(repeats)))


def constant_of_shape(shape: Numbers, value: Any = 0.0) -> Value:
    """ConstantOfShape: numbers where the shape is of few, else a tensor. value: the number that all are."""
    filling = single(numbers(value))
    sizes = whole(shape)
    if len(sizes) <= 1 and all(isinstance(one, int) for one in sizes) and product(sizes) <= FEW:
        return np.full(sizes, filling)
    kind = {bool: torch.bool, int: torch.int64}.get(type(filling), torch.float32)
    return torch.full(sizes, filling, dtype=kind)


def counted(start: Value, limit: Value, delta: Value) -> torch.Tensor:
    """Range: from start to limit, which is not reached, by delta, as int64, or float32 where one is a
    float."""
    bounds = [single(numbers(one)) for one in (start, limit, delta)]
    kind = torch.float32 if any(isinstance(one, float | torch.SymFloat) for one in bounds) else torch.int64
    return torch.arange(*bounds, dtype=kind)


def eye_like(x: torch.Tensor, dtype: int | None = None, k: int = 0) -> torch.Tensor:
    """EyeLike: of the shape of `x`, [rows, columns], 1 on a diagonal and else 0. dtype: ONNX's number, None
    for that of x; k: which diagonal, above the main one."""
    from edgecomp.onnx_import.values import DTYPES

    kind = x.dtype if dtype is None else DTYPES[dtype]
    rows, columns = (torch.arange(size, device=x.device) for size in x.shape)
    return (rows[:, None] + k == columns[None, :]).to(kind)


def depth_to_space(x: torch.Tensor, blocksize: int, mode: str = "DCR") -> torch.Tensor:
    """DepthToSpace of `x`, [N, channels, height, width], in squares of blocksize. mode: `DCR` or `CRD`, in
    which order the channels are read."""
    if mode == "CRD":
        return torch.pixel_shuffle(x, blocksize)
    n, c, h, w = x.shape
    parts = x.reshape(n, blocksize, blocksize, c // blocksize**2, h, w)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(n, c // blocksize**2, h * blocksize, w * blocksize)


def space_to_depth(x: torch.Tensor, blocksize: int, mode: str = "DCR") -> torch.Tensor:
    """SpaceToDepth of `x`, [N, channels, height, width], in squares of blocksize. mode: `DCR` or `CRD`, in
    which order the channels are written."""
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // blocksize, blocksize, w // blocksize, blocksize)
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return parts.permute(order).reshape(n, c * blocksize**2, h // blocksize, w // blocksize)
