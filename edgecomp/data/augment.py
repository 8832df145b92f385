"""Augmentation that is a pure function of (seed, view, image), so that soft labels can be stored once.

Teacher and student see the same view of an image: a consistent teacher (Beyer et al. 2022, arXiv:2106.05237).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Augmentation:
    """Images moved by up to `shift` pixels at random and, where `flip`, mirrored in every second view."""

    shift: int
    flip: bool
    seed: int

    def view(self, images: npt.NDArray[np.uint8], index: int) -> npt.NDArray[np.uint8]:
        """View number `index` of images [N, C, H, W]."""
        moved = shifted(images, pixels=self.shift, seed=self.seed, view=index)
        if not self.flip:
            return moved
        # Each image is mirrored in every second view, starting at random (alternating flip, Jordan 2024, arXiv:2404.00498).
        first = np.random.default_rng([self.seed, 2**31]).integers(0, 2, size=len(images))
        mirrored = (first + index) % 2 == 1
        return np.where(mirrored[:, None, None, None], moved[..., ::-1], moved)


def shifted(images: npt.NDArray[np.uint8], *, pixels: int, seed: int, view: int) -> npt.NDArray[np.uint8]:
    """View number `view` of images, uint8 [N, C, H, W]: each moved by up to `pixels` in both axes, filled
    with 0. By how much is drawn from `seed` and the view."""
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
