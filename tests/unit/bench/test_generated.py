"""Inputs for a model of which nothing is known but its signature."""

from pathlib import Path

import numpy as np
import pytest

from edgecomp.bench.examples import read
from edgecomp.bench.generated import generate, rows_of
from edgecomp.errors import DataError, UsageError
from edgecomp.runtimes import Port
from edgecomp.targets import Shapes

SHAPES = Shapes(sequence_length=7, image_size=9)
IMAGE = Port("image", (None, 3, None, None), "float32")
IDS = Port("input_ids", (None, None), "int64")
MASK = Port("attention_mask", (None, None), "int64")
TYPES = Port("token_type_ids", (None, None), "int64")


def test_open_axes_get_the_targets_lengths_and_ids_are_ids() -> None:
    made = generate([IMAGE, IDS, MASK, TYPES], SHAPES, count=5, seed=0)
    assert {name: values.shape for name, values in made.items()} == {
        "image": (5, 3, 9, 9),
        "input_ids": (5, 7),
        "attention_mask": (5, 7),
        "token_type_ids": (5, 7),
    }
    assert made["image"].dtype == np.float32
    assert 0 <= made["input_ids"].min() < made["input_ids"].max() < 100
    assert (made["attention_mask"] == 1).all()
    assert (made["token_type_ids"] == 0).all()
    again = generate([IMAGE, IDS, MASK, TYPES], SHAPES, count=5, seed=0)
    assert all((again[name] == values).all() for name, values in made.items())


@pytest.mark.parametrize(
    ("port", "words"),
    [
        (Port("words", (None, 3), "string"), "'words' is of string, which cannot be made up"),
        (Port("x", None, None), "does not tell the shape of its input 'x'"),
        (Port("x", (), "float32"), "'x' is a single number"),
    ],
)
def test_what_cannot_be_made_up_is_asked_for(port: Port, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        generate([port], SHAPES, count=1, seed=0)


def test_a_fixed_batch_is_seen() -> None:
    assert rows_of([IMAGE, IDS]) is None
    assert rows_of([Port("x", (8, 3), "float32"), IDS]) == 8


def test_examples_come_from_a_file(tmp_path: Path) -> None:
    given = {"input_ids": np.ones((3, 5), np.int64), "attention_mask": np.ones((3, 5), np.int64)}
    np.savez(tmp_path / "in.npz", left_over=np.zeros(3), **given)
    found = read(tmp_path / "in.npz", [IDS, MASK])
    assert list(found.inputs) == ["input_ids", "attention_mask"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "has no input_ids, attention_mask; it has nothing"),
        ({"input_ids": np.ones((3, 5), np.int64)}, "has no attention_mask; it has input_ids"),
        ({"input_ids": np.full((3, 5), 1.5), "attention_mask": np.ones((3, 5), np.int64)},
         "of float64, the model takes int64, in which 15 of 15 numbers are others: 1.5 of example 0"),
        ({"input_ids": np.ones((3, 5, 1), np.int64), "attention_mask": np.ones((3, 5), np.int64)},
         r"of \[3, 5, 1\], the model takes \[any, any\]"),
        ({"input_ids": np.ones((3, 5), np.int64), "attention_mask": np.ones((2, 5), np.int64)}, "input_ids 3, attention_mask 2 examples: they must be as many"),
        ({"input_ids": np.ones((0, 5), np.int64), "attention_mask": np.ones((0, 5), np.int64)}, "one at least"),
    ],
)  # fmt: skip
def test_examples_that_do_not_fit_are_refused(
    content: dict[str, np.ndarray], words: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "in.npz", **content)
    with pytest.raises(DataError, match=words):
        read(tmp_path / "in.npz", [IDS, MASK])


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.npz").write_bytes(b"PK\3\4 cut short")
    with pytest.raises(DataError, match=r"cut\.npz is not a readable \.npz file"):
        read(tmp_path / "cut.npz", [IDS])
    with pytest.raises(DataError, match="no such file of examples"):
        read(tmp_path / "none.npz", [IDS])
