from pathlib import Path

import numpy as np

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
