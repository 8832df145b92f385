"""All outputs of two models beside each other as numbers, whatever they mean, by name and example."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.benchmark.worker import answers
from edgecomp.benchmark.worker.answers import Answer
from edgecomp.comparison.judged import Outputs, is_wide
from edgecomp.metrics.comparison import BASELINE, CANDIDATE
from edgecomp.tasks import Task

Values = npt.NDArray[np.float64]
ByOutput = dict[str, dict[str, npt.NDArray[Any]] | None]
"""By output, of each example: `error`, the candidate's difference over the deviation of the baseline's (of names and classes, the share
that differs); `cosine`, where an example has several numbers with a point; `agrees`, where it has a value a class. None where one is not
finite, or was not kept."""


def by_output(outputs: Outputs, task: Task | None = None) -> ByOutput:
    """By name of the baseline's outputs, what each example's of both models differ by; None of one that is
    not finite, or that the candidate has not. outputs: by arm, every example's by name; task: that the one
    output is of, where it is told: it knows which answers agree."""
    theirs, ours = outputs[BASELINE], outputs[CANDIDATE]
    found: ByOutput = {}
    for name in theirs:
        is_told = name in ours and not answers.broken_in({name: theirs[name]} | {"": ours[name]})
        found[name] = (
            _beside(theirs[name], ours[name], task if len(theirs) == 1 else None) if is_told else None
        )
    return found


def _beside(theirs: Answer, ours: Answer, task: Task | None) -> dict[str, npt.NDArray[Any]]:
    spread, both = answers.spread_of(theirs), min(len(theirs), len(ours))
    theirs, ours = theirs[:both], ours[:both]
    if not (isinstance(theirs, np.ndarray) and isinstance(ours, np.ndarray)):
        if isinstance(theirs, np.ndarray) or isinstance(ours, np.ndarray):
            return {"error": np.ones(both)}
        pairs = zip(ours, theirs, strict=True)
        return {"error": np.array([answers.distance(one, other, spread) for one, other in pairs])}
    if theirs.shape != ours.shape:
        return {"error": np.ones(both)}
    rows = [slice(place, place + 1) for place in range(both)]
    errors = [answers.distance(ours[row], theirs[row], spread) for row in rows]
    found: dict[str, npt.NDArray[Any]] = {"error": np.array(errors)}
    if theirs.dtype.kind == ours.dtype.kind == "f" and theirs.size > both > 0:
        found["cosine"] = _cosines(theirs, ours)
    if theirs.dtype.kind == ours.dtype.kind == "f" and both > 0:
        if task is not None and theirs.ndim > 1:
            found["agrees"] = task.agreeing(ours.astype(np.float32), theirs.astype(np.float32))
        elif is_wide(theirs):
            found["agrees"] = ours.argmax(axis=1) == theirs.argmax(axis=1)
    return found


def _cosines(theirs: npt.NDArray[Any], ours: npt.NDArray[Any]) -> Values:
    """[examples]; 1 of two examples of zeros, and 0 where one alone is."""
    found = np.empty(len(theirs))
    for place, (one, other) in enumerate(zip(theirs, ours, strict=True)):
        first, second = (values.astype(np.float64).ravel() for values in (one, other))
        size = np.sqrt(first @ first) * np.sqrt(second @ second)
        found[place] = first @ second / size if size else float(not first.any() and not second.any())
    return found


def told(found: ByOutput) -> dict[str, dict[str, Any]]:
    """What was found by output, as facts of a comparison (edgecomp.metrics.comparison.BY_OUTPUT): errors and
    cosines in per cent, means over examples, and [agreeing, examples]."""
    return {
        "outputs": {
            name: None if of is None else 100 * float(of["error"].mean()) if of["error"].size else 0.0
            for name, of in found.items()
        },
        "cosines_pct": {
            name: 100 * float(of["cosine"].mean()) for name, of in found.items() if of and "cosine" in of
        },
        "agreeing": {
            name: [int(of["agrees"].sum()), len(of["agrees"])]
            for name, of in found.items()
            if of and "agrees" in of
        },
    }


def kept(found: Mapping[str, Mapping[str, npt.NDArray[Any]] | None]) -> dict[str, npt.NDArray[Any]]:
    """What was found by output, as answers.npz holds it: an output may be called what no file can."""
    names = [name for name, of in found.items() if of is not None]
    held: dict[str, npt.NDArray[Any]] = {"outputs": np.asarray(names, dtype=str)}
    for place, name in enumerate(names):
        held |= {f"outputs.{place}.{what}": values for what, values in (found[name] or {}).items()}
    return held
