"""Which output is judged, what it says as classes, and what outputs differ by."""

from typing import Any

import numpy as np
import pytest

from edgecomp.comparison import numbers
from edgecomp.comparison.judged import judged, judged_as
from edgecomp.errors import DataError
from edgecomp.metrics.comparison import BASELINE, CANDIDATE
from edgecomp.tasks import TASKS

LABELS = np.array([0, 1, 1, 0])
WIDE = np.eye(4, 3, dtype=np.float32)
COLUMN = np.array([[0.1], [0.9], [0.6], [0.4]], np.float32)


def output_errors(outputs: Any) -> Any:
    return numbers.told(numbers.by_output(outputs))["outputs"]


def both(**outputs: Any) -> dict[str, dict[str, Any]]:
    return {BASELINE: outputs, CANDIDATE: outputs}


@pytest.mark.parametrize(
    ("outputs", "name"),
    [
        ({"label": LABELS, "p": WIDE}, "p"),
        ({"score": COLUMN, "p": WIDE}, "p"),
        ({"features": np.ones((4, 8, 8)), "p": WIDE}, "p"),
        ({"p": WIDE, "q": WIDE}, "p"),
        ({"label": LABELS, "int8": WIDE.astype(np.int8)}, "int8"),
        ({"score": COLUMN, "odd": LABELS.astype(bool)}, "odd"),
        ({"label": LABELS, "score": COLUMN}, "score"),
        ({"text": np.array(["a", "b", "c", "d"]), "label": LABELS}, "label"),
    ],
)
def test_what_has_a_value_a_class_goes_first(outputs: dict[str, Any], name: str) -> None:
    assert judged(both(**outputs), None, LABELS).name == name
    last = list(outputs)[-1]
    assert judged(both(**outputs), last, LABELS).name == last


@pytest.mark.parametrize(
    ("values", "how"),
    [
        (COLUMN, "one value an example, class 1 over 0.5"),
        (COLUMN[:, 0], "one value an example, class 1 over 0.5"),
        (20 * COLUMN - 10, "one value an example, class 1 over 0"),
        (LABELS, "the class itself"),
        (LABELS[:, None].astype(bool), "the class itself"),
        (np.stack([1 - COLUMN[:, 0], COLUMN[:, 0]], axis=1), "the largest of 2 values"),
    ],
)
def test_however_a_class_is_said_it_is_that_class(values: np.ndarray, how: str) -> None:
    found = judged(both(y=values), None, LABELS)
    assert found.how == how
    for logits in found.logits.values():
        np.testing.assert_array_equal(logits.argmax(axis=1), LABELS)


def test_both_are_judged_as_what_is_in_use_is_called() -> None:
    """Whoever calls the baseline takes over 0.5 for a 1: a candidate of logits is another function."""
    found = judged({BASELINE: {"p": COLUMN}, CANDIDATE: {"p": 2 * COLUMN - 1}}, None, LABELS)
    assert found.logits[BASELINE].argmax(axis=1).tolist() == LABELS.tolist()
    assert found.logits[CANDIDATE].argmax(axis=1).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.ones((4, 8, 8), np.float32), r"y is of float32 \[8, 8\] an example, which is no class for each"),
        (np.array(list("abcd")), "y is of text .* which is no class"),
        ([np.ones((2, 4)), np.ones((0, 4))], "y is of another number of values from example to example"),
        (np.array([0, 1, -1, 0]), "from -1 to 1: classes are 0 to 999 at most"),
        (np.array([0, 1, 2**40, 0]), "from 0 to 1099511627776: classes are"),
        (WIDE[:3], "too much of the memory to be kept beside other outputs: name it with --output y"),
    ],
)
def test_what_is_no_class_is_told(values: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        judged(both(y=values), None, LABELS)


def test_labels_that_one_value_cannot_say_are_told() -> None:
    with pytest.raises(DataError, match="a label is 3, and output y has one value an example"):
        judged(both(y=COLUMN), None, LABELS + 2)


def test_outputs_differ_by_their_deviation_and_names_by_how_many() -> None:
    values = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    theirs: dict[str, Any] = {
        "y": values, "text": np.array(["cat", "dog"] * 100), "boxes": [np.ones((2, 4)), np.ones((3, 4))], "nan": values,
    }  # fmt: skip
    ours: dict[str, Any] = {
        "y": values + values.std() / 4,
        "text": np.array(["cat", "cow"] * 100),
        "boxes": [np.ones((2, 4)), np.ones((1, 4))],
        "nan": values * np.nan,
    }
    found = output_errors({BASELINE: theirs, CANDIDATE: ours})
    assert found == {"y": pytest.approx(25), "text": 50, "boxes": 50, "nan": None}
    assert set(output_errors({BASELINE: theirs, CANDIDATE: theirs}).values()) == {0}
    assert output_errors({BASELINE: theirs, CANDIDATE: {}})["y"] is None


def test_outputs_have_directions_and_largest_values_where_they_can() -> None:
    wide = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    theirs = {
        "logits": wide,
        "one": wide[:, :1],
        "maps": wide.reshape(6, 3, 1),
        "classes": np.arange(6),
        "zeros": 0 * wide,
    }
    ours = theirs | {"logits": -wide, "zeros": np.eye(6, 3, dtype=np.float32)}
    found = numbers.told(numbers.by_output({BASELINE: theirs, CANDIDATE: ours}))
    assert found["cosines_pct"] == pytest.approx({"logits": -100, "maps": 100, "zeros": 50})
    assert found["agreeing"] == {"logits": [0, 6], "zeros": [4, 6]}
    assert {name for name, error in found["outputs"].items() if error} == {"logits", "zeros"}


def test_what_a_task_calls_the_same_answer_is_the_same() -> None:
    """Of vectors of which the direction counts, it is not which number is the largest."""
    task = TASKS["regression"]
    values = np.random.default_rng(0).normal(size=(50, 1)).astype(np.float32)
    both = {BASELINE: {"y": values}, CANDIDATE: {"y": values + 0.01}}
    assert "agrees" not in (numbers.by_output(both)["y"] or {})
    found = numbers.by_output(both, task)["y"]
    assert found is not None
    assert found["agrees"].all()


def test_a_task_takes_the_first_output_that_fits_its_labels() -> None:
    several = {
        "text": np.array(list("abcd")),
        "class": LABELS,
        "p": WIDE,
        "flat": COLUMN[:, 0],
        "boxes": [np.ones((2, 4))] * 4,
    }
    found = judged_as(TASKS["multilabel"], both(**several), None, WIDE > 0)
    assert (found.name, found.how, found.labels.dtype.kind) == ("p", "task multilabel", "i")
    found = judged_as(TASKS["regression"], both(**several), None, COLUMN[:, 0])
    assert (found.name, found.labels.shape, found.logits[CANDIDATE].shape) == ("flat", (4, 1), (4, 1))
    assert judged_as(TASKS["regression"], both(**several), "class", LABELS).name == "class"
    assert judged_as(TASKS["binary"], both(**several), None, LABELS).name == "flat"
    for output, words in (
        ("text", "output text is of text"),
        ("boxes", "output boxes is of another number of values"),
        ("p", "labels of shape"),
    ):
        with pytest.raises(
            DataError, match=f"no output is one of task regression for these labels: .*{words}"
        ):
            judged_as(TASKS["regression"], both(**several), output, COLUMN)
    with pytest.raises(DataError, match="labels of task multilabel are 0 or 1"):
        judged_as(TASKS["multilabel"], both(p=WIDE), None, 2 * LABELS[:, None] + 0 * WIDE.astype(int))
