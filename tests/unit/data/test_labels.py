import numpy as np
import pytest

from edgecomp.data.labels import as_written
from edgecomp.errors import DataError
from edgecomp.tasks.labels import encode_classes


def test_names_come_from_the_file_or_from_the_labels_of_all_splits() -> None:
    labels, classes = encode_classes({"train": [1, 0], "test": [1]}, ("no", "yes"), "x")
    assert classes == ("no", "yes")
    assert labels["train"].tolist() == [1, 0]
    assert encode_classes({"train": [10, 2], "test": [3]}, None, "x")[1] == (
        "2",
        "3",
        "10",
    )  # as numbers are sorted
    assert encode_classes({"train": ["10", "2"], "test": ["3"]}, None, "x")[1] == ("10", "2", "3")
    assert encode_classes({"train": [True, False]}, None, "x")[1] == ("False", "True")
    assert encode_classes({"train": ["yes", "no"]}, ("no", "yes"), "x")[1] == ("no", "yes")


def test_what_is_written_as_a_number_everywhere_is_one() -> None:
    assert as_written({"train": ["2", "10", None], "test": ["-1"]}) == {"train": [2, 10, None], "test": [-1]}
    assert as_written({"train": ["1.0", "2"]}) == {"train": [1.0, 2]}
    assert as_written({"train": [True, None]}) == {"train": [True, None]}
    huge = ["12345678901234567890", "12345678901234567891"]
    assert as_written({"train": huge}) == {"train": [int(label) for label in huge]}


@pytest.mark.parametrize("code", ["01", "-01", "00", "1-2", "1 2", "1_2", "1٣", "a"])
def test_one_code_that_is_no_number_makes_codes_of_all(code: str) -> None:
    assert as_written({"train": ["1", "2"], "test": [code]}) == {"train": ["1", "2"], "test": [code]}


def test_whole_floats_are_integers() -> None:
    labels, classes = encode_classes({"train": [1.0, 0.0, 2]}, None, "x")
    assert classes == ("0", "1", "2")
    assert labels["train"].dtype == np.int64


@pytest.mark.parametrize(
    ("labels", "names", "complaint"),
    [
        ([0, 1, 0.5], None, "label 0.5 of example 2 (from 0) is not a whole number"),
        ([0, float("inf")], None, "inf of example 1 (from 0) is not a whole number"),
        ([0, None, None], None, "2 of 3 examples have no label, the first at 1 (from 0): it is None"),
        ([0.0, float("nan")], None, "1 of 2 examples have no label, the first at 1 (from 0): it is nan"),
        (["a", ""], None, "have no label"),
        ([-1, -1, -1], None, "3 of 3 examples have the label -1"),
        ([0, 1, -1], None, "it marks examples without a label"),
        ([1, -1], ("a", "b"), "it marks examples without a label"),
        (
            [0, 1, 2],
            ("a", "b"),
            "label 2 of example 2 (from 0) has no name: the file names 2 classes, 0 to 1",
        ),
        ([0, -2], ("a", "b"), "label -2 of example 1 (from 0) has no name"),
        (["a", "b", 3], None, "label 3 of example 2 (from 0) is a int, and 'a' of example 0 is not"),
        ([0, [1]], None, "is a list"),
    ],
)
def test_labels_that_cannot_serve_are_refused(
    labels: list[object], names: tuple[str, ...] | None, complaint: str
) -> None:
    with pytest.raises(DataError) as caught:
        encode_classes({"train": labels}, names, "here")
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("here, train split: ")


def test_labels_of_minus_one_and_one_are_two_classes() -> None:
    assert encode_classes({"train": [-1, 1]}, None, "x")[1] == ("-1", "1")


def test_an_unlabelled_test_split_says_how_to_leave_it_out() -> None:
    with pytest.raises(DataError, match=r"x, test split: 2 of 2 .* naming only the others in data\.files"):
        encode_classes({"train": [0, 1], "test": [-1, -1]}, None, "x")


def test_splits_must_write_labels_the_same_way() -> None:
    with pytest.raises(DataError, match="integers in one split and strings in another"):
        encode_classes({"train": [0, 1], "test": ["a"]}, None, "x")
