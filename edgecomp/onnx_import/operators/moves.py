"""Operators that pick, join or move values: slices, look-ups, padding, resizing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from edgecomp.onnx_import.operators.elementwise import settled
from edgecomp.onnx_import.values import Numbers, Value, numbers, single, sym_int, tensor, whole

FAR = 2**31 - 1


def concat(*inputs: Value, axis: int = 1) -> torch.Tensor:
    """Concat of the inputs along `axis`; one of them is a tensor."""
    some = next(one for one in inputs if isinstance(one, torch.Tensor))
    return torch.cat([tensor(one, some) for one in inputs], axis)


def concat_numbers(*inputs: Numbers, axis: int = 1) -> Numbers:
    """The same of numbers, the inputs, along `axis`."""
    return settled(np.concatenate([np.asarray(one, dtype=object) for one in inputs], axis))


def split(
    x: torch.Tensor, split: Numbers | None = None, axis: int = 0, num_outputs: int = 0, outputs: int = 1
) -> tuple[torch.Tensor, ...]:
    """Split of `x` along `axis`. split: the parts' sizes; None for equal ones, num_outputs of them, or as
    many as the node has outputs."""
    if split is not None:
        return torch.split(x, whole(split), axis)
    parts = num_outputs or outputs
    return torch.split(x, -(-x.shape[axis] // parts), axis)


def split_numbers(
    x: Numbers, split: Any = None, axis: int = 0, num_outputs: int = 0, outputs: int = 1
) -> tuple[Numbers, ...]:
    """The same of numbers, `x`, along `axis`. split: the parts' sizes; None for equal ones, num_outputs of
    them, or as many as the node has outputs."""
    step = -(-x.shape[axis] // (num_outputs or outputs))
    at = np.cumsum(whole(numbers(split)))[:-1] if split is not None else range(step, x.shape[axis], step)
    return tuple(np.split(x, at, axis))


def slice_(
    data: torch.Tensor,
    starts: Numbers,
    ends: Numbers,
    axes: Numbers | None = None,
    steps: Numbers | None = None,
) -> torch.Tensor:
    """Slice of the data, from starts to ends by steps, each [axes]; axes: which, None for the first ones;
    steps: None for 1."""
    for axis, start, end, step in _parts(data.ndim, starts, ends, axes, steps):
        if step > 0:
            data = data[
                (slice(None),) * axis + (slice(start, min(end, FAR) if isinstance(end, int) else end, step),)
            ]
        else:
            places = range(data.shape[axis])[slice(start, None if end <= -FAR else end, step)]
            data = data.index_select(axis, torch.tensor(list(places), device=data.device))
    return data


def slice_numbers(data: Numbers, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Numbers:
    """The same of numbers, the data: from starts to ends by steps, each [axes]; axes: which, None for the
    first ones; steps: None for 1."""
    given = [None if one is None else numbers(one) for one in (starts, ends, axes, steps)]
    for axis, start, end, step in _parts(data.ndim, *given):  # type: ignore[arg-type]  # starts and ends are always there
        stop = None if step < 0 and end <= -FAR else end
        data = data[(slice(None),) * axis + (slice(start, stop, step),)]
    return data


def _parts(
    rank: int, starts: Numbers, ends: Numbers, axes: Numbers | None, steps: Numbers | None
) -> list[tuple[int, Any, Any, int]]:
    count = starts.size
    places = [axis % rank for axis in whole(axes)] if axes is not None else list(range(count))
    return list(
        zip(
            places,
            whole(starts),
            whole(ends),
            whole(steps) if steps is not None else [1] * count,
            strict=True,
        )
    )


def gather(data: torch.Tensor, indices: Value, axis: int = 0) -> torch.Tensor:
    """Gather of the data at the indices along `axis`."""
    axis %= data.ndim
    if not isinstance(indices, torch.Tensor) and indices.ndim == 0:
        return data.select(axis, single(indices))
    return data[(slice(None),) * axis + (tensor(indices).to(data.device).long(),)]


def gather_numbers(data: Numbers, indices: Numbers, axis: int = 0) -> Numbers:
    """The same of numbers: of the data at the indices along `axis`."""
    return np.asarray(np.take(data, indices.astype(np.int64), axis))


def look_up(data: torch.Tensor, indices: torch.Tensor, axis: int = 0) -> torch.Tensor:
    """Rows of a table, the data, [rows, width], by ids, the indices, from 0 on. axis: 0."""
    return F.embedding(indices, data)


def gather_elements(data: torch.Tensor, indices: torch.Tensor, axis: int = 0) -> torch.Tensor:
    """GatherElements of the data: at each place, the value that the indices name along `axis`."""
    return torch.gather(data, axis, _counted_from_the_start(indices, data.shape[axis]))


def gather_nd(data: torch.Tensor, indices: torch.Tensor, batch_dims: int = 0) -> torch.Tensor:
    """GatherND of the data. indices: [..., axes], a place in the data each; batch_dims: how many first axes
    both have in common."""
    if batch_dims:
        data, rows = data.flatten(0, batch_dims - 1), indices.flatten(0, batch_dims - 1)
        row = torch.arange(rows.shape[0], device=data.device).reshape(-1, *[1] * (rows.ndim - 2))
        return data[(row.expand(rows.shape[:-1]), *rows.long().unbind(-1))].reshape(
            *indices.shape[:-1], *data.shape[1 + indices.shape[-1] :]
        )
    return data[tuple(indices.long().unbind(-1))]


def scatter_elements(
    data: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor, axis: int = 0, reduction: str = "none"
) -> torch.Tensor:
    """ScatterElements: the data with the updates at the indices along `axis`. reduction: `none`, or how what
    is there is reckoned with."""
    index = _counted_from_the_start(indices, data.shape[axis])
    if reduction == "none":
        return data.scatter(axis, index, updates)
    return data.scatter_reduce(axis, index, updates, REDUCED[reduction])


REDUCED = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def scatter_nd(
    data: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor, reduction: str = "none"
) -> torch.Tensor:
    """ScatterND: the data with the updates at the indices, [..., axes], a place in the data each. reduction:
    `none` or `add`; raises NotImplementedError for another."""
    if reduction not in ("none", "add"):
        raise NotImplementedError(f"reduction={reduction}")
    return data.index_put(tuple(indices.long().unbind(-1)), updates, accumulate=reduction == "add")


def _counted_from_the_start(indices: torch.Tensor, size: Any) -> torch.Tensor:
    indices = indices.long()
    return torch.where(indices < 0, indices + size, indices)


def one_hot(indices: torch.Tensor, depth: Numbers, values: torch.Tensor, axis: int = -1) -> torch.Tensor:
    """OneHot of the indices, with a new axis of `depth` at `axis`. values: [2], that of all others and that
    of the one."""
    count = int(single(depth))
    places = _counted_from_the_start(indices, count).unsqueeze(axis)
    shape = [1] * places.ndim
    shape[axis] = count
    hot = places == torch.arange(count, device=indices.device).reshape(shape)
    return torch.where(hot, values[1], values[0])


def trilu(x: torch.Tensor, k: Numbers | None = None, upper: int = 1) -> torch.Tensor:
    """Trilu: the upper triangle of the last two axes of `x`, or where `upper` is 0 the lower one. k: the
    diagonal that it begins at, None for 0."""
    return (torch.triu if upper else torch.tril)(x, 0 if k is None else int(single(k)))


MODES = {"edge": "replicate", "reflect": "reflect", "wrap": "circular"}


def pad(
    data: torch.Tensor, pads: Numbers, constant_value: Value | None = None, axes: Numbers | None = None,
    mode: str = "constant", value: float = 0.0,
) -> torch.Tensor:  # fmt: skip
    """Pad of the data. pads: before each axis, then after each; axes: which, None for all; mode: `constant`,
    `edge`, `reflect` or `wrap`; constant_value: None for `value`, which is what operator sets before 11 have
    for it."""
    amounts = whole(pads)
    half = len(amounts) // 2
    places = [axis % data.ndim for axis in whole(axes)] if axes is not None else list(range(half))
    by_axis = {axis: (amounts[place], amounts[half + place]) for place, axis in enumerate(places)}
    padded = [axis for axis, both in by_axis.items() if any(not isinstance(one, int) or one for one in both)]
    if not padded:
        return data
    first = min(padded)
    both = [amount for axis in range(data.ndim - 1, first - 1, -1) for amount in by_axis.get(axis, (0, 0))]
    if mode == "constant":
        filling = value if constant_value is None else single(numbers(constant_value))
        return F.pad(data, both, value=filling)
    batches = len(both) // 2 + 2 - data.ndim  # the exporter takes two axes before those that are padded
    for _ in range(batches):
        data = data.unsqueeze(0)
    return _squeezed(F.pad(data, both, mode=MODES[mode]), batches)


def _squeezed(x: torch.Tensor, times: int) -> torch.Tensor:
    for _ in range(times):
        x = x.squeeze(0)
    return x


def resize(
    x: torch.Tensor, roi: Value | None = None, scales: Numbers | None = None, sizes: Numbers | None = None,
    mode: str = "nearest", coordinate_transformation_mode: str = "half_pixel", nearest_mode: str = "round_prefer_floor",
    cubic_coeff_a: float = -0.75, antialias: int = 0, axes: Sequence[int] | None = None, exclude_outside: int = 0,
    extrapolation_value: float = 0.0, keep_aspect_ratio_policy: str = "stretch",
) -> torch.Tensor:  # fmt: skip
    """Resize of `x` by scales, or to sizes, a number an axis; axes: which, None for all. mode: `nearest`,
    `linear` or `cubic`; coordinate_transformation_mode, nearest_mode, cubic_coeff_a: as ONNX has them; roi,
    extrapolation_value: not read. Raises NotImplementedError for antialias, exclude_outside,
    tf_crop_and_resize and another keep_aspect_ratio_policy than `stretch`."""
    way = coordinate_transformation_mode
    if antialias or exclude_outside or keep_aspect_ratio_policy != "stretch" or way == "tf_crop_and_resize":
        raise NotImplementedError(
            "Resize with antialias, exclude_outside, a region of interest or a kept aspect ratio"
        )
    axes = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in axes]
    factors = (
        dict(zip(axes, np.ravel(scales).tolist(), strict=True)) if scales is not None and scales.size else {}
    )
    wanted = (
        {axis: _scaled(x.shape[axis], factor) for axis, factor in factors.items()}
        if factors
        else dict(zip(axes, whole(sizes if sizes is not None else np.zeros(0)), strict=True))
    )
    changed = [
        axis for axis in wanted if factors.get(axis, 0) != 1 and not _same(x.shape[axis], wanted[axis])
    ]
    if mode == "cubic":
        return _cubic(x, changed, wanted, factors, way, cubic_coeff_a)
    if fast := _by_torch(x, changed, wanted, factors, mode, way, nearest_mode):
        target, how, corners = fast
        return F.interpolate(x, target, mode=how, align_corners=corners)
    for axis in changed:
        factor = factors.get(axis) or wanted[axis] / x.shape[axis]
        at = _coordinates(x, axis, wanted[axis], factor, way)
        x = _nearest(x, axis, at, nearest_mode) if mode == "nearest" else _linear(x, axis, at)
    return x


def upsample(x: torch.Tensor, scales: Numbers, mode: str = "nearest") -> torch.Tensor:
    """Upsample of `x` by scales, a number an axis: the operator that was before Resize. mode: `nearest` or
    `linear`."""
    return resize(
        x, None, scales, mode=mode, coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, int) and isinstance(other, int) and one == other


def _scaled(size: Any, factor: float) -> Any:
    return size * int(factor) if float(factor).is_integer() else sym_int(size * factor + 1e-6)


def _by_torch(
    x: torch.Tensor,
    changed: list[int],
    wanted: dict[int, Any],
    factors: dict[int, float],
    mode: str,
    way: str,
    rounding: str,
) -> tuple[list[Any], str, bool | None] | None:
    """Size, mode and whether corners are aligned, where torch has an operator for it."""
    if not changed or not 3 <= x.ndim <= 4 or min(changed) < 2 or (mode == "linear" and x.ndim > 4):
        return None
    target = [wanted.get(axis, x.shape[axis]) for axis in range(2, x.ndim)]
    times = [factors.get(axis) or _times(wanted[axis], x.shape[axis]) for axis in changed]
    grows = all(one is not None and float(one).is_integer() and one >= 1 for one in times)
    exact = {
        ("asymmetric", "floor"),
        ("half_pixel", "round_prefer_floor"),
        ("pytorch_half_pixel", "round_prefer_floor"),
    }
    if mode == "nearest":
        return (target, "nearest", None) if grows and (way, rounding) in exact else None
    how = {3: "linear", 4: "bilinear"}[x.ndim]
    if way == "align_corners":
        return (target, how, True) if grows or not factors else None
    return (target, how, False) if way in ("half_pixel", "pytorch_half_pixel") and grows else None


def _times(wanted: Any, size: Any) -> float | None:
    whole_number = isinstance(wanted, int) and isinstance(size, int) and wanted % size == 0
    return wanted / size if whole_number else None


def _coordinates(x: torch.Tensor, axis: int, count: Any, factor: Any, way: str) -> torch.Tensor:
    """Where each new value lies among the old ones."""
    size = x.shape[axis]
    at = torch.arange(count, dtype=torch.float32, device=x.device)
    if way == "align_corners":
        between: torch.Tensor = at * ((size - 1) / (factor * size - 1)) if factor * size != 1 else at * 0
        return between
    if way == "pytorch_half_pixel" and isinstance(count, int) and count == 1:
        return at * 0
    found: torch.Tensor = at / factor if way == "asymmetric" else (at + 0.5) / factor - 0.5
    if way == "half_pixel_symmetric":
        found = found + size / 2 * (1 - count / (factor * size))
    return found


def _nearest(x: torch.Tensor, axis: int, at: torch.Tensor, rounding: str) -> torch.Tensor:
    rounded = {
        "floor": lambda: at.floor(),
        "ceil": lambda: at.ceil(),
        "round_prefer_floor": lambda: (at - 0.5).ceil(),
        "round_prefer_ceil": lambda: (at + 0.5).floor(),
    }[rounding]()
    return x.index_select(axis, rounded.long().clamp(0, x.shape[axis] - 1))


def _linear(x: torch.Tensor, axis: int, at: torch.Tensor) -> torch.Tensor:
    last = x.shape[axis] - 1
    at = at.clamp(0, last)
    low = at.floor()
    share = (at - low).reshape(-1, *[1] * (x.ndim - 1 - axis))
    below, above = (x.index_select(axis, one.long().clamp(0, last)) for one in (low, low + 1))
    return below + (above - below) * share


def _cubic(
    x: torch.Tensor, changed: list[int], wanted: dict[int, Any], factors: dict[int, float], way: str, a: float
) -> torch.Tensor:
    aligned = way == "align_corners"
    broken = aligned and any(not float(factor).is_integer() for factor in factors.values())
    if (
        broken
        or x.ndim != 4
        or (changed and min(changed) < 2)
        or a != -0.75
        or way not in ("half_pixel", "align_corners")
    ):
        raise NotImplementedError(f"a cubic Resize with {way}, cubic_coeff_a={a}, of {x.ndim} axes")
    if factors and not aligned:
        return F.interpolate(
            x, scale_factor=[factors.get(axis, 1.0) for axis in (2, 3)], mode="bicubic", align_corners=False
        )
    return F.interpolate(
        x, [wanted.get(axis, x.shape[axis]) for axis in (2, 3)], mode="bicubic", align_corners=aligned
    )


GRIDS = {"linear": "bilinear", "cubic": "bicubic"}


def grid_sample(
    x: torch.Tensor,
    grid: torch.Tensor,
    mode: str = "linear",
    padding_mode: str = "zeros",
    align_corners: int = 0,
) -> torch.Tensor:
    """GridSample of `x`, [N, channels, ...], at the places of `grid`, [N, ..., axes], from -1 to 1. mode:
    `linear`, `nearest` or `cubic`, or their older names; padding_mode: `zeros`, `border` or `reflection`;
    align_corners: 1 where -1 and 1 are the middles of the outermost values."""
    return F.grid_sample(x, grid, GRIDS.get(mode, mode), padding_mode, bool(align_corners))
