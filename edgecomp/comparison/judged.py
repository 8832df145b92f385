"""Which output of two models is judged, what its values are as classes, and what all of them differ by."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecomp.benchmark.worker import answers
from edgecomp.benchmark.worker.answers import Answer
from edgecomp.errors import DataError, UsageError, nearest
from edgecomp.metrics.comparison import BASELINE, CANDIDATE
from edgecomp.runtimes import Port

ARMS = (BASELINE, CANDIDATE)

Logits = npt.NDArray[np.float32]
Columns = dict[str, npt.NDArray[Any]]
Outputs = Mapping[str, Mapping[str, Answer]]
"""By arm and name."""

MOST_CLASSES = 1000  # of an output that is the class itself


class Judged(NamedTuple):
    """The judged output's name, what its values mean, and by arm a value a class of every example, [examples, classes]."""

    name: str
    how: str
    logits: dict[str, Logits]


def check_output(asked: str | None, ports: Sequence[Port]) -> None:
    """Raises UsageError where the models have no such output."""
    names = [port.name for port in ports]
    if asked is not None and asked not in names:
        raise UsageError(
            f"--output {asked}: the models have no such output{nearest(asked, names)}; they have {', '.join(names)}"
        )


def classes_told(asked: str | None, ports: Sequence[Port]) -> int | None:
    """How many classes the judged output has, where the file tells."""
    known = [port for port in ports if asked in (None, port.name)]
    if (
        not known
        or known[0].shape is None
        or len(known[0].shape) != 2
        or not (known[0].dtype or "").startswith("float")
    ):
        return None  # another may be judged
    classes = known[0].shape[1]
    if classes == 1:
        return 2 if len(known) == 1 else None  # another that has a value a class goes first
    return classes


def judged(outputs: Outputs, asked: str | None, labels: npt.NDArray[np.int64]) -> Judged:
    """The output that is asked for, or the first of the kind that goes first. Raises DataError where it is no class for each example."""
    of_baseline = outputs[BASELINE]
    name = asked or _first_of_a_kind(of_baseline)
    columns = {arm: answer for arm in ARMS if isinstance(answer := outputs[arm][name], np.ndarray)}
    shown = f"output {name} is of {_shown(of_baseline[name])}"
    if len(columns) < len(ARMS) or not any(is_one(of_baseline[name]) for is_one in KINDS):
        raise DataError(f"{shown}, which is no class for each example: name another with --output (there is {', '.join(of_baseline)}), "
                        "or leave out `label`, and all outputs are compared as numbers")  # fmt: skip
    if any(len(values) < len(labels) for values in columns.values()):
        raise DataError(
            f"{shown}, and too much of the memory to be kept beside other outputs: name it with --output {name}"
        )
    if is_wide(columns[BASELINE]):
        wide = {arm: values.astype(np.float32) for arm, values in columns.items()}
        return Judged(name, f"the largest of {columns[BASELINE].shape[1]} values", wide)
    columns = {arm: values.reshape(-1) for arm, values in columns.items()}
    if columns[BASELINE].dtype.kind == "f":
        return _by_threshold(name, columns, labels)
    return _as_they_are(name, shown, columns, labels)


def _first_of_a_kind(answers_by_name: Mapping[str, Answer]) -> str:
    for is_one in KINDS:
        for name, answer in answers_by_name.items():
            if is_one(answer):
                return name
    return next(iter(answers_by_name))


def _by_threshold(name: str, columns: Columns, labels: npt.NDArray[np.int64]) -> Judged:
    """A probability where all of what is in use is one, and else a logit; both models by the same threshold, as whoever calls them."""
    used = columns[BASELINE]
    threshold = 0.0 if ((used < 0) | (used > 1)).any() else 0.5
    if labels.max() > 1:
        raise DataError(f"a label is {labels.max()}, and output {name} has one value an example, class 1 over {threshold:g} and else 0: "
                        "number the classes 0 and 1, or name another output with --output")  # fmt: skip
    logits = {arm: np.stack([2 * threshold - one, one], axis=1) for arm, one in columns.items()}
    how = f"one value an example, class 1 over {threshold:g}"
    return Judged(name, how, {arm: one.astype(np.float32) for arm, one in logits.items()})


def _as_they_are(name: str, shown: str, columns: Columns, labels: npt.NDArray[np.int64]) -> Judged:
    """Of classes, one value each: 1 for the one that is answered."""
    answered = {arm: values.astype(np.int64) for arm, values in columns.items()}
    every = np.concatenate([*answered.values(), labels])
    if every.min() < 0 or every.max() >= MOST_CLASSES:
        raise DataError(f"{shown}, and with the labels from {every.min()} to {every.max()}: classes are 0 to {MOST_CLASSES - 1:,} at most; "
                        "name another with --output")  # fmt: skip
    each = np.eye(max(2, int(every.max()) + 1), dtype=np.float32)
    return Judged(name, "the class itself", {arm: each[one] for arm, one in answered.items()})


def output_errors(outputs: Outputs) -> dict[str, float | None]:
    """By output, what the candidate's is from the baseline's, in per cent: of the deviation, or, of names and classes, of the answers.

    None where one is not finite, or was not kept.
    """
    theirs, ours = outputs[BASELINE], outputs[CANDIDATE]
    found: dict[str, float | None] = {}
    for name in theirs:
        is_told = name in ours and not answers.broken_in({name: theirs[name]} | {"": ours[name]})
        found[name] = 100 * _apart(theirs[name], ours[name]) if is_told else None
    return found


def _apart(theirs: Answer, ours: Answer) -> float:
    spread, both = answers.spread_of(theirs), min(len(theirs), len(ours))
    if isinstance(theirs, np.ndarray) and isinstance(ours, np.ndarray):
        return answers.distance(ours[:both], theirs[:both], spread)
    if isinstance(theirs, np.ndarray) or isinstance(ours, np.ndarray):
        return 1.0
    pairs = zip(ours[:both], theirs[:both], strict=True)
    return float(np.mean([answers.distance(one, other, spread) for one, other in pairs]))


def is_wide(answer: Answer) -> bool:
    """A value a class."""
    return (
        isinstance(answer, np.ndarray)
        and answer.ndim == 2
        and answer.shape[1] > 1
        and answer.dtype.kind in "fiu"
    )


def _is_column(answer: Answer, kinds: str) -> bool:
    return isinstance(answer, np.ndarray) and answer.size == len(answer) and answer.dtype.kind in kinds


KINDS = (
    lambda answer: is_wide(answer) and answer.dtype.kind == "f",
    is_wide,
    lambda answer: _is_column(answer, "b"),
    lambda answer: _is_column(answer, "f"),
    lambda answer: _is_column(answer, "iu"),
)
"""Of what may be judged, what is taken first."""


def _shown(answer: Answer) -> str:
    if isinstance(answer, np.ndarray):
        return f"{'text' if answer.dtype.kind == 'U' else answer.dtype} {list(answer.shape[1:])} an example"
    return "another number of values from example to example"
