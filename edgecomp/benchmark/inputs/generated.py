"""Inputs for a model of which nothing is known but its signature."""

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecomp.benchmark.inputs.signatures import example_axes, rows_of
from edgecomp.config.target import MOST_AT_ONCE, Shapes, parse_range
from edgecomp.errors import DeviceError, EdgecompError, InferenceError, UsageError, WorkerError, nearest
from edgecomp.metrics.units import format_value
from edgecomp.runtimes import Port

Array = npt.NDArray[Any]

TOKENS = 100  # ids are under this: every vocabulary has so many
MOST_BYTES = 2**29  # of an input that is made up, all of its examples
GIVE = "give examples with {}"
ADVICE = "give real ones with {}, or say what is legal with --range INPUT=LOW:HIGH and --shape AXIS=LENGTH"

# What files call the sides of a picture; an axis of another name is of pictures where there are four.
SIDES = re.compile(r"h|w|.*(height|width|size|side).*", re.IGNORECASE)
LENGTHS = re.compile(r"(.*[_.])?(len|lens|length|lengths|seq_?lens?)", re.IGNORECASE)


class Made(NamedTuple):
    """inputs: [examples, ...]; words: by input, what they are, for whoever reads the result."""

    inputs: dict[str, Array]
    words: dict[str, str]

    def told(self) -> str:
        return "; ".join(f"{name} {what}" for name, what in self.words.items())


def shapes_of(shapes: Shapes | None, sizes: Sequence[str], ranges: Sequence[str]) -> Shapes:
    """A target's `shapes`, None where it has none, and over them what the command line says: `sizes`,
    NAME=LENGTH each, and `ranges`, NAME=LOW:HIGH. Raises UsageError."""
    found = shapes or Shapes()
    axes = {}
    for text in sizes:
        name, _, length = text.rpartition("=")
        if not name or not length.isdecimal() or len(length) > 18 or int(length) < 1:
            raise UsageError(
                f"--shape {text} is no length of an axis: write NAME=N, for example --shape length=64"
            )
        axes[name] = int(length)
    by_input = {}
    for text in ranges:
        name, _, values = text.rpartition("=")
        try:
            parse_range(values)
        except ValueError as error:
            raise UsageError(f"--range {text}: {error}") from None
        if not name:
            raise UsageError(
                f"--range {text} names no input: write NAME=LOW:HIGH, for example --range weekday=0:6"
            )
        by_input[name] = values
    return found.model_copy(update={"axes": {**found.axes, **axes}, "ranges": {**found.ranges, **by_input}})


def check_names(ports: Sequence[Port], sizes: Sequence[str], ranges: Sequence[str]) -> None:
    """Raises UsageError where `sizes` (NAME=LENGTH) or `ranges` (NAME=LOW:HIGH) name an axis or an input that
    the file, with its inputs `ports`, does not have, or does not leave free."""
    free = [name for port in ports for place in _free(port) for name in _names(port, place)]
    for option, known, given in (
        ("--shape", free, sizes),
        ("--range", [port.name for port in ports], ranges),
    ):
        for text in given:
            name = text.rpartition("=")[0]
            if name not in known:
                what = "axis that the file leaves free" if option == "--shape" else "input"
                has = ", ".join(dict.fromkeys(known)) or "none"
                raise UsageError(
                    f"{option} {text}: there is no such {what}{nearest(name, known)}; there is {has}"
                )


def at_once(ports: Sequence[Port], shapes: Shapes) -> int:
    """How many examples are asked at once, by the inputs `ports` or, where they leave it free, by `shapes`.
    Raises UsageError where they are too many."""
    if (fixed := rows_of(ports)) is not None:
        return fixed
    axes = example_axes(ports)
    named = [
        shapes.axes[name]
        for port in ports
        if (axis := axes[port.name]) is not None and port.shape
        for name in _names(port, axis)
        if name in shapes.axes
    ]
    rows = named[0] if named else shapes.batch
    if rows > MOST_AT_ONCE:
        raise UsageError(
            f"{rows:,} examples at once are more than {MOST_AT_ONCE:,}: ask fewer, and offline asks batches of them"
        )
    return rows


