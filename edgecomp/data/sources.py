"""Data sources by name: a literal table of functions that return raw examples and labels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image


@dataclass(frozen=True)
class Examples:
    """values: uint8 images [N, channels, height, width], float32 arrays [N, ...], or N texts; labels: int64 [N]."""

    values: npt.NDArray[np.uint8] | npt.NDArray[np.float32] | list[str]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    splits: dict[str, Examples]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    source: str
    path: str | None = None
    files: Mapping[str, str] | None = None
    inputs: str | None = None
    label: str | None = None
    image_size: int | None = None
    mode: str | None = None


def _digits(wanted: Wanted, folder: Path) -> Source:
    """1,797 handwritten digits of scikit-learn (UCI, Alpaydin & Kaynak 1998), grey, from 8×8 to image_size²."""
    from sklearn.datasets import load_digits

    bundled = load_digits()
    grey = np.rint(bundled.images * (255 / 16)).astype(np.uint8)
    side = (wanted.image_size or 8, wanted.image_size or 8)
    resized = [np.asarray(Image.fromarray(image).resize(side, Image.Resampling.BILINEAR)) for image in grey]
    return Source(
        {"train": Examples(np.stack(resized)[:, None], bundled.target.astype(np.int64))},
        classes=tuple(str(name) for name in bundled.target_names),
    )


TABLE: dict[str, Callable[[Wanted, Path], Source]] = {"digits": _digits}


def read(wanted: Wanted, folder: Path) -> Source:
    return TABLE[wanted.source](wanted, folder)


def source_files(wanted: Wanted, folder: Path) -> list[Path]:
    return []
