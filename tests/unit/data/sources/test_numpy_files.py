from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgecomp.data.sources import Source, Wanted, source_files

Reading = Callable[..., Source]
Refusal = Callable[..., str]

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 10)).astype(np.uint8)
ARRAYS = np.random.default_rng(0).normal(size=(6, 5))
LABELS = np.asarray([0, 1, 2, 0, 1, 2])


def changed(place: tuple[int, int], value: float) -> np.ndarray:
    arrays = ARRAYS.copy()
    arrays[place] = value
    return arrays


def test_one_file_is_the_train_split(reading: Reading, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", inputs=IMAGES, label=LABELS)
    source = reading("numpy", path="mine.npz")
    assert list(source.splits) == ["train"]
    np.testing.assert_array_equal(source.splits["train"].values, IMAGES)
    assert source.classes == ("0", "1", "2")
    resized = reading("numpy", path="mine.npz", image_size=4, mode="L").splits["train"].values
    assert isinstance(resized, np.ndarray)
    assert resized.shape == (6, 1, 4, 4)


def test_a_folder_has_a_file_a_split_and_arrays_may_be_named(reading: Reading, tmp_path: Path) -> None:
    names = np.asarray(["cat", "dog", "cat", "dog", "cat", "dog"])
    for split in ("train", "validation", "test"):
        np.savez_compressed(tmp_path / f"{split}.npz", x=ARRAYS, y=names)
    source = reading("numpy", path=".", inputs="x", label="y")
    assert list(source.splits) == ["train", "validation", "test"]
    assert source.classes == ("cat", "dog")
    values = source.splits["test"].values
    assert isinstance(values, np.ndarray)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, ARRAYS, rtol=1e-6)
    files = source_files(Wanted("numpy", str(tmp_path)), tmp_path)
    assert [file.name for file in files] == ["test.npz", "train.npz", "validation.npz"]


def test_files_may_be_named(reading: Reading, refusal: Refusal, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", inputs=ARRAYS, label=LABELS)
    np.savez(tmp_path / "b.npz", inputs=ARRAYS, label=LABELS)
    assert list(reading("numpy", path=".", files={"train": "a.npz", "test": "b.npz"}).splits) == [
        "train",
        "test",
    ]
    message = refusal("numpy", early=True, path=".", files={"train": "a.npy"})
    assert f"data.files.train: no such file: {tmp_path / 'a.npy'}; did you mean 'a.npz'" in message
    assert "save it as one .npz" in refusal("numpy", early=True, path=".", files={"train": "*.npz"})
    assert "data.path is a file" in refusal("numpy", early=True, path="a.npz", files={"train": "a.npz"})
    assert "no file's name begins with train" in refusal("numpy", early=True, path=".")


def test_whole_float_labels_are_integers(reading: Reading, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", inputs=ARRAYS, label=LABELS.astype(float))
    assert reading("numpy", path="mine.npz").classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"inputs": ARRAYS, "labels": LABELS}, "has no array 'label'; did you mean 'labels'?; it has inputs, labels"),
        ({"inputs": ARRAYS, "label": LABELS[:4]}, "has 6 inputs and 4 labels"),
        ({"inputs": ARRAYS, "label": LABELS / 2}, "label 0.5 of example 1 (from 0) is not a whole number"),
        ({"inputs": ARRAYS, "label": np.where(LABELS == 1, np.nan, LABELS)}, "2 of 6 examples have no label"),
        ({"inputs": ARRAYS, "label": np.eye(6)}, "is of shape (6, 6); labels are [N]"),
        ({"inputs": ARRAYS, "label": LABELS.astype(complex)}, "holds complex128; labels are integers"),
        ({"inputs": ARRAYS, "label": np.int64(1)}, "is a single value"),
        ({"inputs": ARRAYS, "label": LABELS.astype(object)}, "holds Python objects"),
        ({"inputs": IMAGES.transpose(0, 2, 3, 1), "label": LABELS}, "channels last"),
        ({"inputs": IMAGES[:, 0], "label": LABELS}, "array[:, None]"),
        ({"inputs": IMAGES[:, :, :0], "label": LABELS}, "hold no values"),
        ({"inputs": IMAGES.astype(int), "label": LABELS}, "inputs hold int64"),
        ({"inputs": ARRAYS[:, 0], "label": LABELS}, "floating inputs are [N, ...], not (6,)"),
        ({"inputs": changed((2, 3), np.nan), "label": LABELS}, "example 2 (from 0), at [3]: nan"),
        ({"inputs": changed((4, 0), np.inf), "label": LABELS}, "example 4 (from 0), at [0]: inf"),
        ({"inputs": ARRAYS * 1e300, "label": LABELS}, "beyond float32"),
    ],
)  # fmt: skip
def test_arrays_that_cannot_serve_are_refused(
    arrays: dict[str, np.ndarray], complaint: str, refusal: Refusal, tmp_path: Path
) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    message = refusal("numpy", path="mine.npz")
    assert complaint in message
    assert "mine.npz" in message


def test_a_file_cut_short_or_damaged_is_refused(refusal: Refusal, tmp_path: Path) -> None:
    whole = tmp_path / "mine.npz"
    np.savez(whole, inputs=ARRAYS, label=LABELS)
    content = whole.read_bytes()
    for cut in (0, 10, len(content) // 2, len(content) - 30):
        whole.write_bytes(content[:cut])
        assert "mine.npz: is no .npz file, or cut short" in refusal("numpy", path="mine.npz")
    middle = content.index(ARRAYS.tobytes()[:64])
    whole.write_bytes(content[:middle] + bytes(64) + content[middle + 64 :])
    assert "mine.npz: cannot be read, it may be cut short or damaged" in refusal("numpy", path="mine.npz")


def test_what_is_no_npz_is_refused(refusal: Refusal, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", ARRAYS)
    assert "mine.npy: is not a .npz file" in refusal("numpy", early=True, path="mine.npy")
    (tmp_path / "mine.npy").rename(tmp_path / "mine.npz")
    assert "is no .npz file" in refusal("numpy", path="mine.npz")
    (tmp_path / "empty").mkdir()
    assert "has no .npz file" in refusal("numpy", early=True, path="empty")


def test_listed_arrays_are_the_networks_inputs_as_they_are(
    reading: Reading, refusal: Refusal, tmp_path: Path
) -> None:
    pixels, size = np.full((20, 3, 4), 200, np.uint8), np.arange(20)
    np.savez(
        tmp_path / "a.npz",
        pixels=pixels,
        size=size,
        label=size % 2,
        short=size[:9],
        labels=size,
        odd=np.full((20, 2), np.nan),
    )
    source = reading("numpy", path="a.npz", inputs=["size", "pixels"])
    values = source.splits["train"].values
    assert isinstance(values, dict)
    assert list(values) == ["size", "pixels"]
    assert values["pixels"].dtype == np.uint8
    np.testing.assert_array_equal(values["size"], size)
    assert "different numbers of examples (size 20, short 9)" in refusal(
        "numpy", path="a.npz", inputs=["size", "short"]
    )
    assert "cannot be called 'labels'" in refusal("numpy", path="a.npz", inputs=["labels"])
    assert "40 values of 'odd' are NaN" in refusal("numpy", path="a.npz", inputs=["size", "odd"])
