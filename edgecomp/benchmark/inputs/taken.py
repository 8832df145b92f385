"""Examples as a model takes them: another type or shape, where that changes nothing."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError
from edgecomp.runtimes import Port

Values = npt.NDArray[Any]


def as_taken(file: Path, port: Port, values: Values) -> Values:
    """`values` [N, ...] in the type and the shape of the input `port`. Raises DataError, which names `file`,
    where a number would not be the same in that type; what cannot be of that shape or type comes back as
    it is."""
    return _shaped(port, _typed(file, port, values))


def _typed(file: Path, port: Port, values: Values) -> Values:
    numbers = "biuf"
    if port.dtype in (None, str(values.dtype)) or values.dtype.kind not in numbers:
        return values
    try:
        dtype = np.dtype(port.dtype)
    except TypeError:  # no type of numpy's: bfloat16, strings
        return values
    if dtype.kind not in numbers:
        return values
    with np.errstate(all="ignore"):
        cast = values.astype(dtype)
        other = cast.astype(values.dtype) != values
    if dtype.kind == values.dtype.kind == "f":
        other &= ~np.isnan(values)  # which is told of later
    if not other.any():
        return cast
    place = tuple(int(index) for index in np.argwhere(other)[0])
    raise DataError(f"{file}: {port.name} is of {values.dtype}, the model takes {port.dtype}, in which {int(other.sum()):,} of "
                    f"{values.size:,} numbers are others: {values[place].item()!r} of example {place[0]} (from 0) becomes "
                    f"{cast[place].item()!r}; if that is meant, write them as {port.dtype}: .astype({port.dtype!r})")  # fmt: skip


def _shaped(port: Port, values: Values) -> Values:
    """Flat lists as the nested ones that they are, and a number as a list of one; one axis may be free."""
    if port.shape is None or values.ndim in (0, len(port.shape)) or values.ndim > 2:
        return values
    inner, has = port.shape[1:], math.prod(values.shape[1:])
    fixed = math.prod(size for size in inner if size is not None)
    free = inner.count(None)
    if (free and (free > 1 or values.ndim == 1 or not fixed or has % fixed)) or (not free and has != fixed):
        return values
    return values.reshape(len(values), *(has // fixed if size is None else size for size in inner))
