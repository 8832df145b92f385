"""Images with masks of the same name in another folder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecomp.data import sources
from edgecomp.data.sources import Wanted
from edgecomp.errors import DataError
from edgecomp.tasks.base import IGNORED

MASK = np.array([[0, 1, 255], [2, 0, 1]], np.uint8)


def written(folder: Path, count: int = 3, palette: bool = False) -> None:
    for place in range(count):
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((2, 3, 3), place, np.uint8)).save(folder / "images" / f"{place}.bmp")
        mask = Image.fromarray(np.roll(MASK, place, axis=1))
        if palette:
            mask.putpalette([value for one in range(256) for value in (255 - one, one, one)])
        mask.save(folder / "masks" / f"{place}.png")


def read(folder: Path, **more: object) -> sources.Source:
    wanted = Wanted(source="images", path=str(folder), task="segmentation", **more)  # type: ignore[arg-type]
    return sources.read(wanted, folder)


@pytest.mark.parametrize("palette", [False, True])
def test_a_mask_is_the_file_of_the_same_name_and_255_is_of_no_class(tmp_path: Path, palette: bool) -> None:
    written(tmp_path, palette=palette)
    source = read(tmp_path)
    train = source.splits["train"]
    assert (train.values.shape, source.classes) == ((3, 3, 2, 3), ("class 0", "class 1", "class 2"))  # type: ignore[union-attr]
    wanted = np.where(MASK == 255, IGNORED, MASK.astype(np.int64))
    assert np.array_equal(train.labels, [np.roll(wanted, place, axis=1) for place in range(3)])
    assert train.values[:, 0, 0, 0].tolist() == [0, 1, 2]  # type: ignore[index]
    files = sources.source_files(Wanted(source="images", path=str(tmp_path), task="segmentation"), tmp_path)
    assert len(files) == 6


def test_splits_and_other_names_and_a_size(tmp_path: Path) -> None:
    for split in ("train", "val"):
        written(tmp_path / split)
        (tmp_path / split / "masks").rename(tmp_path / split / "labels")
    source = read(tmp_path, label="labels", image_size=8)
    assert set(source.splits) == {"train", "validation"}
    labels = source.splits["train"].labels
    assert labels.shape == (3, 8, 8)
    assert set(np.unique(labels)) == {IGNORED, 0, 1, 2}  # the nearest pixel's, and nothing between


def test_what_is_no_mask_is_told(tmp_path: Path) -> None:
    written(tmp_path)
    mask = tmp_path / "masks" / "1.png"
    for spoil, said in (
        (lambda: Image.fromarray(np.zeros((2, 4), np.uint8)).save(mask), "is of 4×2 pixels, and its image of 3×2"),
        (lambda: Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(mask), "is of mode RGB; a mask holds a class number a pixel"),
        (lambda: mask.write_bytes(b"no image"), "cannot be read"),
        (mask.unlink, r"1.bmp has no mask in .*masks, and 1 of 3 have none"),
        ((tmp_path / "images" / "0.bmp").unlink, "have none"),
        (lambda: (tmp_path / "masks").rename(tmp_path / "mask"), "no such folder of masks .*did you mean 'mask'"),
        (lambda: (tmp_path / "images").rename(tmp_path / "pictures"), "has no folder 'images'"),
    ):  # fmt: skip
        spoil()
        with pytest.raises(DataError, match=said):
            read(tmp_path)
