"""Sources by name: what all of them hold to."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgecomp.data.sources import TABLE, Source, Wanted, source_files
from edgecomp.data.sources.registry import FILES
from edgecomp.errors import DataError

Reading = Callable[..., Source]
Refusal = Callable[..., str]


def save(path: Path, labels: list[int], shape: tuple[int, ...] = (3,), dtype: type = np.float32) -> None:
    np.savez(path, inputs=np.ones((len(labels), *shape), dtype), label=np.asarray(labels))


def test_every_source_reads_and_names_its_files() -> None:
    assert list(FILES) == list(TABLE)


def test_an_unknown_source_names_the_nearest(refusal: Refusal) -> None:
    assert "no such data source: 'digit'; did you mean 'digits'" in refusal("digit", early=True)
    assert (
        "sources are digits, iris, wine, breast_cancer, diabetes, canvases, catalogue, loans, huggingface, images, numpy"
        in refusal("zzz", early=True)
    )


@pytest.mark.parametrize("source", ["huggingface", "images", "numpy"])
def test_a_source_of_files_needs_a_path(source: str, refusal: Refusal) -> None:
    assert f"source '{source}' needs data.path" in refusal(source, early=True)
    assert "needs data.path" in refusal(source, early=True, path="")


@pytest.mark.parametrize("source", ["huggingface", "images", "numpy"])
def test_a_path_that_is_nowhere_says_where_was_looked(
    source: str, refusal: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    message = refusal(source, early=True, path="./mime")
    assert "no such file or folder" in message
    for place in (tmp_path / "mime", Path.cwd() / "mime", "EDGECOMP_DATA is not set", "did you mean 'mine'?"):
        assert str(place) in message
    assert str(tmp_path / "gone") in refusal(source, early=True, path=str(tmp_path / "gone"))


def test_an_unknown_split_in_files_names_the_nearest(refusal: Refusal) -> None:
    message = refusal("numpy", early=True, path=".", files={"train": "a.npz", "valid": "b.npz"})
    assert "no such split 'valid'; did you mean 'validation'?" in message
    assert "not train" in refusal("numpy", early=True, path=".", files={"test": "b.npz"})


def test_settings_of_images_are_checked_and_are_for_images(refusal: Refusal) -> None:
    assert "'rgb' is not L (grey) or RGB" in refusal("digits", early=True, mode="rgb")
    assert "less than one pixel" in refusal("digits", early=True, image_size=0)
    assert "data.image_size is for images, and iris has arrays" in refusal("iris", image_size=32)
    assert "data.mode is for images" in refusal("iris", mode="L")


def test_a_class_that_only_the_test_split_has_is_refused(refusal: Refusal, tmp_path: Path) -> None:
    save(tmp_path / "train.npz", [0, 1, 0, 1])
    save(tmp_path / "test.npz", [0, 1, 7])
    assert "the test split has class '7', and the train split has no example" in refusal("numpy", path=".")


def test_a_class_that_a_split_lacks_keeps_its_index(reading: Reading, tmp_path: Path) -> None:
    save(tmp_path / "train.npz", [5, 3, 9])
    save(tmp_path / "test.npz", [9, 3])
    source = reading("numpy", path=".")
    assert source.classes == ("3", "5", "9")
    assert source.splits["train"].labels.tolist() == [1, 0, 2]
    assert source.splits["test"].labels.tolist() == [2, 0]
    assert source.splits["test"].labels.dtype == np.int64


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_that_is_empty_or_of_one_class_is_refused(
    split: str, refusal: Refusal, tmp_path: Path
) -> None:
    for name in ("train", "validation", "test"):
        save(tmp_path / f"{name}.npz", [0, 1])
    save(tmp_path / f"{split}.npz", [])
    assert f"the {split} split is empty" in refusal("numpy", path=".")
    save(tmp_path / f"{split}.npz", [1, 1, 1])
    message = refusal("numpy", path=".")
    if split != "train":
        assert f"the {split} split has one class, '1', in its 3 examples" in message
    else:
        assert "the train split has one class" in message


def test_splits_that_are_not_alike_are_refused(refusal: Refusal, tmp_path: Path) -> None:
    save(tmp_path / "train.npz", [0, 1], (1, 8, 8), np.uint8)
    for shape, dtype, complaint in (
        ((1, 6, 8), np.uint8, "shape (1, 6, 8), the train split of (1, 8, 8); set data.image_size"),
        ((3, 8, 8), np.uint8, "set data.mode"),
        ((1, 8, 8), np.float32, "holds float32, the train split uint8"),
    ):
        save(tmp_path / "test.npz", [0, 1], shape, dtype)
        assert complaint in refusal("numpy", path=".")


def test_a_path_is_looked_for_by_the_recipe_then_among_the_shared_data_then_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, here, shared = (tmp_path / name for name in ("recipe", "here", "shared"))
    for folder in (recipe, here, shared):
        folder.mkdir()
        save(folder / "mine.npz", [0, 1])
    monkeypatch.chdir(here)
    monkeypatch.setenv("EDGECOMP_DATA", str(shared))
    wanted = Wanted("numpy", "mine.npz")
    for folder in (recipe, shared, here):
        assert source_files(wanted, recipe) == [folder / "mine.npz"]
        (folder / "mine.npz").unlink()
    with pytest.raises(DataError) as caught:
        source_files(wanted, recipe)
    assert "is not set" not in str(caught.value)
    for folder in (recipe, here, shared):
        assert str(folder / "mine.npz") in str(caught.value)
