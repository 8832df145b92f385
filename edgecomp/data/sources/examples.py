"""What a source of data is asked for, and what it hands back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError, nearest
from edgecomp.inputs import some
from edgecomp.tasks import DEFAULT, Labels, Meant, SeveralOutputs, Task
from edgecomp.tasks import task as meaning

SPLITS = ("train", "validation", "test")

Tensors: TypeAlias = dict[str, npt.NDArray[Any]]
Values: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.float32] | list[str] | Tensors


@dataclass(frozen=True)
class Examples:
    """One split of a source, as it comes.

    values: uint8 images [N, channels, height, width], float32 arrays [N, ...], a list of N texts, or a network's inputs by name, as they
    are, [N, ...] each;
    labels: as edgecomp.tasks has them, int64 [N] of classes for instance; slices: texts [N], the part of the data that each is of, where asked for.
    """

    values: Values
    labels: Labels
    slices: npt.NDArray[np.str_] | None = None


@dataclass(frozen=True)
class Source:
    """splits: "train" always; "validation" and "test" where the source has its own. classes: the names of classes, labels or targets.

    columns: what a row's numbers are, in order, where the source names them; notes: what its user should know of it; left_out: by split, of
    data that are read to be cleaned, what cannot be an example: its place in the data as they came, the rule of cleaning, and why.
    """

    splits: dict[str, Examples]
    classes: tuple[str, ...]
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, Sequence[tuple[int, str, str]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """Which data. `files`: split → file name (images: folder name; a hub data set: the hub's split name).

    `inputs`, `label`, `slice`: a column, or an array's name; `inputs` may list columns of numbers, or the arrays that a network takes as they
    are, in its order. `image_size`: images are resized
    to it, bilinear; None: they must all be of one size. `mode`: "L" or "RGB"; None: as they are, and they must all be of
    one mode. `to_clean`: what is missing, damaged or of another kind than the rest is handed on, or left out by name, instead of refused.
    `tensors`: by name what a network takes, as `tensors.fitted` has it, in place of `inputs`. `task`: what the labels are, a row of
    edgecomp.tasks.TASKS.
    """

    source: str
    path: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    inputs: str | list[str] | None = None
    label: str | list[str] | None = None
    slice: str | None = None
    image_size: int | None = None
    mode: str | None = None
    tensors: Mapping[str, str] = field(default_factory=dict)
    task: Meant = DEFAULT
    to_clean: bool = False

    @property
    def meaning(self) -> Task:
        """What the labels are; of several outputs, without their places."""
        return meaning(self.task)

    @property
    def labels(self) -> list[str]:
        """The columns or arrays of labels that are named; of several outputs, one output's after another's."""
        return [name for _, names in self.labels_of for name in names]

    @property
    def labels_of(self) -> list[tuple[Task, list[str]]]:
        """Of each output that has labels, in their order, its task and the columns or arrays that are named."""
        of = self.meaning
        if not isinstance(of, SeveralOutputs):
            return [(of, _listing(self.label))]
        assert not isinstance(self.task, str)
        told = self.task
        return [
            (one.task, _listing(told[one.name].get("label"))) for one in of.outputs if one.task.label_axes
        ]


def _listing(label: str | list[str] | None) -> list[str]:
    return [] if label is None else [label] if isinstance(label, str) else label


def refuse_unused(wanted: Wanted, *unused: str) -> None:
    """Raises DataError where `wanted` has a setting among the `unused`, names of its fields, which its source
    has no use for."""
    given = [f"data.{name}" for name in unused if getattr(wanted, name)]
    if given:
        raise DataError(f"source {wanted.source!r} has no use for {' and '.join(given)}: take it out")


def check_files(wanted: Wanted) -> None:
    """Raises DataError where the `files` that are `wanted` have an unknown split, or no train split."""
    for split in wanted.files:
        if split not in SPLITS:
            raise DataError(f"data.files: no such split {split!r}{nearest(split, SPLITS)}; "
                            f"splits are {', '.join(SPLITS)}")  # fmt: skip
    if wanted.files and "train" not in wanted.files:
        raise DataError(
            f"data.files names {', '.join(wanted.files)}, and not train: there is nothing to learn from"
        )


def check_source(source: Source, wanted: Wanted) -> None:
    """Raises DataError where a split of `source` is empty, of one class, or unlike the train split, or where
    `wanted` has a setting for images, and these are none."""
    train = source.splits["train"]
    of_classes = wanted.meaning.strata(train.labels) is not None
    known = set(np.unique(train.labels).tolist())
    for name, split in source.splits.items():
        where = f"{_title(wanted)}: the {name} split"
        if len(split.labels) == 0:
            raise DataError(
                f"{where} is empty: there is nothing to {'learn from' if name == 'train' else 'judge on'}"
            )
        present = np.unique(split.labels).tolist() if of_classes else []
        unseen = [source.classes[index] for index in present if index not in known]
        if unseen:
            raise DataError(f"{where} has class{'es' if len(unseen) > 1 else ''} {_listed(unseen)}, and the train split "
                            "has no example of it: no student can learn it; add examples, or take it out")  # fmt: skip
        if of_classes and len(present) < 2:
            raise DataError(f"{where} has one class, {source.classes[present[0]]!r}, in its {len(split.labels)} "
                            "examples: a classifier needs two (is the file sorted by label, and cut?)")  # fmt: skip
        _check_alike(split.values, train.values, where)
    images = isinstance(train.values, np.ndarray) and train.values.dtype == np.uint8
    if not images:
        for setting in ("image_size", "mode"):
            if getattr(wanted, setting) is not None:
                kind = "texts" if isinstance(train.values, list) else "arrays of numbers"
                raise DataError(f"data.{setting} is for images, and {_title(wanted)} has {kind}: take it out")


def _check_alike(values: Values, train: Values, where: str) -> None:
    if isinstance(values, list) or isinstance(train, list):
        if type(values) is not type(train):
            raise DataError(f"{where} and the train split differ: one has texts, the other numbers")
        return
    if isinstance(values, dict) or isinstance(train, dict):
        assert isinstance(values, dict)
        assert isinstance(train, dict)
        for name, one in values.items():
            _check_alike(one, train[name], f"{where}: {name}")
        return
    if values.dtype != train.dtype:
        raise DataError(
            f"{where} holds {values.dtype}, the train split {train.dtype}: one of them must change"
        )
    if values.shape[1:] == train.shape[1:]:
        return
    hint = ""
    if values.dtype == np.uint8:
        hint = "; set data.mode" if values.shape[1] != train.shape[1] else "; set data.image_size"
    raise DataError(
        f"{where} has examples of shape {values.shape[1:]}, the train split of {train.shape[1:]}{hint}"
    )


def _title(wanted: Wanted) -> str:
    return wanted.path or wanted.source


def _listed(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def chosen(examples: Examples, index: npt.NDArray[np.int64]) -> Examples:
    """Those of the `examples` at `index`, int64 [n]."""
    values = examples.values
    return replace(
        examples,
        values=[values[place] for place in index]
        if isinstance(values, list)
        else some(values, index)
        if isinstance(values, dict)
        else values[index],
        labels=examples.labels[index],
        slices=None if examples.slices is None else examples.slices[index],
    )
