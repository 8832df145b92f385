"""Classes of few examples: left out where that is asked for, and kept by a limit."""

from pathlib import Path

import numpy as np
import pytest

from edgecomp.data.rare import without_rare
from edgecomp.data.sources import Examples, Source
from edgecomp.data.splits import Split, write_splits
from edgecomp.errors import DataError

COUNTS = (300, 40, 20, 12)


def source(*counts: int, repeated: int = 1) -> Source:
    labels = np.repeat(np.arange(len(counts)), counts)
    texts = np.arange(len(labels), dtype=np.float32)[:, None] // repeated
    names = tuple(f"class {place}" for place in range(len(counts)))
    return Source({"train": Examples(texts, labels), "test": Examples(texts + 0.5, labels)}, names)


def test_rare_classes_go_from_every_split_and_the_others_keep_their_names() -> None:
    found = without_rare(source(12, 300, 8, 40), 12)
    assert found.classes == ("class 0", "class 1", "class 3")
    for split in found.splits.values():
        assert np.bincount(split.labels).tolist() == [12, 300, 40]
    np.testing.assert_array_equal(found.splits["train"].values[-1], [359])
    assert (
        "1 of 4 classes have fewer than 12 different examples: they are left out, with 8 examples"
        in found.notes[0]
    )


def test_what_is_repeated_counts_once() -> None:
    assert without_rare(source(40, 60, 24, repeated=2), 20).classes == ("class 0", "class 1")
    same = source(*COUNTS)
    assert without_rare(same, 12) is same


def test_where_nothing_would_be_left_it_says_what_there_is() -> None:
    with pytest.raises(DataError, match=r"0 of 2 classes have 50 different examples.*the commonest has 40"):
        without_rare(source(40, 40), 50)


def test_a_limit_keeps_one_of_each_class(tmp_path: Path) -> None:
    names = {"test_fraction": 0.25, "validation_fraction": 0.15, "calibration_fraction": 0.1}
    train = {"train": source(2000, 40, 12, 12).splits["train"]}
    write_splits(
        Source(train, ("a", "b", "c", "d")), **names, limit=20, tokenizer=None, seed=0, folder=tmp_path
    )  # fmt: skip
    for name, most in (("train", 20), ("validation", 10), ("test", 10)):
        labels = Split.load(tmp_path, name).labels
        assert len(labels) <= most
        assert set(labels.tolist()) == {0, 1, 2, 3}
        assert np.bincount(labels).argmax() == 0
