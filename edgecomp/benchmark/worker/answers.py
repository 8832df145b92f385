"""What a model answers, whatever that is made of: every output by its name, as arrays that can be kept, told and compared.

Light on purpose: workers import this.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.inputs import Axes

Array = npt.NDArray[Any]
Answer = Array | list[Array]
"""One output for many examples: [examples, ...], or an array a query, where these have no axis of examples or are of different shapes."""

CHUNK = 2**16  # values that are looked at at once
TOLD = 1000  # values of an answer that are told while it is timed


def as_arrays(outputs: Mapping[str, Any], axes: Axes) -> dict[str, Array]:
    """What a session returned, `outputs` by name; by `axes` the axis of examples comes first."""
    found = {name: as_array(value) for name, value in outputs.items()}
    for name, axis in axes.items():
        if axis and name in found and found[name].ndim > axis:
            found[name] = np.moveaxis(found[name], axis, 0)
    return found


def as_array(value: Any) -> Array:
    """`value`, of numbers or texts: what ONNX calls a sequence of maps is a matrix, a column a key; what is
    not there is empty."""
    if isinstance(value, np.ndarray):
        return value.astype(str) if value.dtype.kind == "O" else value
    if value is None:
        return np.empty(0)
    if isinstance(value, Mapping):
        return as_array([value])
    parts = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if parts and all(isinstance(part, Mapping) for part in parts):
        keys = sorted({key for part in parts for key in part})
        return np.asarray([[part.get(key, 0) for key in keys] for part in parts])
    arrays = [np.asarray(part) for part in parts]
    if len({array.shape for array in arrays}) > 1:
        return np.concatenate([array.ravel() for array in arrays])
    return np.asarray(arrays)


def broken(values: Array) -> str:
    """What is no number among the `values`, in words; nothing where all are, or where they are not of numbers
    with a point.

    A part at a time: what is looked at is the memory of a model that is measured.
    """
    if values.dtype.kind not in "fc":
        return ""
    flat = values.reshape(-1)
    parts = [flat[start : start + CHUNK] for start in range(0, len(flat), CHUNK)]
    bad = [part for part in parts if not np.isfinite(part).all()]
    return "" if not bad else "NaN" if any(np.isnan(part).any() for part in bad) else "infinity"


def told(outputs: Mapping[str, Array]) -> dict[str, dict[str, Any]]:
    """By name of the `outputs` its type, its shape, what is no number in it, and the first of its values:
    what passes to the parent as JSON."""
    most = max(16, TOLD // max(1, len(outputs)))
    return {
        name: {
            "dtype": _kind(values),
            "shape": list(values.shape),
            "broken": broken(values),
            "values": _plain(values.ravel()[:most]).tolist(),
        }
        for name, values in outputs.items()
    }


def _kind(values: Array) -> str:
    return "string" if values.dtype.kind == "U" else str(values.dtype)


def _plain(values: Array) -> Array:
    return values.view(values.real.dtype) if values.dtype.kind == "c" else values


def put_together(queries: Sequence[Mapping[str, Array]], sizes: Sequence[int]) -> dict[str, Answer]:
    """The answers to one query after another, `queries`, of so many examples each, `sizes`, as one of all the
    examples, where that can be."""
    found: dict[str, Answer] = {}
    for name in queries[0] if queries else ():
        parts = [
            query[name] for query in queries if name in query
        ]  # of the later ones it may not have been kept
        by_example = _are_by_example(parts, sizes[: len(parts)])
        found[name] = np.concatenate(parts) if by_example else parts
    return found


def _are_by_example(parts: Sequence[Array], sizes: Sequence[int]) -> bool:
    return len({part.shape[1:] for part in parts}) == 1 and all(
        part.ndim > 0 and len(part) == size for part, size in zip(parts, sizes, strict=True)
    )


def save(answers: Mapping[str, Answer], file: Path) -> None:
    """The `answers`, by output, as an .npz `file`; `load` reads it."""
    np.savez(file, **packed(answers))  # type: ignore[arg-type]  # its stubs take any name for allow_pickle


def packed(answers: Mapping[str, Answer]) -> dict[str, Array]:
    """The `answers`, by output, as arrays: `names`, and by its place `0` of what is one array, `0.values` and
    `0.shapes` of what is one a query."""
    found: dict[str, Array] = {"names": np.asarray(list(answers), dtype=str)}
    for place, answer in enumerate(answers.values()):
        if isinstance(answer, np.ndarray):
            found[f"{place}"] = answer
            continue
        flat = len({part.ndim for part in answer}) > 1
        parts = [part.ravel() if flat else part for part in answer]
        found[f"{place}.shapes"] = np.asarray([part.shape for part in parts], np.int64)
        found[f"{place}.values"] = np.concatenate([part.ravel() for part in parts])
    return found


def load(file: Path) -> dict[str, Answer]:
    """The answers by output that `save` wrote to `file`."""
    found: dict[str, Answer] = {}
    with np.load(file, allow_pickle=False) as content:
        for place, name in enumerate(content["names"].tolist()):
            if f"{place}" in content.files:
                found[name] = content[f"{place}"]
                continue
            shapes, values = content[f"{place}.shapes"], content[f"{place}.values"]
            ends = np.cumsum(shapes.prod(axis=1, dtype=np.int64))
            parts = np.split(values, ends[:-1])
            found[name] = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
    return found


def broken_in(answers: Mapping[str, Answer]) -> dict[str, str]:
    """By output of the `answers` what is no number in it; an output of numbers alone is left out."""
    found = {
        name: next(filter(None, map(broken, [answer] if isinstance(answer, np.ndarray) else answer)), "")
        for name, answer in answers.items()
    }
    return {name: what for name, what in found.items() if what}


def spread_of(answer: Answer) -> float:
    """The deviation of an output's values, `answer`, and where they are all about the same their size; 1 of
    what is no measure."""
    parts = [answer] if isinstance(answer, np.ndarray) else answer
    values = np.concatenate([part.ravel() for part in parts]) if len(parts) != 1 else parts[0].ravel()
    if not is_measure(values) or values.size == 0:
        return 1.0
    values = _wide(values)
    return max(float(values.std()), 1e-6 * float(np.sqrt((np.abs(values) ** 2).mean())), 1e-12)


def distance(ours: Array, theirs: Array, spread: float) -> float:
    """How far `ours` is from `theirs`: of measures the mean difference over `spread`, of names and classes
    the share that differ; 1 of different shapes."""
    if ours.shape != theirs.shape:
        return 1.0
    if ours.size == 0:
        return 0.0
    if is_measure(ours) and is_measure(theirs):
        return float(np.abs(_wide(ours) - _wide(theirs)).mean()) / spread
    return float((ours != theirs).mean())


def are_close(ours: Array, theirs: Array) -> bool:
    """Whether `ours` and `theirs`, two answers to one query, are the same but for rounding."""
    if ours.shape != theirs.shape:
        return False
    if is_measure(ours) and ours.dtype.kind in "fc":
        return bool(np.allclose(ours, theirs, rtol=1e-3, atol=1e-5, equal_nan=True))
    return bool((ours == theirs).all())


def is_measure(values: Array) -> bool:
    """Whether values near each other mean about the same: numbers with a point, and integers of a byte, which such were rounded to."""
    return values.dtype.kind in "fc" or (values.dtype.kind in "iu" and values.dtype.itemsize == 1)


def _wide(values: Array) -> Array:
    return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)


def timed_errors(
    answers: Mapping[str, Answer], timed: Mapping[int, Mapping[str, Mapping[str, Any]]], rows: int
) -> dict[str, float]:
    """By output of the `answers`, how far what was told of queries while they were timed is from their
    answers otherwise: the largest distance, and of names and classes, which a rounding can tip, the mean.

    timed: by the query's place, as `told` tells it; rows: examples of a query. Outputs that are not finite
    have none.
    """
    found = {}
    skipped = broken_in(answers)
    for name, answer in answers.items():
        of_name = {place: outputs[name] for place, outputs in timed.items() if name in outputs}
        if name in skipped or any(one["broken"] for one in of_name.values()):
            continue
        spread = spread_of(answer)
        errors = [
            _from_told(expected, one, spread, by_example=isinstance(answer, np.ndarray))
            for place, one in of_name.items()
            if (expected := query_of(answer, place, rows)) is not None
        ]
        measures = is_measure(answer if isinstance(answer, np.ndarray) else answer[0])
        found[name] = float((np.max if measures else np.mean)(errors)) if errors else 0.0
    return found


def query_of(answer: Answer, place: int, rows: int) -> Array | None:
    """Of an output's `answer`, that to the query at `place`, of `rows` examples; None where there is none."""
    if not isinstance(answer, np.ndarray):
        return answer[place] if place < len(answer) else None
    return answer[place * rows : (place + 1) * rows] if (place + 1) * rows <= len(answer) else None


def _from_told(expected: Array, one: Mapping[str, Any], spread: float, by_example: bool) -> float:
    shape = tuple(one["shape"])
    if by_example and expected.ndim == len(
        shape
    ):  # by token, a query alone is as long as its own longest text
        expected = expected[tuple(slice(size) for size in shape)]
    if expected.shape != shape:
        return 1.0
    expected = _plain(expected.ravel()[: len(one["values"])])
    same = np.asarray(one["values"], None if expected.dtype.kind == "U" else expected.dtype)
    return distance(same, expected, spread)
