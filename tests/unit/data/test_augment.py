import numpy as np

from edgecomp.data.augment import Augmentation, shifted


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
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 5, 5)).astype(np.uint8)
    views = Augmentation(shift=0, flip=True, seed=4)
    first, second, third = (views.view(images, index) for index in range(3))
    as_it_is = (first == images).all(axis=(1, 2, 3))
    assert 8 < as_it_is.sum() < 32
    np.testing.assert_array_equal(first[~as_it_is], images[~as_it_is][..., ::-1])
    np.testing.assert_array_equal(second[..., ::-1], first)
    np.testing.assert_array_equal(third, first)