def generate(
    ports: Sequence[Port],
    shapes: Shapes,
    *,
    rows: int,
    queries: int,
    seed: int,
    give: str = "--inputs FILE.npz",
) -> Made:
    """Examples for up to `queries` queries of `rows`: normal numbers, ids, masks of ones; fewer where those
    would not fit in MOST_BYTES.

    ports: the model's inputs; shapes: of what these leave free; seed: of what is drawn; give: the option by
    which real ones are given. Raises UsageError where a port cannot be made up.
    """
    if not ports:
        raise UsageError(
            "the file takes no inputs: it gives the same answer each time, and there is nothing to ask it"
        )
    sizes = _Sizes(ports, shapes, give)
    largest = max(ports, key=lambda port: _bytes(port, sizes.of(port)))
    needed = rows * _bytes(largest, sizes.of(largest))
    if needed > MOST_BYTES:
        raise UsageError(f"input {largest.name!r} of {list(sizes.of(largest))} an example, {rows:,} at once, would take "
                         f"{format_value(float(needed), 'bytes')}, more than {format_value(float(MOST_BYTES), 'bytes')}: make it smaller "
                         f"(--shape, a target's shapes), or {GIVE.format(give)}")  # fmt: skip
    count = rows * max(1, min(queries, MOST_BYTES // max(1, needed)))
    random = np.random.default_rng(seed)
    inputs, words = {}, {}
    for port in ports:
        shape = sizes.of(port)
        values, what = _values(
            port, (1 if sizes.axes[port.name] is None else count, *shape), sizes, random, give
        )
        inputs[port.name] = np.broadcast_to(values, (count, *shape)) if len(values) < count else values
        words[port.name] = f"{port.dtype} {list(shape)} {what}"
    return Made(inputs, words)


def _free(port: Port) -> list[int]:
    return [place for place, size in enumerate(port.shape or ()) if size is None]


def _names(port: Port, place: int) -> list[str]:
    """What an axis may be called on the command line: by the file's name for it, and by its place."""
    own = [port.axes[place]] if port.axes and port.axes[place] else []
    return [*own, f"{port.name}.{place}"]


class _Sizes:
    """Lengths of one example's axes, those of one name alike."""

    def __init__(self, ports: Sequence[Port], shapes: Shapes, give: str) -> None:
        self.axes, self.shapes = example_axes(ports), shapes
        self._named = dict(shapes.axes)
        self._of: dict[str, tuple[int, ...]] = {}
        for port in ports:
            if port.shape is None:
                raise UsageError(
                    f"the file does not tell the shape of its input {port.name!r}: {GIVE.format(give)}"
                )
            self._of[port.name] = tuple(
                self._length(port, place) if size is None else size
                for place, size in enumerate(port.shape)
                if place != self.axes[port.name]
            )
        self.length = next((shape[0] for shape in self._of.values() if shape), 1)  # of a sequence

    def of(self, port: Port) -> tuple[int, ...]:
        return self._of[port.name]

    def _length(self, port: Port, place: int) -> int:
        own, known = _names(port, place)[0], [name for name in _names(port, place) if name in self._named]
        if known:
            return self._named[known[-1]]
        is_side = SIDES.fullmatch(own) or (len(port.shape or ()) == 4 and not LENGTHS.fullmatch(own))
        self._named[own] = self.shapes.image_size if is_side else self.shapes.sequence_length
        return self._named[own]


def _bytes(port: Port, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * _dtype(port).itemsize


def _dtype(port: Port) -> np.dtype[Any]:
    """What numpy holds it as: of bfloat16 the bits; of what it does not know a byte."""
    try:
        return np.dtype("uint16" if port.dtype == "bfloat16" else port.dtype)
    except TypeError:
        return np.dtype("uint8")


def _values(
    port: Port, shape: tuple[int, ...], sizes: _Sizes, random: np.random.Generator, give: str
) -> tuple[Array, str]:
    """[examples, ...], and what they are."""
    dtype, name = _dtype(port), port.name.lower()
    if dtype.name != port.dtype and port.dtype != "bfloat16":
        raise UsageError(
            f"input {port.name!r} is of {port.dtype}, which cannot be made up: {GIVE.format(give)}"
        )
    is_point = dtype.kind == "f" or port.dtype == "bfloat16"
    if port.name in sizes.shapes.ranges:
        low, high = parse_range(sizes.shapes.ranges[port.name])
        values = random.uniform(low, high, shape) if is_point else _between(random, low, high, shape, port)
        return as_type(values, port.dtype), f"from {low:g} to {high:g}"
    one = as_type(np.ones(1), port.dtype)
    if "mask" in name or dtype.kind == "b":
        return np.broadcast_to(one, shape), "of ones"
    if sizes.axes[port.name] is None and shape == (1,):
        return one, "of 1"
    if is_point:
        return as_type(random.standard_normal(shape), port.dtype), "of normal numbers"
    if "type" in name:
        return np.zeros(shape, dtype), "of zeros"
    if "position" in name:
        return np.broadcast_to(np.arange(shape[-1], dtype=dtype), shape), "of places"
    if len(shape) == 1 and LENGTHS.fullmatch(name):
        return np.full(shape, sizes.length, dtype), f"of {sizes.length}, the whole length"
    below = min(TOKENS, port.below or TOKENS, np.iinfo(dtype).max)
    return random.integers(0, below, shape, dtype=dtype), f"of ids under {below}"


def _between(
    random: np.random.Generator, low: float, high: float, shape: tuple[int, ...], port: Port
) -> Array:
    kind = np.iinfo(_dtype(port)) if _dtype(port).kind in "iu" else np.iinfo(np.uint8)
    if low < kind.min or high > kind.max or not (low.is_integer() and high.is_integer()):
        raise UsageError(
            f"--range {port.name}={low:g}:{high:g}: the input is of {port.dtype}, whole numbers from {kind.min} to {kind.max}"
        )
    return random.integers(int(low), int(high), shape, endpoint=True)


def as_type(values: Array, dtype: str | None) -> Array:
    """`values` as the runtime is handed them: of the numpy type `dtype`, and of bfloat16 the bits, rounded to
    the nearest."""
    if dtype != "bfloat16":
        return values.astype(dtype)
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def blamed(error: EdgecompError, made: Made | None, give: str) -> EdgecompError:
    """What a failure, `error`, means where the inputs were `made` up: that they may be no inputs of this
    model, and no more. give: the option by which real ones are given."""
    if made is None or isinstance(error, DeviceError) or not isinstance(error, InferenceError | WorkerError):
        return error
    kind = UsageError if isinstance(error, InferenceError) else type(error)
    return kind(
        f"{str(error).rstrip('.')}. Its inputs were made up ({made.told()}), and may be none that it takes: {ADVICE.format(give)}"
    )
