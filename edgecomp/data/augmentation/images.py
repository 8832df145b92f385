"""Views of images, moved, mirrored, coloured and blended; and of rows of numbers, blended."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.data.augmentation import Arrays
from edgecomp.data.augmentation.blends import Blend
from edgecomp.tasks import Labels

Images = npt.NDArray[np.uint8]  # [N, C, H, W]
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # luma of red, green and blue (ITU-R BT.601)
COLOURS, FLIPS = 2**30, 2**31  # what each draw's seed begins with, so that no two draw the same
AT_ONCE = 4096  # images, in float32


@dataclass(frozen=True)
class ValueViews:
    """Images moved by up to `shift` pixels at random and, where `flip`, mirrored in every second view; brightness, contrast and saturation
    drawn from 1 - `colour` to 1 + `colour`; then blended, where `blend` says how. Of numbers the last alone is asked for."""

    shift: int
    flip: bool
    seed: int
    colour: float = 0.0
    blend: Blend | None = None

    def view(self, arrays: Arrays, labels: Labels, index: int) -> dict[str, npt.NDArray[Any]]:
        """View number `index` of `values`, images [N, C, H, W] or numbers [N, ...]."""
        seen = shifted(arrays["values"], pixels=self.shift, seed=self.seed, view=index)
        if self.flip:
            seen = mirrored(seen, seed=self.seed, view=index)
        if self.colour:
            seen = coloured(seen, strength=self.colour, seed=self.seed, view=index)
        if self.blend is not None:
            seen = self.blend.of(seen, labels, index)
        return {"values": seen}


def shifted(images: Images, *, pixels: int, seed: int, view: int) -> Images:
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


def mirrored(images: Images, *, seed: int, view: int) -> Images:
    """Each of `images` is mirrored in every second view, starting at random by `seed` (alternating flip, Jordan 2024, arXiv:2404.00498). view: its
    number."""
    first = np.random.default_rng([seed, FLIPS]).integers(0, 2, size=len(images))
    chosen = (first + view) % 2 == 1
    return np.where(chosen[:, None, None, None], images[..., ::-1], images)


def coloured(images: Images, *, strength: float, seed: int, view: int) -> Images:
    """View number `view` of `images`: brightness, contrast about the image's mean and, of three channels, saturation about its grey, each
    times a number of its own from 1 - strength to 1 + strength, in that order, and cut to 0..255 (as torchvision's ColorJitter does). seed: of
    the draws."""
    factors = np.random.default_rng([seed, COLOURS, view]).uniform(
        1 - strength, 1 + strength, size=(3, len(images), 1, 1, 1)
    )
    found = np.empty_like(images)
    for start in range(0, len(images), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        brightness, contrast, saturation = factors[:, some].astype(np.float32)
        seen = np.clip(images[some] * brightness, 0, 255)
        mean = _grey(seen).mean(axis=(1, 2, 3), keepdims=True)
        seen = np.clip(mean + (seen - mean) * contrast, 0, 255)
        if images.shape[1] == 3:
            grey = _grey(seen)
            seen = np.clip(grey + (seen - grey) * saturation, 0, 255)
        found[some] = np.rint(seen)
    return found


def _grey(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """One channel [N, 1, H, W] of images of any number."""
    if images.shape[1] != 3:
        return np.asarray(images.mean(axis=1, keepdims=True), np.float32)
    return np.asarray(np.einsum("nchw,c->nhw", images, GREY)[:, None], np.float32)
