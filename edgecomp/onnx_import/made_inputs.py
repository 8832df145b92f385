"""Inputs for a file of which nothing is known but its graph: what a conversion is checked on."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

Arrays = dict[str, npt.NDArray[Any]]

BATCHES = (2, 3)
SIDES = (
    ((64, 64), (96, 96)),
    ((48, 96), (48, 160)),
    ((32, 96), (32, 160)),
    ((224, 224), (256, 256)),
    ((320, 320), (352, 352)),
    ((28, 28), (32, 32)),
    ((512, 512), (640, 640)),
)
"""Heights and widths of pictures, at either shape: networks halve them up to five times, and some want one height."""
LENGTHS = ((8, 12), (64, 96), (512, 512), (576, 576), (256, 512), (1024, 2048), (16000, 32000))
"""Of all else, at either shape."""
IDS = 100
"""Whole numbers are under that, and under the number of rows of what they are looked up in; a mask's are 0 or 1."""

SAME = {"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}


def made(model: onnx.ModelProto, interface: Any, batches: bool) -> Iterator[tuple[Arrays, Arrays]]:
    """Two sets of inputs at two shapes, for each sizes of free axes that a network may want.

    model: whose inputs they are; interface: of the network; batches: whether the first axis is one of
    examples even where the file fixes it to 1.
    """
    below = _rows(model.graph)
    shapes = {value.name: _shape(value) for value in model.graph.input if value.name in interface.inputs}
    for sides, lengths in zip(SIDES, LENGTHS, strict=True):
        first, second = (
            {
                name: _values(
                    np.random.default_rng(place),
                    shape,
                    dtype,
                    below.get(name, 2 if "mask" in name.lower() else IDS),
                )
                for (name, dtype), shape in zip(
                    zip(interface.inputs, interface.dtypes, strict=True),
                    _sizes(shapes, interface, place, sides[place], lengths[place], batches),
                    strict=True,
                )
            }
            for place in (0, 1)
        )
        yield first, second


def _shape(value: Any) -> list[int | str]:
    """A length where it is fixed, else a name, which may be empty."""
    return [
        axis.dim_value if axis.dim_value > 0 else axis.dim_param for axis in value.type.tensor_type.shape.dim
    ]


def _sizes(
    shapes: dict[str, list[int | str]], interface: Any, place: int, sides: tuple[int, int],
    length: int, batches: bool,
) -> list[list[int]]:  # fmt: skip
    """By input: axes of one name have one size."""
    batch, found = BATCHES[place], []
    first = {shape[0] for shape in shapes.values() if shape and isinstance(shape[0], str)}
    for name in interface.inputs:
        shape, sizes = shapes[name], []
        for axis, size in enumerate(shape):
            if isinstance(size, int):
                sizes.append(batch if batches and axis == 0 and size == 1 else size)
            elif size in interface.fixed:
                sizes.append(interface.fixed[size])
            elif axis == 0 or (size and size in first):
                sizes.append(batch)
            else:
                sizes.append(sides[axis - 2] if len(shape) == 4 and axis > 1 else length)
        found.append(sizes)
    return found


def _values(chance: np.random.Generator, shape: list[int], dtype: str, below: int) -> npt.NDArray[Any]:
    if dtype == "bool":
        return chance.integers(0, 2, shape).astype(bool)
    if dtype.startswith("float"):
        return chance.normal(size=shape).astype(dtype)
    return chance.integers(0, max(1, min(below, IDS)), shape).astype(dtype)


def _rows(graph: Any) -> dict[str, int]:
    """By input, how many rows the smallest table has in which it is looked up as it is."""
    sizes = {table.name: tuple(table.dims) for table in graph.initializer if table.dims}
    source = {value.name: value.name for value in graph.input if value.name not in sizes}
    below: dict[str, int] = {}
    for node in graph.node:
        first = node.input[0] if node.input else ""
        if node.op_type in SAME and first in source:
            source[node.output[0]] = source[first]
        elif node.op_type == "Gather" and first in sizes and node.input[1] in source:
            axis = next((one.i for one in node.attribute if one.name == "axis"), 0)
            name, rows = source[node.input[1]], sizes[first][axis]
            below[name] = min(rows, below.get(name, rows))
    return below
