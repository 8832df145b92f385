"""A student that learns new classes and keeps what it knew: which examples it learns from, and what it said of the old ones before."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from edgecomp.data.splits import Split
from edgecomp.data.views import Views, examples_of
from edgecomp.errors import DataError, nearest
from edgecomp.training.loop import logits_of

Places = npt.NDArray[np.int64]


def numbers_of(old: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The numbers of the classes called `old`. classes: all that the data have. Raises DataError with every name that is none of them, or where
    nothing new is left."""
    unknown = [name for name in old if name not in classes]
    if unknown:
        said = ", ".join(f"{name!r}{nearest(name, classes)}" for name in unknown)
        raise DataError(f"distill.lifelong.old_classes: no such class {said}; there are {', '.join(classes)}")
    if len(old) == len(classes):
        raise DataError(
            "distill.lifelong.old_classes: all classes are old, and nothing new is learnt: leave some out"
        )
    return [list(classes).index(name) for name in old]


def old_places(labels: npt.NDArray[np.int64], old: Sequence[int]) -> Places:
    """Of examples with these `labels`, int64 [N], those of `old` classes."""
    return np.flatnonzero(np.isin(labels, old))


def new_places(labels: npt.NDArray[np.int64], old: Sequence[int], replay: float, seed: int) -> Places:
    """Of examples with these `labels`, int64 [N], those of new classes, and a share of the others.

    old: numbers of classes; replay: how much of each old class is kept in a buffer, rounded up, from 0 to 1; seed: draws which.
    """
    random = np.random.default_rng(seed)
    chosen = [np.flatnonzero(~np.isin(labels, old))]
    for label in old:
        of_class = random.permutation(np.flatnonzero(labels == label))
        chosen.append(of_class[: int(np.ceil(replay * len(of_class)))])
    return np.sort(np.concatenate(chosen))


def of_old(views: Views, old: Sequence[int]) -> Views:
    """The `views` with the examples of `old` classes alone on the validation split, by which a student of these is watched."""
    validation = views.validation
    places = old_places(validation.labels, old)
    arrays = {name: values[places] for name, values in validation.arrays.items()}
    return Views(
        views.train, Split(arrays, validation.labels[places]), views.preprocessing, views.augmentation
    )


def what_was_known(network: nn.Module, test: Split, views: Views, old: Sequence[int]) -> dict[str, Any]:
    """Of the examples of `old` classes in the `test` split: their places, and whether the old student was right, 0 or 1.

    network: the old student; views: with the preprocessing.
    """
    places = old_places(test.labels, old)
    arrays = {name: values[places] for name, values in test.arrays.items()}
    answers = logits_of(network, examples_of(Split(arrays, test.labels[places]), views.preprocessing)).argmax(
        axis=1
    )
    return {"examples": places.tolist(), "right": (answers == test.labels[places]).astype(int).tolist()}
