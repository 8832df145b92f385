"""Which output of two models is held against labels, and what its values are: classes, or what a task takes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecomp.benchmark.worker.answers import Answer
from edgecomp.errors import DataError, UsageError, nearest
from edgecomp.metrics.comparison import BASELINE, CANDIDATE
from edgecomp.outputs import beside_each_other
from edgecomp.runtimes import Port
from edgecomp.tasks import Labels, SeveralOutputs, Task
from edgecomp.tasks.segmentation import judged_pixels

ARMS = (BASELINE, CANDIDATE)

Logits = npt.NDArray[np.float32]
Columns = dict[str, npt.NDArray[Any]]
Outputs = Mapping[str, Mapping[str, Answer]]
"""By arm and name."""

MOST_CLASSES = 1000  # of an output that is the class itself


class Judged(NamedTuple):
    """The judged output's name, what its values mean, and by arm those of every example: [examples, classes], or as the task has them;
    labels: as they are held against these."""

    name: str
    how: str
    logits: dict[str, Logits]
    labels: Labels


def check_output(asked: str | None, ports: Sequence[Port], where: str = "--output") -> None:
    """Raises UsageError where the models have no output that is called as `asked`; None asks for none. ports:
    their outputs; where: it was asked, as messages say it."""
    names = [port.name for port in ports]
    if asked is not None and asked not in names:
        raise UsageError(
            f"{where} {asked}: the models have no such output{nearest(asked, names)}; they have {', '.join(names)}"
        )


def classes_told(asked: str | None, ports: Sequence[Port]) -> int | None:
    """How many classes the judged output has, where the file tells; else None. asked: its name, None where
    none was asked for; ports: all outputs."""
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


def judged_as(task: Task, outputs: Outputs, asked: str | None, labels: Labels) -> Judged:
    """The output that is asked for, or the first that the task takes with these labels. outputs: by arm,
    every example's by name; asked: its name, or None; labels: as edgecomp.tasks has them. Raises DataError
    where there is none."""
    if isinstance(task, SeveralOutputs):
        return _judged_all(task, outputs, labels)
    of_baseline, whys = outputs[BASELINE], []
    for name in [asked] if asked else sorted(of_baseline, key=lambda one: not _is_float(of_baseline[one])):
        columns = {arm: answer for arm in ARMS if isinstance(answer := outputs[arm][name], np.ndarray)}
        if (
            len(columns) < len(ARMS)
            or columns[BASELINE].dtype.kind not in "fiu"
            or columns[BASELINE].ndim == 0
        ):
            whys.append(f"output {name} is of {_shown(of_baseline[name])}")
            continue
        _check_kept(name, columns, labels)
        wide = {
            arm: (one[:, None] if one.ndim == 1 else one).astype(np.float32) for arm, one in columns.items()
        }
        why = ""
        for told in _as_labels(labels, task):
            if not (misfit := task.misfit(wide[BASELINE], told)):
                return Judged(name, f"task {task.name}", wide, told)
            why = why or misfit
        whys.append(f"output {name}: {why}")
    raise DataError(f"no output is one of task {task.name} for these labels: {'; '.join(whys)}: name another task (--task) or output "
                    "(--output), or leave out `label`, and all outputs are compared as numbers")  # fmt: skip


def _judged_all(several: SeveralOutputs, outputs: Outputs, labels: Labels) -> Judged:
    """Each of several outputs, beside each other. Raises DataError where one is not what its task and its labels take."""
    wide: dict[str, Logits] = {}
    for arm in ARMS:
        columns: Columns = {}
        for name, width in several.widths.items():
            answer = outputs[arm].get(name)
            if (
                not isinstance(answer, np.ndarray)
                or answer.dtype.kind not in "fiu"
                or answer.shape[1:] != (width,)
            ):
                shown = "not there" if answer is None else f"of {_shown(answer)}"
                raise DataError(
                    f"output {name} is {shown}, and task {several.of(name).task.name} takes {width} numbers an example"
                )
            columns[name] = answer.astype(np.float32)
            _check_kept(name, {arm: answer, BASELINE: answer}, labels)
        wide[arm] = beside_each_other(columns)
    if why := several.misfit(wide[BASELINE], labels):
        raise DataError(
            f"{why}: name other tasks (--task), or leave out the labels, and all outputs are compared as numbers"
        )
    how = ", ".join(f"{one.name}: task {one.task.name}" for one in several.outputs)
    return Judged(", ".join(several.widths), how, wide, labels)


def _is_float(answer: Answer) -> bool:
    return isinstance(answer, np.ndarray) and answer.dtype.kind == "f"


def _as_labels(labels: Labels, task: Task) -> list[Labels]:
    """As a task may have them: as they are, and one a row; of masks, with the pixels that are of no class."""
    if task.of_each == "pixel" and labels.dtype.kind != "f":
        return [judged_pixels(labels)]
    typed = labels.astype(np.float32 if labels.dtype.kind == "f" else np.int64)
    return [typed, typed[..., None]]


def _check_kept(name: str, columns: Columns, labels: Labels) -> None:
    if any(len(values) < len(labels) for values in columns.values()):
        raise DataError(f"output {name} is of {_shown(columns[BASELINE])}, and too much of the memory to be kept beside other outputs: name it "
                        f"with --output {name}")  # fmt: skip


def judged(outputs: Outputs, asked: str | None, labels: npt.NDArray[np.int64]) -> Judged:
    """The output that is asked for, or the first of the kind that goes first. outputs: by arm, every
    example's by name; asked: its name, or None; labels: classes, [N]. Raises DataError where it is no class
    for each example."""
    of_baseline = outputs[BASELINE]
    name = asked or _first_of_a_kind(of_baseline)
    columns = {arm: answer for arm in ARMS if isinstance(answer := outputs[arm][name], np.ndarray)}
    shown = f"output {name} is of {_shown(of_baseline[name])}"
    if len(columns) < len(ARMS) or not any(is_one(of_baseline[name]) for is_one in KINDS):
        raise DataError(f"{shown}, which is no class for each example: name another with --output (there is {', '.join(of_baseline)}), "
                        "or leave out `label`, and all outputs are compared as numbers")  # fmt: skip
    _check_kept(name, columns, labels)
    if is_wide(columns[BASELINE]):
        wide = {arm: values.astype(np.float32) for arm, values in columns.items()}
        return Judged(name, f"the largest of {columns[BASELINE].shape[1]} values", wide, labels)
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
    return Judged(name, how, {arm: one.astype(np.float32) for arm, one in logits.items()}, labels)


def _as_they_are(name: str, shown: str, columns: Columns, labels: npt.NDArray[np.int64]) -> Judged:
    """Of classes, one value each: 1 for the one that is answered."""
    answered = {arm: values.astype(np.int64) for arm, values in columns.items()}
    every = np.concatenate([*answered.values(), labels])
    if every.min() < 0 or every.max() >= MOST_CLASSES:
        raise DataError(f"{shown}, and with the labels from {every.min()} to {every.max()}: classes are 0 to {MOST_CLASSES - 1:,} at most; "
                        "name another with --output")  # fmt: skip
    each = np.eye(max(2, int(every.max()) + 1), dtype=np.float32)
    return Judged(name, "the class itself", {arm: each[one] for arm, one in answered.items()}, labels)


def is_wide(answer: Answer) -> bool:
    """Whether `answer`, of every example, is a value a class: numbers [N, classes], of two classes or
    more."""
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
