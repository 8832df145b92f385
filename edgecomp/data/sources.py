"""Data sources by name: a literal table of functions that return raw images and labels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image


@dataclass(frozen=True)
class RawImages:
    """images: uint8 [N, channels, height, width]; labels: int64 [N], indices into `classes`."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]


def digits(image_size: int) -> RawImages:
    """1,797 handwritten digits of scikit-learn (UCI, Alpaydin & Kaynak 1998), grey, from 8×8 to image_size²."""
    from sklearn.datasets import load_digits

    bundled = load_digits()
    grey = np.rint(bundled.images * (255 / 16)).astype(np.uint8)
    side = (image_size, image_size)
    resized = [np.asarray(Image.fromarray(image).resize(side, Image.Resampling.BILINEAR)) for image in grey]
    return RawImages(
        images=np.stack(resized)[:, None],
        labels=bundled.target.astype(np.int64),
        classes=tuple(str(name) for name in bundled.target_names),
    )


TABLE: dict[str, Callable[[int], RawImages]] = {"digits": digits}
