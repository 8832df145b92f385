"""Classes of too few examples, left out of a source before it is split."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgecomp.data import duplicates
from edgecomp.data.sources import Examples, Source
from edgecomp.data.sources.examples import chosen
from edgecomp.errors import DataError


def without_rare(source: Source, fewest: int) -> Source:
    """The `source` without classes of fewer than `fewest` different training examples, and a note of how many went.

    Raises DataError where fewer than two classes are left.
    """
    train = source.splits["train"]
    same = duplicates.identities({"train": train})["train"]
    pairs = np.unique(np.stack([train.labels, same], axis=1), axis=0)
    kinds = np.bincount(pairs[:, 0], minlength=len(source.classes))
    kept = np.flatnonzero(kinds >= fewest)
    if len(kept) < 2:
        raise DataError(
            f"data.fewest: {len(kept)} of {len(source.classes)} classes have {fewest} different examples, and a classifier needs two: lower it "
            f"(the commonest has {kinds.max()})"
        )
    if len(kept) == len(source.classes):
        return source
    number = np.full(len(source.classes), -1)
    number[kept] = np.arange(len(kept))
    splits = {name: _of(one, number) for name, one in source.splits.items()}
    gone = len(train.labels) - len(splits["train"].labels)
    note = f"{len(source.classes) - len(kept)} of {len(source.classes)} classes have fewer than {fewest} different examples: they are left out, with {gone:,} examples"
    names: Sequence[str] = [source.classes[place] for place in kept]
    return replace(source, splits=splits, classes=tuple(names), notes=(*source.notes, note))


def _of(examples: Examples, number: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> Examples:
    """Those whose class has a new number."""
    labels = number[examples.labels]
    index = np.flatnonzero(labels >= 0)
    return replace(chosen(examples, index), labels=labels[index])
