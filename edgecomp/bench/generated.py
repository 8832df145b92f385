"""Inputs for a model of which nothing is known but its signature."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError, UsageError
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


def read(file: Path, ports: Sequence[Port]) -> dict[str, Array]:
    """Examples from an .npz file, held against the signature. Raises DataError with what is missing, left over or misshapen."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as content:
            found = {name: content[name] for name in content.files}
    except FileNotFoundError:
        raise DataError(f"no such file of inputs: {file}") from None
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{file} is not a readable .npz file: {error}") from error
    wanted = {port.name: port for port in ports}
    if missing := wanted.keys() - found.keys():
        raise DataError(f"{file} has no {', '.join(sorted(missing))}; it has {', '.join(found) or 'nothing'}")
    lengths = {name: len(found[name]) if found[name].ndim else 0 for name in wanted}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise DataError(f"{file}: the inputs are of {', '.join(f'{name} {n}' for name, n in lengths.items())} examples: "
                        "they must be as many, and one at least")  # fmt: skip
    for name, port in wanted.items():
        _fits(file, port, found[name])
    return {name: found[name] for name in wanted}


def _fits(file: Path, port: Port, values: Array) -> None:
    if port.dtype is not None and str(values.dtype) != port.dtype:
        raise DataError(f"{file}: {port.name} is of {values.dtype}, the model takes {port.dtype}")
    if port.shape is None:
        return
    fits = len(port.shape) == values.ndim and all(
        size is None or size == has for size, has in zip(port.shape[1:], values.shape[1:], strict=False)
    )
    if not fits:
        shape = ", ".join("any" if size is None else str(size) for size in port.shape)
        raise DataError(f"{file}: {port.name} is of {list(values.shape)}, the model takes [{shape}]")
    if port.shape[0] is not None and len(values) % port.shape[0]:
        raise DataError(
            f"{file}: {port.name} has {len(values)} examples, and the model takes {port.shape[0]} at once"
        )
