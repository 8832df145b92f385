"""The examples that two models are compared on, and what their labels mean."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgecomp.benchmark.inputs import examples as evaluations
from edgecomp.benchmark.inputs.examples import Evaluation
from edgecomp.comparison.sides import Given, check_labels, check_recorded
from edgecomp.comparison.trial import Judging
from edgecomp.config.target import Target
from edgecomp.data import preprocessing
from edgecomp.data.splits import Split
from edgecomp.errors import UsageError, nearest
from edgecomp.files.writing import sha256
from edgecomp.runtimes import Port
from edgecomp.tasks import DEFAULT, TASKS, Task


def given_examples(file: Path, ports: Sequence[Port], baseline: Given, judging: Judging) -> Evaluation:
    """Of --data, `file`, with labels as they are judged, by `judging`: numbers of a task, anything of a
    score, else classes. ports: the models' inputs; baseline: whose preprocessing tells the mean and deviation
    of labels that are numbers. Raises DataError."""
    meaning: evaluations.Meaning = "classes"
    if judging.task is not None:
        meaning = "numbers"
    elif judging.score is not None:
        meaning = "anything"
    found = evaluations.read(file, ports, meaning)
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


def told_task(asked: str | None, sides: Sequence[Given]) -> Task | None:
    """What outputs mean, as it was asked, or as what was deployed, the sides, says; None of classes, which
    are read in whichever form. Raises UsageError."""
    told = [asked] if asked is not None else [one for side in sides if (one := side.task()) is not None]
    for name in told:
        if name not in TASKS:
            raise UsageError(
                f"--task {name}: no such task{nearest(name, TASKS)}; there are {', '.join(TASKS)}"
            )
    return TASKS[told[0]] if told and told[0] != DEFAULT else None


def class_names(side: Given) -> tuple[str, ...]:
    """Of a side that was deployed; a model file does not know them."""
    said = (side.preprocessing() or {}).get("classes")
    return tuple(map(str, said)) if isinstance(said, list) else ()
