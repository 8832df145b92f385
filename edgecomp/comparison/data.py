"""The examples that two models are compared on, and what their labels mean."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgecomp.benchmark.inputs import examples as evaluations
from edgecomp.benchmark.inputs.examples import LABEL, Evaluation
from edgecomp.comparison.sides import Given, check_labels, check_recorded
from edgecomp.comparison.trial import Judging
from edgecomp.config.target import Target
from edgecomp.data import preprocessing
from edgecomp.data.splits import Split
from edgecomp.errors import DataError, UsageError, nearest
from edgecomp.files.writing import sha256
from edgecomp.runtimes import Port
from edgecomp.tasks import DEFAULT, TASKS, Meant, SeveralOutputs, Task, task
from edgecomp.tasks.several import OF


def given_examples(file: Path, ports: Sequence[Port], baseline: Given, judging: Judging) -> Evaluation:
    """Of --data, `file`, with labels as they are judged, by `judging`: numbers of a task, anything of a
    score, else classes. ports: the models' inputs; baseline: whose preprocessing tells the mean and deviation
    of labels that are numbers. Raises DataError."""
    meaning: evaluations.Meaning = "classes"
    if judging.task is not None:
        meaning = "numbers"
    elif judging.score is not None:
        meaning = "anything"
    several = judging.task if isinstance(judging.task, SeveralOutputs) else None
    found = evaluations.read(
        file, ports, meaning, [f"{LABEL}.{name}" for name in several.widths] if several else ()
    )
    if several is not None:
        found = labels_of(file, found, several)
    head = baseline.preprocessing() or {}
    mean, std = (tuple(head.get(name, ())) for name in ("target_mean", "target_std"))
    return replace(found, target_mean=mean, target_std=std).standardised()


def of_runs(baseline: Given, candidate: Given, target: Target) -> tuple[Evaluation | None, str]:
    """The test split of two runs, those that the baseline and the candidate are of, or why there is none to
    compare answers on. target: that both were judged for. Raises RunFolderError, AlteredError where a split
    is not what was written, UsageError where the splits are two."""
    if baseline.run is None or candidate.run is None:
        return None, "no labelled examples were given (--data): no answers were judged"
    tests = [run / "data" / "test.npz" for run in (baseline.run, candidate.run)]
    if not all(file.is_file() for file in tests):
        return (
            None,
            f"{next(file for file in tests if not file.is_file())} is not there: give examples with --data",
        )
    for run in (baseline.run, candidate.run):
        check_recorded(run, "data", ("test.npz", preprocessing.FILE))
    if len({sha256(file) for file in tests}) > 1:
        raise UsageError(f"the runs were judged on different test splits ({tests[0]}, {tests[1]}): one may have been trained on the "
                         "other's; give examples that neither has seen with --data")  # fmt: skip
    split = Split.load(candidate.run / "data", "test")
    for run in (baseline.run, candidate.run):
        check_labels(run, target, split.labels)
    data = preprocessing.load(candidate.run / "data")
    labels = split.labels if split.labels.size else None  # of a task without labels
    found = Evaluation(
        dict(data.apply(split.arrays)),
        labels,
        split.slices,
        file=tests[1],
        target_mean=data.target_mean,
        target_std=data.target_std,
    )
    return found, ""


def told_task(
    asked: str | None, sides: Sequence[Given], outputs: Callable[[], Sequence[Port]]
) -> Task | None:
    """What outputs mean, as it was asked, or as what was deployed, the sides, says; None of classes, which
    are read in whichever form. outputs: what the models give, for a task of each output, `OUTPUT=TASK,…`. Raises UsageError."""
    if asked is not None and "=" in asked:
        return _of_each(asked, outputs())
    told: list[tuple[Meant, tuple[str, ...]]] = [(asked, ())] if asked is not None else []
    told = told or [(one, class_names(side)) for side in sides if (one := side.task()) is not None]
    for meant, _ in told:
        if isinstance(meant, str) and meant not in TASKS:
            raise UsageError(
                f"--task {meant}: no such task{nearest(meant, TASKS)}; there are {', '.join(TASKS)}, and OUTPUT=TASK,… of several outputs"
            )
    return task(*told[0]) if told and told[0][0] != DEFAULT else None


def _of_each(asked: str, ports: Sequence[Port]) -> Task:
    """Of `OUTPUT=TASK,…`, where labels do not name what an output's numbers are. Raises UsageError."""
    known = {port.name: port.shape for port in ports}
    meant, names = {}, []
    for part in asked.split(","):
        output, _, name = (word.strip() for word in part.rpartition("="))
        if output not in known:
            raise UsageError(
                f"--task {asked}: the models have no output {output!r}{nearest(output, known)}; they have {', '.join(known)}"
            )
        if name not in TASKS or TASKS[name].of_each != "example":
            rows = [one for one, task_ in TASKS.items() if task_.of_each == "example"]
            raise UsageError(
                f"--task {asked}: {name!r} is no task of one of several outputs{nearest(name, rows)}; there are {', '.join(rows)}"
            )
        shape = known[output]
        if shape is None or len(shape) != 2 or shape[1] is None:
            raise UsageError(f"--task {asked}: output {output} is no row of numbers an example, of a width that the file tells: name the one "
                             "output that is judged, --output")  # fmt: skip
        width = TASKS[name].width(())
        meant[output] = {"task": name, "weight": 1.0} | ({"width": shape[1]} if width is None else {})
        names += [f"{output}{OF}{place}" for place in range(shape[1] if name != "binary" else 2)]
    return task(meant, names)


def labels_of(file: Path, found: Evaluation, several: SeveralOutputs) -> Evaluation:
    """The examples with the labels of all outputs beside each other: of each output that has labels its own, `label.OUTPUT` of the file.

    found: what was read, with these columns; several: the outputs. Raises DataError where one is not there, or is of another shape.
    """
    labelled = [one for one in several.outputs if one.task.label_axes]
    there = [one for one in labelled if f"{LABEL}.{one.name}" in found.more]
    if not there:
        return found
    parts = []
    for one in labelled:
        column = f"{LABEL}.{one.name}"
        if one not in there:
            raise DataError(f"{file} has no {column}, and has {', '.join(found.more)}: give the labels of every output, or name those alone that "
                            "have some, --task OUTPUT=TASK,…")  # fmt: skip
        values = found.more[column].reshape(len(found.more[column]), -1).astype(np.float32)
        wanted = one.labels.stop - one.labels.start
        if values.shape[1] != wanted:
            raise DataError(f"{file}: {column} is of {values.shape[1]} numbers an example, and output {one.name}, task {one.task.name}, takes {wanted}")  # fmt: skip
        parts.append(values)
    return replace(found, labels=np.concatenate(parts, axis=1))


def class_names(side: Given) -> tuple[str, ...]:
    """Of a side that was deployed; a model file does not know them."""
    said = (side.preprocessing() or {}).get("classes")
    return tuple(map(str, said)) if isinstance(said, list) else ()
