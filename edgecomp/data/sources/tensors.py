"""What a network takes as it is: arrays by its inputs' names, of the types and shapes that it declares."""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError

RESERVED = ("labels", "slices")  # what a split's file calls what is no input
DECLARED = re.compile(r"(bool|u?int(?:8|16|32|64)|float(?:32|64))(?:\[((?:\d+|\?)(?:, *(?:\d+|\?))*)?\])?")


class Declared(NamedTuple):
    """A type, and the shape of an example, None for a free axis."""

    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join('?' if size is None else str(size) for size in self.shape)}]"


def declared(text: str, name: str) -> Declared:
    """What `text`, such as `float32[3, ?, ?]`, says of the input `name`. Raises DataError."""
    found = DECLARED.fullmatch(text)
    if found is None:
        raise DataError(f"data.tensors.{name}: {text!r} is no type and shape of an example: write `float32[3, 32, 32]`, `int64[?]` for any "
                        "length, `float32` for one number")  # fmt: skip
    sizes = [one.strip() for one in (found[2] or "").split(",") if one.strip()]
    return Declared(found[1], tuple(None if size == "?" else int(size) for size in sizes))


def fitted(
    arrays: Mapping[str, npt.NDArray[Any]], wanted: Mapping[str, str], where: str
) -> dict[str, npt.NDArray[Any]]:
    """The `arrays` [N, ...] as the network wants them, by name, `wanted` as in `declared`. Lists of as many numbers are brought to its shape. Raises DataError, which
    begins with `where`, for others, and for numbers that are not of its type."""
    return {name: _fitted(arrays[name], name, declared(text, name), where) for name, text in wanted.items()}


def _fitted(values: npt.NDArray[Any], name: str, wanted: Declared, where: str) -> npt.NDArray[Any]:
    shape = values.shape[1:]
    if values.dtype.kind not in "biuf":
        raise DataError(f"{where}: {name!r} holds {values.dtype}, and the network takes {wanted}: numbers")
    alike = len(shape) == len(wanted.shape) and all(
        size in (None, given) for size, given in zip(wanted.shape, shape, strict=True)
    )
    if not alike:
        fixed = [size for size in wanted.shape if size is not None]
        flat = len(shape) < 2 and len(fixed) == len(wanted.shape)
        if not flat or math.prod(fixed) != math.prod(shape):
            raise DataError(
                f"{where}: an example of {name!r} is of shape {list(shape)}, and the network takes {wanted}"
            )
        values = values.reshape(len(values), *fixed)
    return _cast(values, name, wanted, where)


def _cast(values: npt.NDArray[Any], name: str, wanted: Declared, where: str) -> npt.NDArray[Any]:
    """As the type that is wanted, where the numbers are of it, but for what float32 rounds."""
    if values.dtype == wanted.dtype:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        cast = values.astype(wanted.dtype)
    wrong = ~np.isfinite(cast) & np.isfinite(values) if cast.dtype.kind == "f" else cast != values
    if wrong.any():
        raise DataError(f"{where}: {name!r} holds {values[wrong][0].item()!r}, and the network takes {wanted}: {int(wrong.sum())} of "
                        f"{values.size} numbers are none of {wanted.dtype}")  # fmt: skip
    return cast


def checked(arrays: dict[str, npt.NDArray[Any]], where: str) -> dict[str, npt.NDArray[Any]]:
    """A network's inputs, the `arrays`, as they are. Raises DataError, which begins with `where`, if they are not of as many examples, or
    hold what is no finite number."""
    counts = {name: len(values) for name, values in arrays.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise DataError(
            f"{where}: the inputs are of different numbers of examples ({shown}): each example needs all of them"
        )
    for name, values in arrays.items():
        if name in RESERVED:
            raise DataError(f"{where}: an input cannot be called {name!r}: save it under another name")
        if values.dtype.kind not in "biuf":
            raise DataError(f"{where}: {name!r} holds {values.dtype}; inputs are numbers")
        check_not_flat(values, where)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DataError(f"{where}: {int((~np.isfinite(values)).sum())} values of {name!r} are NaN or infinite: fill them in, or take those "
                            "examples out")  # fmt: skip
    return arrays


def check_not_flat(inputs: npt.NDArray[Any], where: str) -> None:
    """Raises DataError, which begins with `where`, if an example of the `inputs` [N, ...] has no values."""
    if 0 in inputs.shape[1:]:
        raise DataError(f"{where}: inputs of shape {inputs.shape} hold no values")
