"""Inputs for a model of which nothing is known but its signature."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.errors import UsageError
from edgecomp.runtimes import Port
from edgecomp.targets import Shapes

Array = npt.NDArray[Any]

TOKENS = 100  # ids are under this: every vocabulary has so many


def rows_of(ports: Sequence[Port]) -> int | None:
    """How many examples the file takes at once: None where any number."""
    sizes = {port.shape[0] for port in ports if port.shape}
    fixed = {size for size in sizes if size is not None}
    return max(fixed) if fixed else None


def generate(ports: Sequence[Port], shapes: Shapes, *, count: int, seed: int) -> dict[str, Array]:
    """`count` examples: normal numbers, token ids, masks of ones. Raises UsageError where a port cannot be made up."""
    random = np.random.default_rng(seed)
    return {port.name: _values(port, _shape(port, shapes, count), random) for port in ports}


def _shape(port: Port, shapes: Shapes, count: int) -> tuple[int, ...]:
    if port.shape is None:
        raise UsageError(
            f"the file does not tell the shape of its input {port.name!r}: give examples with --inputs FILE.npz"
        )
    if not port.shape:
        raise UsageError(
            f"input {port.name!r} is a single number, without an axis of examples: this bench cannot feed it"
        )
    image = len(port.shape) == 4
    open_axis = shapes.image_size if image else shapes.sequence_length
    return (count, *(open_axis if size is None else size for size in port.shape[1:]))


def _values(port: Port, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    try:
        dtype = np.dtype(port.dtype)
    except TypeError:
        raise UsageError(f"input {port.name!r} is of {port.dtype}, which cannot be made up: give examples with --inputs FILE.npz"
                         ) from None  # fmt: skip
    if dtype.kind == "f":
        return random.standard_normal(shape).astype(dtype)
    if dtype.kind == "b" or "mask" in port.name:
        return np.ones(shape, dtype)
    if dtype.kind in "iu":
        return (
            np.zeros(shape, dtype) if "type" in port.name else random.integers(0, TOKENS, shape).astype(dtype)
        )
    raise UsageError(
        f"input {port.name!r} is of {port.dtype}, which cannot be made up: give examples with --inputs FILE.npz"
    )
