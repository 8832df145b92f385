from pathlib import Path

import numpy as np
import pytest

from edgecomp.data import preprocessing
from edgecomp.data.heads import Head
from edgecomp.data.sources import Examples, Source, Wanted, read
from edgecomp.data.splits import SPLITS, Split, check_varied, write_splits
from edgecomp.errors import DataError

FRACTIONS = {"test_fraction": 0.25, "validation_fraction": 0.15, "calibration_fraction": 0.05}
WHOLE = {**FRACTIONS, "limit": None, "tokenizer": None}


def source(labels: list[int], classes: int = 2, **others: list[int]) -> Source:
    splits = {
        name: Examples(
            np.random.default_rng(index).integers(0, 256, (len(own), 1, 4, 4)).astype(np.uint8),
            np.asarray(own, np.int64),
        )
        for index, (name, own) in enumerate({"train": labels, **others}.items())
    }
    return Source(splits, tuple("abc"[:classes]))


def test_splits_are_disjoint_stratified_seeded_and_complete(tmp_path: Path) -> None:
    digits = read(Wanted("digits"), tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_splits(digits, **WHOLE, seed=3, folder=tmp_path / name)
    splits = [Split.load(tmp_path / "one", name) for name in SPLITS]
    labels = digits.splits["train"].labels
    assert [len(split) for split in splits] == [987, 90, 270, 450]
    assert sum(len(split) for split in splits) == len(labels) == 1797
    for split in splits:
        shares = np.bincount(split.labels) / len(split)
        np.testing.assert_allclose(shares, np.bincount(labels) / 1797, atol=0.012)
    for name in SPLITS:
        assert (tmp_path / "one" / f"{name}.npz").read_bytes() == (
            tmp_path / "two" / f"{name}.npz"
        ).read_bytes()


def test_no_example_is_in_two_splits(tmp_path: Path) -> None:
    numbered = Examples(np.arange(200, dtype=np.float32)[:, None], np.arange(200) % 2)
    write_splits(Source({"train": numbered}, ("a", "b")), **WHOLE, seed=0, folder=tmp_path)
    seen = np.concatenate([Split.load(tmp_path, name).arrays["values"][:, 0] for name in SPLITS])
    assert sorted(seen) == list(range(200))


def test_a_split_that_the_source_has_is_taken_as_it_is(tmp_path: Path) -> None:
    own = source([0, 1] * 50, test=[0, 0, 1])
    write_splits(own, **WHOLE, seed=0, folder=tmp_path)
    kept = [
        [*image.ravel(), label] for image, label in zip(own.splits["test"].values, [0, 0, 1], strict=True)
    ]
    split = Split.load(tmp_path, "test")
    found = [
        [*image.ravel(), label] for image, label in zip(split.arrays["values"], split.labels, strict=True)
    ]
    assert sorted(found) == sorted(kept)
    assert [len(Split.load(tmp_path, name)) for name in SPLITS] == [80, 5, 15, 3]


def test_a_limit_keeps_every_class_and_half_as_many_of_the_other_splits(tmp_path: Path) -> None:
    write_splits(source([0, 1, 2] * 100, 3), **{**WHOLE, "limit": 60}, seed=0, folder=tmp_path)
    splits = [Split.load(tmp_path, name) for name in SPLITS]
    assert [len(split) for split in splits] == [60, 15, 30, 30]
    assert all(set(split.labels) == {0, 1, 2} for split in splits)


def test_preprocessing_normalises_the_training_split_and_survives_the_disk(tmp_path: Path) -> None:
    write_splits(read(Wanted("digits"), tmp_path), **WHOLE, seed=0, folder=tmp_path)
    fitted = preprocessing.load(tmp_path)
    normal = fitted.apply(Split.load(tmp_path, "train").arrays)["input"]
    assert normal.dtype == np.float32
    assert abs(float(normal.mean())) < 1e-4
    assert abs(float(normal.std()) - 1) < 1e-4
    (tmp_path / "again").mkdir()
    fitted.save(tmp_path / "again")
    assert preprocessing.load(tmp_path / "again") == fitted
    assert fitted.given == {"channels": 1, "classes": 10}
    assert fitted.example()["input"].shape == (2, 1, 8, 8)


def test_arrays_are_normalised_by_feature_and_what_is_constant_is_only_centred() -> None:
    values = np.random.default_rng(0).normal([5, -3, 7], [2, 0.5, 0], size=(4000, 3)).astype(np.float32)
    fitted = preprocessing.fitted(values, Head("classification", ("a", "b")))
    normal = fitted.apply({"values": values})["input"]
    np.testing.assert_allclose(normal.mean(0), 0, atol=2e-3)
    np.testing.assert_allclose(normal.std(0), [1, 1, 0], atol=2e-3)
    assert fitted.given == {"features": 3, "classes": 2}


def test_texts_keep_the_padding_that_their_longest_needs() -> None:
    tokens = preprocessing.Tokens(vocabulary=100, max_length=16, classes=("a", "b"))
    mask = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0]], np.int8)
    inputs = tokens.apply({"input_ids": np.arange(10, dtype=np.int32).reshape(2, 5), "attention_mask": mask})
    assert list(inputs) == ["input_ids", "attention_mask"]
    assert {values.shape for values in inputs.values()} == {(2, 3)}
    assert {values.dtype.name for values in inputs.values()} == {"int64"}
    example = tokens.example(size=3, longer=2)
    assert example["input_ids"].shape == (3, 10)
    assert example["attention_mask"].sum(1).tolist() == [10, 5, 10]


