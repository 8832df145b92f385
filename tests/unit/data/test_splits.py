from pathlib import Path

import numpy as np
import pytest

from edgecomp.data import soft_labels
from edgecomp.data.augment import shifted
from edgecomp.data.sources import RawImages, digits
from edgecomp.data.splits import SPLITS, Preprocessing, Split, write_splits
from edgecomp.errors import DataError


def raw(labels: list[int], classes: int = 2) -> RawImages:
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 1, 4, 4)).astype(np.uint8)
    return RawImages(images, np.asarray(labels, np.int64), tuple("abc"[:classes]))


def test_splits_are_disjoint_stratified_seeded_and_complete(tmp_path: Path) -> None:
    source = digits(8)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_splits(source, test_fraction=0.25, validation_fraction=0.15, seed=3, folder=tmp_path / name)
    splits = [Split.load(tmp_path / "one", name) for name in SPLITS]
    assert [len(split.labels) for split in splits] == [1077, 270, 450]
    assert sum(len(split.labels) for split in splits) == len(source.labels) == 1797
    for split in splits:
        shares = np.bincount(split.labels) / len(split.labels)
        np.testing.assert_allclose(shares, np.bincount(source.labels) / 1797, atol=0.01)
    for name in SPLITS:
        assert (tmp_path / "one" / f"{name}.npz").read_bytes() == (
            tmp_path / "two" / f"{name}.npz"
        ).read_bytes()


def test_preprocessing_normalises_the_training_split_and_survives_the_disk(tmp_path: Path) -> None:
    write_splits(digits(8), test_fraction=0.25, validation_fraction=0.15, seed=0, folder=tmp_path)
    preprocessing = Preprocessing.load(tmp_path / "preprocessing.json")
    normal = preprocessing.apply(Split.load(tmp_path, "train").images)
    assert normal.dtype == np.float32
    assert abs(float(normal.mean())) < 1e-4
    assert abs(float(normal.std()) - 1) < 1e-4
    preprocessing.save(tmp_path / "again.json")
    assert Preprocessing.load(tmp_path / "again.json") == preprocessing


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (raw([]), "empty"),
        (raw([0] * 50, classes=1), "has one class"),
        (raw([0] * 50 + [1] * 3), "class 'b' has 3 examples"),
        (raw([0] * 50), "class 'b' has 0 examples"),
        (RawImages(np.zeros((60, 1, 4, 4), np.uint8), np.arange(60) % 2, ("a", "b")), "constant"),
    ],
)
def test_data_that_cannot_serve_is_refused(source: RawImages, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=complaint):
        write_splits(source, test_fraction=0.25, validation_fraction=0.15, seed=0, folder=tmp_path)


def test_a_view_is_a_pure_function_of_seed_and_index_and_moves_by_at_most_so_much() -> None:
    images = np.zeros((50, 1, 9, 9), np.uint8)
    images[:, :, 4, 4] = 255
    view = shifted(images, pixels=2, seed=1, view=0)
    np.testing.assert_array_equal(view, shifted(images, pixels=2, seed=1, view=0))
    assert (view != shifted(images, pixels=2, seed=1, view=1)).any()
    assert (view.reshape(50, -1).sum(axis=1) == 255).all()
    rows, columns = np.nonzero(view[:, 0])[1:]
    assert {rows.min(), rows.max(), columns.min(), columns.max()} == {2, 6}
    assert shifted(images, pixels=0, seed=1, view=0) is images


def test_soft_labels_are_stored_by_view_and_come_round_again(tmp_path: Path) -> None:
    views = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    soft_labels.write(tmp_path / "s.h5", iter(views), views[0, :2], count=3, teacher_sha256="abc")
    with soft_labels.opened(tmp_path / "s.h5") as stored:
        assert stored.views == 3
        np.testing.assert_allclose(stored.view(4), views[1], atol=2e-3)
        np.testing.assert_allclose(stored.validation(), views[0, :2], atol=2e-3)


def test_soft_labels_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    views = np.full((1, 2, 2), np.nan, np.float32)
    fine = np.zeros((2, 2), np.float32)
    with pytest.raises(DataError, match="not finite"):
        soft_labels.write(tmp_path / "s.h5", iter(views), fine, count=1, teacher_sha256="abc")
    with pytest.raises(DataError, match="not finite"):
        soft_labels.write(tmp_path / "t.h5", iter([fine]), views[0], count=1, teacher_sha256="abc")
