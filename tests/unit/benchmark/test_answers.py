"""What a model answers, whatever that is made of."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecomp.benchmark.worker import answers

Arrays = dict[str, np.ndarray]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array(["a", "bcd"], object), np.array(["a", "bcd"])),
        ([{"cat": 0.25, "dog": 0.75}, {"cat": 1.0, "dog": 0.0}], np.array([[0.25, 0.75], [1.0, 0.0]])),
        ([{2: 0.5}, {1: 0.25}], np.array([[0, 0.5], [0.25, 0]])),
        ([np.ones((2, 3)), np.zeros((2, 3))], np.stack([np.ones((2, 3)), np.zeros((2, 3))])),
        ([np.ones(2), np.zeros(3)], np.array([1.0, 1, 0, 0, 0])),
        ({"a": 1.0}, np.array([[1.0]])),
        (3.5, np.array([3.5])),
        (None, np.empty(0)),
        ([], np.empty(0)),
    ],
)
def test_whatever_is_returned_becomes_an_array(value: Any, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(answers.as_array(value), expected)


def test_an_axis_of_examples_comes_first() -> None:
    found = answers.as_arrays({"out": np.ones((7, 2, 5)), "s": np.ones(())}, {"out": 1, "s": None})
    assert {name: values.shape for name, values in found.items()} == {"out": (2, 7, 5), "s": ()}


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (np.array([1.0, np.nan, np.inf]), "NaN"),
        (np.array([1.0, -np.inf], np.float16), "infinity"),
        (np.array([1.0, 2.0]), ""),
        (np.array([1 + 1j, np.nan]), "NaN"),
        (np.array(["nan"]), ""),
        (np.array([True]), ""),
        (np.array([2**62]), ""),
        (np.empty((0, 4)), ""),
    ],
)
def test_what_is_no_number_is_said(values: np.ndarray, what: str) -> None:
    assert answers.broken(values) == what


def test_what_is_told_passes_as_json_whatever_it_is() -> None:
    given = {
        "p": np.arange(3000, dtype=np.float16).reshape(2, -1),
        "text": np.array(["ä", "b"]),
        "is": np.array([True]),
        "none": np.empty((0, 3), np.int64),
        "wave": np.array([1 + 2j]),
        "nan": np.array([np.nan]),
    }
    told = json.loads(json.dumps(answers.told(given)))
    assert [one["dtype"] for one in told.values()] == [
        "float16",
        "string",
        "bool",
        "int64",
        "complex128",
        "float64",
    ]
    assert len(told["p"]["values"]) == 1000 // 6
    assert told["none"]["shape"] == [0, 3]
    assert told["wave"]["values"] == [1, 2]
    assert told["nan"]["broken"] == "NaN"


def kept(found: dict[str, answers.Answer], folder: Path) -> dict[str, answers.Answer]:
    answers.save(found, folder / "a.npz")
    return answers.load(folder / "a.npz")


def test_answers_are_kept_by_example_and_else_by_query(tmp_path: Path) -> None:
    queries: list[Arrays] = [
        {"file": np.ones((2, 3)), "": np.zeros((4, 2), np.int64), "text": np.array(["a", "bc"]), "loss": np.array(0.5)},
        {"file": np.zeros((1, 3)), "": np.ones((0, 2), np.int64), "text": np.array(["def"]), "loss": np.array(0.25)},
    ]  # fmt: skip
    found = kept(answers.put_together(queries, [2, 1]), tmp_path)
    assert list(found) == ["file", "", "text", "loss"]
    np.testing.assert_array_equal(found["file"], [[1, 1, 1], [1, 1, 1], [0, 0, 0]])
    np.testing.assert_array_equal(found["text"], ["a", "bc", "def"])
    assert [part.shape for part in found[""]] == [(4, 2), (0, 2)]
    assert [float(part) for part in found["loss"]] == [0.5, 0.25]


def test_what_was_left_out_of_later_queries_is_of_the_first(tmp_path: Path) -> None:
    queries: list[Arrays] = [{"a": np.ones((2, 1)), "b": np.ones((2, 9))}, {"a": np.ones((2, 1))}]
    found = kept(answers.put_together(queries, [2, 2]), tmp_path)
    assert {name: len(one) for name, one in found.items()} == {"a": 4, "b": 2}


def timed(found: dict[str, answers.Answer], *, told: dict[int, Arrays], rows: int = 1) -> dict[str, float]:
    return answers.timed_errors(found, {place: answers.told(one) for place, one in told.items()}, rows)


def test_an_error_is_over_the_deviation_of_all_answers() -> None:
    values = np.random.default_rng(0).normal(size=(10, 4))
    assert timed({"y": values}, told={3: {"y": values[3:4]}}) == {"y": 0}
    assert timed({"y": values}, told={3: {"y": values[3:4] + 0.5 * values.std()}})["y"] == pytest.approx(0.5)
    assert timed({"y": values}, told={1: {"y": values[4:8]}}, rows=4) == {"y": 0}
    assert timed({"y": values}, told={2: {"y": values[:4]}}, rows=4) == {
        "y": 0
    }  # it has no answer of its own


def test_names_that_differ_count_and_one_of_many_that_a_rounding_tips_does_not_decide() -> None:
    names = np.array(["cat", "dog", "catfish", "owl"])
    same = {place: {"label": names[place : place + 1]} for place in range(4)}
    assert timed({"label": names}, told=same) == {"label": 0}
    assert timed({"label": names}, told=same | {2: {"label": np.array(["cat"])}}) == {"label": 0.25}
    flags = np.array([True, False])
    assert timed({"odd": flags}, told={0: {"odd": ~flags[:1]}, 1: {"odd": flags[1:]}}) == {"odd": 0.5}


def test_as_many_boxes_as_before_or_another_answer() -> None:
    boxes: list[np.ndarray] = [np.ones((5, 4)), np.ones((0, 4))]
    assert timed({"boxes": boxes}, told={0: {"boxes": boxes[0]}, 1: {"boxes": boxes[1]}}) == {"boxes": 0}
    assert timed({"boxes": boxes}, told={0: {"boxes": boxes[0][:3]}}) == {"boxes": 1}


def test_an_answer_by_token_is_as_long_as_its_own_text() -> None:
    whole = np.arange(24, dtype=np.float64).reshape(4, 6)
    assert timed({"y": whole}, told={0: {"y": whole[:2, :3]}}, rows=2) == {"y": 0}


def test_what_is_not_finite_has_no_error() -> None:
    broken = np.array([[1.0], [np.nan]])
    assert timed({"y": broken, "z": np.ones((2, 1))}, told={0: {"y": broken[:1], "z": np.ones((1, 1))}}) == {
        "z": 0
    }


def test_what_hardly_varies_is_measured_by_its_size() -> None:
    prior = np.full((8, 3), 1000.0)
    assert timed({"prior": prior}, told={0: {"prior": prior[:1] + 1e-6}})["prior"] < 0.01
    assert timed({"prior": prior}, told={0: {"prior": prior[:1] + 1}})["prior"] > 0.1
