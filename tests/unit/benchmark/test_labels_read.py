"""Labels of a file of examples: classes, numbers of a task, or anything that a score function takes."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from edgecomp.benchmark.inputs.examples import Evaluation, Meaning, read
from edgecomp.errors import DataError
from edgecomp.runtimes import Port

X = Port("x", (None, 2), "float32")


def given(folder: Path, label: Any, meaning: Meaning) -> Any:
    np.savez(folder / "d.npz", x=np.zeros((len(label), 2), np.float32), label=label)
    return read(folder / "d.npz", [X], meaning).labels


def test_numbers_of_any_shape_are_labels_of_a_task(tmp_path: Path) -> None:
    for label in (np.ones(3), np.ones((3, 2), bool), np.ones((3, 4, 4), np.uint8)):
        np.testing.assert_array_equal(given(tmp_path, label, "numbers"), label)


@pytest.mark.parametrize(
    ("label", "meaning", "words"),
    [
        (["a", "b"], "numbers", "`label` is of <U1, and must be numbers, or classes by their numbers"),
        ([1.0, np.nan, np.inf], "numbers", r"`label` of example 1 is no number \(2 are none\)"),
        ([0.5, 1.0], "classes", "what else labels mean is said with --task or --score"),
    ],
)
def test_what_is_none_is_told(tmp_path: Path, label: list[Any], meaning: Meaning, words: str) -> None:
    with pytest.raises(DataError, match=words):
        given(tmp_path, np.array(label), meaning)


def test_a_score_function_takes_lists_of_any_length_and_several_columns(tmp_path: Path) -> None:
    label = [{"boxes": [[0.0, 1.0]] * count, "kinds": ["cat"] * count} for count in (0, 2, 1)]
    for rows in (label, [row["boxes"] for row in label]):
        table = pyarrow.table(
            {"x": pyarrow.array([[0.0, 0.0]] * 3, pyarrow.list_(pyarrow.float32())), "label": rows}
        )
        parquet.write_table(table, tmp_path / "d.parquet")
        found = read(tmp_path / "d.parquet", [X], "anything").labels
        assert found is not None
        assert (found.shape, found.tolist()) == ((3,), rows)
    with pytest.raises(DataError, match="the lists of label are of different lengths: pad them to one"):
        read(tmp_path / "d.parquet", [X], "numbers")


def test_labels_in_the_datas_unit_are_held_against_answers_in_another() -> None:
    on = Evaluation({}, np.array([10.0, 30.0]), target_mean=(20.0,), target_std=(10.0,))
    found = on.standardised().labels
    assert found is not None
    assert found.tolist() == [[-1.0], [1.0]]
    assert Evaluation({}, np.array([3.0])).standardised().labels == np.array([3.0])
