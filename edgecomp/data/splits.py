"""Seeded, stratified splits, and the preprocessing that travels with a model."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.artifacts import write_json
from edgecomp.data.sources import RawImages
from edgecomp.errors import DataError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Preprocessing:
    """uint8 image [channels, height, width] → float32 (image / 255 - mean) / std, by channel."""

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]

    def apply(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        mean = np.asarray(self.mean, np.float32)[:, None, None]
        std = np.asarray(self.std, np.float32)[:, None, None]
        return np.ascontiguousarray((images.astype(np.float32) / np.float32(255) - mean) / std)

    def save(self, path: Path) -> None:
        write_json(
            path, {"kind": "image", "dtype": "uint8", "layout": "NCHW", "scale": "1/255"} | asdict(self)
        )

    @classmethod
    def load(cls, path: Path) -> "Preprocessing":
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        fields: dict[str, Any] = {}
        for name in cls.__dataclass_fields__:
            value = content[name]
            fields[name] = tuple(value) if isinstance(value, list) else value
        return cls(**fields)


@dataclass(frozen=True)
class Split:
    """images: uint8 [N, channels, height, width]; labels: int64 [N]."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    @classmethod
    def load(cls, folder: Path, name: str) -> "Split":
        with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
            return cls(file["images"], file["labels"])


def write_splits(
    raw: RawImages, *, test_fraction: float, validation_fraction: float, seed: int, folder: Path
) -> None:
    """Writes train.npz, validation.npz, test.npz and preprocessing.json.

    The test split is a file of its own, so that what must not read it does not have it open. Fractions are of
    the whole. Raises DataError where a class would be missing from a split.
    """
    from sklearn.model_selection import train_test_split

    if len(raw.labels) == 0:
        raise DataError("the data set is empty: there is nothing to train or judge on")
    counts = np.bincount(raw.labels, minlength=len(raw.classes))
    if len(raw.classes) < 2:
        raise DataError(f"the data set has one class, {raw.classes[0]!r}: a classifier needs two")
    if counts.min() < 10:
        rare = raw.classes[int(counts.argmin())]
        raise DataError(
            f"class {rare!r} has {counts.min()} examples; 10 are needed for three stratified splits"
        )
    rest, test = train_test_split(
        np.arange(len(raw.labels)), test_size=test_fraction, random_state=seed, stratify=raw.labels
    )
    train, validation = train_test_split(
        rest,
        test_size=validation_fraction / (1 - test_fraction),
        random_state=seed,
        stratify=raw.labels[rest],
    )
    for name, index in zip(SPLITS, (train, validation, test), strict=True):
        index = np.sort(index)
        np.savez(folder / f"{name}.npz", images=raw.images[index], labels=raw.labels[index])
    pixels = raw.images[np.sort(train)].astype(np.float64) / 255
    std = pixels.std(axis=(0, 2, 3))
    if not (std > 0).all():
        raise DataError("a colour channel is constant over the training split: it cannot be normalised")
    _, channels, height, width = raw.images.shape
    Preprocessing(
        channels=channels,
        height=height,
        width=width,
        mean=tuple(round(float(value), 6) for value in pixels.mean(axis=(0, 2, 3))),
        std=tuple(round(float(value), 6) for value in std),
        classes=raw.classes,
    ).save(folder / "preprocessing.json")
