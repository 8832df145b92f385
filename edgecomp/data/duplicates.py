"""Examples that are the same: known by their content, kept in one split, and counted where splits share them."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.data.sources import Examples
from edgecomp.data.sources.examples import Values

Index = npt.NDArray[np.int64]


def identities(splits: Mapping[str, Examples]) -> dict[str, Index]:
    """By split, a number an example [N]: that of the first of all splits' examples with the same inputs."""
    known: dict[str | bytes, int] = {}
    return {
        name: np.asarray([known.setdefault(key, len(known)) for key in _keys(examples.values)], np.int64)
        for name, examples in splits.items()
    }


def _keys(values: Values) -> Iterator[str | bytes]:
    if isinstance(values, list):
        yield from values
        return
    arrays = list(values.values()) if isinstance(values, dict) else [values]
    for rows in zip(*map(np.ascontiguousarray, arrays), strict=True):
        digest = hashlib.blake2b(digest_size=16)
        for row in rows:
            digest.update(np.ascontiguousarray(row).data)
        yield digest.digest()


def drawn_together(
    index: Index, labels: Index, same: Index, share: float, random: np.random.Generator
) -> tuple[Index, Index]:
    """`index` without, and with, at most a `share` of every class, where examples that are the same stay
    together.

    index: int64 [n], places in `labels` and `same`, int64 [N], an example's class and what `identities` gives
    it; random: draws who goes. Of a class something stays on either side if it has two different examples;
    one that has several labels counts for its first.
    """
    _, first, group, sizes = np.unique(
        same[index], return_index=True, return_inverse=True, return_counts=True
    )
    of_class = labels[index][first]
    chosen = np.zeros(len(sizes), bool)
    for label in np.unique(of_class):
        groups = random.permutation(np.flatnonzero(of_class == label))
        left = max(math.ceil(share * sizes[groups].sum() - 1e-6), sizes[groups].min())
        for one in groups[: len(groups) - 1]:
            if sizes[one] <= left:
                chosen[one] = True
                left -= sizes[one]
    return index[~chosen[group]], index[chosen[group]]


def with_pairs(same: Index, pairs: npt.NDArray[Any]) -> Index:
    """Groups, int64 [N], of what belongs together: examples that are the same, and both of a pair. same: as `identities` gives it; pairs:
    [N], of which pair each is."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, one = np.unique(same, return_inverse=True)
    _, other = np.unique(pairs, return_inverse=True)
    size = int(one.max()) + int(other.max()) + 2
    graph = coo_array((np.ones(len(one)), (one, one.max() + 1 + other)), shape=(size, size))
    _, groups = connected_components(graph, directed=False)
    return np.asarray(groups[one], np.int64)


def found(same: Mapping[str, Index], labels: Mapping[str, Index], source_train: Index) -> dict[str, Any]:
    """How many examples splits share, and how many contradict each other. same, labels: of the splits as they
    are written; source_train: `same` of all that the source's train split holds. All are int64 [N]."""
    trained = np.concatenate([same["train"], same["calibration"]])
    everywhere = np.concatenate(list(same.values()))
    pairs = np.unique(np.stack([everywhere, np.concatenate(list(labels.values()))], axis=1), axis=0)
    contradicting = np.flatnonzero(np.bincount(pairs[:, 0]) > 1)
    return {
        "repeated": int(len(source_train) - len(np.unique(source_train))),
        "validation_in_training": int(np.isin(same["validation"], trained).sum()),
        "test_in_training": int(np.isin(same["test"], trained).sum()),
        "test_in_validation": int(np.isin(same["test"], same["validation"]).sum()),
        "contradicting": int(np.isin(everywhere, contradicting).sum()),
    }


def told(counted: Mapping[str, int], sizes: Mapping[str, int], of_source: int, carved: bool) -> list[str]:
    """A sentence for each of the counts that is not zero. counted: what `found` gives; sizes: of the splits,
    in examples; of_source: of the source's train split; carved: whether what is judged on was drawn from
    the training data."""
    sentences = []
    if count := counted["repeated"]:
        kept = "; duplicates were kept in one split" if carved else ""
        sentences.append(f"{count:,} of {of_source:,} training examples are duplicates of another{kept}")
    for split in ("validation", "test"):
        if count := counted[f"{split}_in_training"]:
            sentences.append(f"{count:,} of {sizes[split]:,} {split} examples are duplicates of training examples: "
                             "figures on them say how well they are remembered; take them out of either split")  # fmt: skip
    if count := counted["test_in_validation"]:
        sentences.append(f"{count:,} of {sizes['test']:,} test examples are duplicates of validation examples, on which "
                         "choices are made; take them out of either split")  # fmt: skip
    if count := counted["contradicting"]:
        sentences.append(f"{count:,} examples are duplicates that differ in their label: no answer is right for all of them")  # fmt: skip
    return sentences
