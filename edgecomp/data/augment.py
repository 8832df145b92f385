"""Augmentation that is a pure function of (seed, view, image), so that soft labels can be stored once.

Teacher and student see the same view of an image: a consistent teacher (Beyer et al. 2022, arXiv:2106.05237).
"""

import numpy as np
import numpy.typing as npt


def shifted(images: npt.NDArray[np.uint8], *, pixels: int, seed: int, view: int) -> npt.NDArray[np.uint8]:
    """View number `view` of images [N, C, H, W]: each moved by up to `pixels` in both axes, filled with 0."""
    if pixels == 0:
        return images
    offsets = np.random.default_rng([seed, view]).integers(0, 2 * pixels + 1, size=(len(images), 2))
    padded = np.pad(images, ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels)))
    height, width = images.shape[2:]
    moved = np.empty_like(images)
    for dy, dx in np.unique(offsets, axis=0):
        same = (offsets == (dy, dx)).all(axis=1)
        moved[same] = padded[same, :, dy : dy + height, dx : dx + width]
    return moved