@pytest.mark.parametrize(
    ("own", "complaint"),
    [
        (source([0] * 50, classes=1), "has one class"),
        (source([0] * 50 + [1] * 3), "class 'b' has 3 examples"),
        (source([0] * 50), "class 'b' is missing from the train split"),
        (source([0, 1] * 50, test=[0, 0]), "class 'b' is missing from the test split"),
        (source([]), "the train split is empty"),
        (source([0, 1] * 50, test=[]), "the test split is empty"),
        (source([0, 1, 2] * 10, classes=3), "calibration split would have 2 examples for 3 classes"),
        (
            Source({"train": Examples([f"x{n}" for n in range(60)], np.arange(60) % 2)}, ("a", "b")),
            "data.tokenizer=FOLDER, or how many of their bytes are read, data.max_bytes=96",
        ),
        (
            Source({"train": Examples(["x", "y"] * 30, np.arange(60) % 2)}, ("a", "b")),
            "class 'a' has 30 examples in the training data, and 1 of them differ; 3 different ones are needed",
        ),
    ],
)
def test_data_that_cannot_serve_is_refused(own: Source, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=complaint):
        write_splits(own, **WHOLE, seed=0, folder=tmp_path)


def test_the_first_examples_of_a_source_that_is_sorted_by_class_stand_for_all(tmp_path: Path) -> None:
    """A folder of images is read class by class, and calibration, probes and emulation take a split's first examples."""
    by_class = source([0] * 200 + [1] * 200 + [2] * 200, 3, test=[0] * 50 + [1] * 50 + [2] * 50)
    write_splits(by_class, **WHOLE, seed=0, folder=tmp_path)
    for name in ("train", "validation", "test"):
        split = Split.load(tmp_path, name)
        first = split.first(len(split) // 3)
        assert np.bincount(first.labels, minlength=3).min() > len(first) / 6, name


def test_labels_stay_with_their_examples(tmp_path: Path) -> None:
    numbered = Examples(np.arange(300, dtype=np.float32)[:, None], np.arange(300) % 3)
    write_splits(Source({"train": numbered}, ("a", "b", "c")), **WHOLE, seed=0, folder=tmp_path)
    for name in SPLITS:
        split = Split.load(tmp_path, name)
        np.testing.assert_array_equal(split.arrays["values"][:, 0] % 3, split.labels)


def test_numbers_of_any_scale_are_normalised_and_constants_only_centred() -> None:
    random = np.random.default_rng(0)
    columns = [random.normal(0, 3e-7, 5000), random.normal(1e6, 5, 5000), np.full(5000, 0.1), np.zeros(5000)]
    values = np.stack(columns, axis=1).astype(np.float32)
    made = preprocessing.fitted(values, Head("classification", ("a", "b")))
    normalised = made.apply({"values": values})["input"]
    np.testing.assert_allclose(normalised.std(axis=0)[:2], 1, atol=0.01)
    np.testing.assert_allclose(normalised.mean(axis=0), 0, atol=0.02)
    np.testing.assert_array_equal(normalised[:, 2:].std(axis=0), 0)


def test_pixels_have_the_mean_and_deviation_of_all_of_them() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1500, 2, 4, 4)).astype(np.uint8)
    made = preprocessing.fitted(images, Head("classification", ("a", "b")))
    np.testing.assert_allclose(made.mean, (images / 255).mean(axis=(0, 2, 3)), rtol=1e-7)
    np.testing.assert_allclose(made.std, (images / 255).std(axis=(0, 2, 3)), rtol=1e-7)


ROWS = Source({"train": Examples(np.zeros((4, 3), np.float32), np.arange(4) % 2)}, ("a", "b"))
TEXTS = Source({"train": Examples(["x"] * 4, np.arange(4) % 2)}, ("a", "b"))


IMAGES, EITHER = "images", "images or rows"


@pytest.mark.parametrize(
    ("own", "task", "varied", "complaint"),
    [
        (ROWS, "classification", {"shift": IMAGES}, r"data.shift is for images, .* arrays of shape \(3,\): set data.shift=0"),
        (ROWS, "classification", {"flip": IMAGES}, "data.flip is for images, .*: set data.flip=false"),
        (ROWS, "classification", {"augment.typos": "texts"}, "data.augment.typos is for texts, and these are arrays"),
        (TEXTS, "classification", {"shift": IMAGES}, "data.shift is for images, and these are texts"),
        (TEXTS, "classification", {"augment.mixup": EITHER}, "augment.mixup is for images or rows, .* texts: take it out"),
        (TEXTS, "token-classification", {"augment.typos": "texts"}, "texts with a tag for each word"),
        (source([0, 1] * 10), "segmentation", {"augment.colour": IMAGES}, "images with masks"),
        (source([0, 1] * 10), "classification", {"augment.typos": "texts"}, "for texts, and these are images"),
    ],
)  # fmt: skip
def test_what_varies_is_of_its_kind(own: Source, task: str, varied: dict[str, str], complaint: str) -> None:
    check_varied(own, varied={})
    check_varied(source([0, 1] * 10), varied={"shift": IMAGES, "flip": IMAGES, "augment.mixup": EITHER})
    check_varied(ROWS, varied={"augment.mixup": EITHER})
    check_varied(TEXTS, varied={"augment.typos": "texts"})
    with pytest.raises(DataError, match=complaint):
        check_varied(own, task=task, varied=varied)
