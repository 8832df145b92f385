from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from edgecomp.data.sources import Source, Wanted, source_files

Reading = Callable[..., Source]
Refusal = Callable[..., str]


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("iris", (150, 4), ("setosa", "versicolor", "virginica")),
        ("wine", (178, 13), ("class_0", "class_1", "class_2")),
        ("breast_cancer", (569, 30), ("malignant", "benign")),
    ],
)
def test_measures_come_as_float32_with_the_names_of_their_classes(
    name: str, shape: tuple[int, int], classes: tuple[str, ...], reading: Reading
) -> None:
    source = reading(name)
    train = source.splits["train"]
    assert list(source.splits) == ["train"]
    assert isinstance(train.values, np.ndarray)
    assert (train.values.dtype, train.values.shape) == (np.float32, shape)
    assert (train.labels.dtype, set(train.labels)) == (np.int64, set(range(len(classes))))
    assert source.classes == classes
    assert len(source.columns) == shape[1]


def test_digits_are_grey_images_of_their_own_size_or_another(reading: Reading) -> None:
    bundle = load_digits()
    own = reading("digits").splits["train"].values
    assert isinstance(own, np.ndarray)
    np.testing.assert_array_equal(own[:, 0], np.rint(bundle.images * (255 / 16)).astype(np.uint8))
    larger = reading("digits", image_size=16, mode="RGB").splits["train"].values
    assert isinstance(larger, np.ndarray)
    assert larger.shape == (1797, 3, 16, 16)
    expected = Image.fromarray(own[7, 0]).resize((16, 16), Image.Resampling.BILINEAR)
    for channel in range(3):
        np.testing.assert_array_equal(larger[7, channel], np.asarray(expected))


@pytest.mark.parametrize("source", ["digits", "iris", "wine", "breast_cancer"])
def test_what_is_bundled_has_no_files_and_takes_no_path(
    source: str, refusal: Refusal, tmp_path: Path
) -> None:
    assert source_files(Wanted(source), tmp_path) == []
    assert f"source '{source}' has no use for data.path: take it out" in refusal(source, early=True, path="x")
    assert "data.files and data.label" in refusal(source, early=True, files={"train": "x"}, label="y")
