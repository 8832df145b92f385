import numpy as np
import pytest

from edgecomp.data.augmentation.blends import Blend, partners
from edgecomp.data.augmentation.images import GREY, ValueViews, coloured, shifted

LABELS = np.zeros(40, np.int64)


def images(count: int, channels: int = 3, side: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, channels, side, side)).astype(np.uint8)


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


def test_an_image_is_mirrored_in_every_second_view() -> None:
    own, views = images(40), ValueViews(shift=0, flip=True, seed=4)
    first, second, third = (views.view({"values": own}, LABELS, index)["values"] for index in range(3))
    as_it_is = (first == own).all(axis=(1, 2, 3))
    assert 8 < as_it_is.sum() < 32
    np.testing.assert_array_equal(first[~as_it_is], own[~as_it_is][..., ::-1])
    np.testing.assert_array_equal(second[..., ::-1], first)
    np.testing.assert_array_equal(third, first)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_colour_is_brightness_then_contrast_then_saturation(channels: int) -> None:
    own = images(6, channels) // 3 + 64  # nothing is cut to 0..255
    seen = coloured(own, strength=0.2, seed=1, view=5)
    factors = np.random.default_rng([1, 2**30, 5]).uniform(0.8, 1.2, size=(3, 6, 1, 1, 1))
    for place, image in enumerate(own.astype(np.float64)):
        brightness, contrast, saturation = factors[:, place, 0, 0, 0]

        def grey(image: np.ndarray) -> np.ndarray:
            return (image * GREY[:, None, None]).sum(axis=0) if channels == 3 else image.mean(axis=0)

        image = image * brightness
        image = grey(image).mean() + (image - grey(image).mean()) * contrast
        if channels == 3:
            image = grey(image) + (image - grey(image)) * saturation
        assert np.abs(seen[place] - image).max() <= 0.51
    np.testing.assert_array_equal(seen, coloured(own, strength=0.2, seed=1, view=5))
    assert (seen != coloured(own, strength=0.2, seed=1, view=6)).any()
    np.testing.assert_array_equal(coloured(own, strength=0, seed=1, view=5), own)


def test_a_partner_has_the_same_label_and_is_another_where_there_is_one() -> None:
    labels = np.array([0, 1, 1, 2, 2, 2, 2, 0, 3])
    for seed in range(20):
        found = partners(labels, np.random.default_rng(seed))
        np.testing.assert_array_equal(labels[found], labels)
        assert sorted(found) == list(range(len(labels)))
        assert (found != np.arange(len(labels)))[:-1].all()
        assert found[-1] == 8


def test_mixup_lies_between_two_examples_and_nearer_to_the_own() -> None:
    labels, own = np.arange(400) % 2, np.arange(400, dtype=np.float32)[:, None]
    seen = Blend(mixup=0.5, cutmix=0, within_class=True, seed=3).of(own, labels, 1)
    random = np.random.default_rng([3, 2**29, 1])
    others = own[partners(labels, random)]
    share = (seen - others) / (own - others)
    assert share.min() >= 0.5 - 1e-5
    assert share.max() <= 1 + 1e-5
    # the mean of max(s, 1 - s) of Beta(α, α), of 400 draws
    expected = np.random.default_rng(0).beta(0.5, 0.5, 100_000)
    assert share.mean() == pytest.approx(np.maximum(expected, 1 - expected).mean(), abs=0.03)
    one_column = Blend(mixup=0.5, cutmix=0, within_class=True, seed=3).of(own, labels[:, None], 1)
    np.testing.assert_array_equal(one_column, seen)  # labels of a task `binary`
    across = Blend(mixup=0.5, cutmix=0, within_class=False, seed=3).of(own, labels, 1)
    assert (across != seen).any()


def test_cutmix_puts_one_rectangle_of_another_image_in() -> None:
    own = np.repeat(np.arange(1, 41, dtype=np.uint8), 3 * 8 * 6).reshape(40, 3, 8, 6)
    seen = Blend(mixup=0, cutmix=1.0, within_class=False, seed=0).of(own, LABELS, 2)
    cut = 0
    for place, image in enumerate(seen):
        others = np.setdiff1d(np.unique(image), [place + 1])
        assert len(others) <= 1
        if len(others):
            rows, columns = np.nonzero(image[0] == others[0])
            size = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            assert len(rows) == size  # a rectangle, whole
            assert size <= 8 * 6 / 2 + 8  # the own image keeps half, but for rounding
            assert (image[0] == image[1]).all()
            cut += 1
    assert cut > 25
    both = Blend(mixup=1.0, cutmix=1.0, within_class=False, seed=0).of(own, LABELS, 2)
    mixed = [len(np.unique(image)) == 1 for image in both]
    assert 5 < sum(mixed) < 35
