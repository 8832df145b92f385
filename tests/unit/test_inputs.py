from pathlib import Path

import numpy as np
import pytest

from edgecomp import inputs


def test_inputs_come_back_from_a_folder_in_their_order(tmp_path: Path) -> None:
    given = {"b": np.arange(6).reshape(3, 2), "a.x": np.ones((3, 1), np.float32)}
    inputs.save(given, tmp_path / "kept")
    found = inputs.load(tmp_path / "kept")
    assert list(found) == ["b", "a.x"]
    for name, values in given.items():
        np.testing.assert_array_equal(found[name], values)
    assert inputs.count(found) == 3
    inputs.delete(tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_inputs_are_called_anything_and_may_be_many(tmp_path: Path) -> None:
    names = ["a/b", "", "..", "x\0y", *(f"input {index}" for index in range(12))]
    inputs.save({name: np.full((2, 1), place) for place, name in enumerate(names)}, tmp_path / "kept")
    found = inputs.load(tmp_path / "kept")
    assert list(found) == names
    assert [int(values[0, 0]) for values in found.values()] == list(range(16))
    inputs.delete(tmp_path / "kept")
    assert not list(tmp_path.iterdir())


def test_images_are_never_trimmed() -> None:
    image = {"input": np.zeros((2, 3, 4, 4))}
    assert inputs.trimmed(image)["input"].shape == (2, 3, 4, 4)


RIGHT = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]])


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float32", "float16", "float64", "bool"])
def test_padding_on_the_right_is_cut_whatever_the_type_of_the_mask(dtype: str) -> None:
    cut = inputs.trimmed({"input_ids": np.ones((2, 5), np.int64), inputs.MASK: RIGHT.astype(dtype)})
    assert {name: values.shape for name, values in cut.items()} == {"input_ids": (2, 3), inputs.MASK: (2, 3)}


@pytest.mark.parametrize(
    "mask",
    [
        RIGHT[:, ::-1],  # on the left, as decoders are fed
        np.array([[1, 0, 1, 0, 0]] * 2),  # a hole
        np.array([[0.5, 0.5, 0.0, 0.0, 0.0]] * 2),  # weights
        np.array([[0.0, 0.0, 0.0, -1e9, -1e9]] * 2),  # added to scores
        np.array([[2, 1, 0, 0, 0]] * 2),  # kinds of tokens
        np.array([[np.nan, 1, 0, 0, 0]] * 2),
        np.ones((2, 1, 1, 5)),
        np.ones(2),
    ],
)
def test_what_is_not_proven_to_be_padding_is_handed_over(mask: np.ndarray) -> None:
    given = {"input_ids": np.ones((2, 5), np.int64), inputs.MASK: mask}
    handed = inputs.trimmed(given)
    assert all(handed[name] is given[name] for name in given)


def test_a_mask_is_not_cut_apart_from_what_is_as_long() -> None:
    given = {"embeddings": np.ones((2, 5, 8)), inputs.MASK: RIGHT}
    assert inputs.trimmed(given)["embeddings"].shape[1] == inputs.trimmed(given)[inputs.MASK].shape[1] == 5
