"""Images in one folder, and in another beside it a mask of each: an image file of the same name but for its suffix, a class number a pixel.

`path/images` and `path/masks`, or both in a folder of each split: `path/train/images`. `inputs` and `label` name them otherwise.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from edgecomp.data.sources.examples import SPLITS, Examples, Source, Wanted, refuse_unused
from edgecomp.data.sources.image_folder import SUFFIXES, read_images
from edgecomp.data.sources.images import BROKEN, reason, whole_images
from edgecomp.data.sources.paths import found, split_of_folder, visible
from edgecomp.errors import DataError, nearest

IMAGES, MASKS = "images", "masks"
MODES = ("1", "L", "P")  # of masks: a number a pixel; of P the places in its palette

Pairs = list[tuple[Path, Path]]


def read(wanted: Wanted, folder: Path) -> Source:
    """Images and masks of all splits. wanted: what was asked for; with `image_size` masks are resized too, to the nearest pixel; folder:
    the recipe's, for a relative path. Raises DataError."""
    values, masks = {}, {}
    for split, pairs in _pairs(wanted, folder).items():
        values[split] = read_images([image for image, _ in pairs], wanted)
        masks[split] = _masks(pairs, wanted.image_size)
    found: dict[str, Any] = masks  # an array, for as lists masks would take a hundred times the memory
    labels, classes = wanted.meaning.encode(found, None, str(wanted.path))
    return Source({split: Examples(values[split], labels[split]) for split in values}, classes)


def files(wanted: Wanted, folder: Path) -> dict[str, list[Path]]:
    """Split → its images and masks. wanted: what was asked for; folder: the recipe's, for a relative path. Raises DataError."""
    return {
        split: [path for pair in pairs for path in pair] for split, pairs in _pairs(wanted, folder).items()
    }


def _pairs(wanted: Wanted, folder: Path) -> dict[str, Pairs]:
    refuse_unused(wanted, "slice")
    given, label = wanted.inputs or IMAGES, wanted.label or MASKS
    if not isinstance(given, str) or not isinstance(label, str):
        raise DataError(
            f"data.inputs and data.label are the folders of images and of masks, one name each, not {given} and {label}"
        )
    path = found(wanted, folder)
    if not path.is_dir():
        raise DataError(
            f"data.path: {path} is a file; images and their masks come in folders, {given} and {label}"
        )
    return {
        split: _of_split(root / given, root / label) for split, root in _roots(path, wanted, given).items()
    }


def _roots(path: Path, wanted: Wanted, given: str) -> dict[str, Path]:
    """Split → the folder that holds its two."""
    if wanted.files:
        return {split: path / wanted.files[split] for split in SPLITS if split in wanted.files}
    if (path / given).is_dir():
        return {"train": path}
    inside = sorted(entry for entry in path.iterdir() if (entry / given).is_dir())
    splits = {split_of_folder(entry.name) or "": entry for entry in inside}
    if "train" not in splits or "" in splits or len(splits) < len(inside):
        there = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
        raise DataError(f"{path}: has no folder {given!r}{nearest(given, there)}, and no train/{given}; it has {', '.join(there) or 'no folders'}: "
                        "name the folders of images and masks in data.inputs and data.label, or the splits' in data.files")  # fmt: skip
    return splits


def _of_split(images: Path, masks: Path) -> Pairs:
    for folder, what in ((images, "images"), (masks, "masks (data.label)")):
        if not folder.is_dir():
            near = nearest(
                folder.name, [one.name for one in folder.parent.iterdir()] if folder.parent.is_dir() else []
            )
            raise DataError(f"no such folder of {what}: {folder}{near}")
    ours, theirs = _by_stem(images), _by_stem(masks)
    if not ours:
        raise DataError(f"{images}: has no image; known are {', '.join(SUFFIXES)}")
    for here, there, what in ((ours, theirs, "mask"), (theirs, ours, "image")):
        if missing := sorted(set(here) - set(there)):
            other = masks if what == "mask" else images
            raise DataError(f"{here[missing[0]]} has no {what} in {other}, and {len(missing)} of {len(here)} have none: each image has a mask of "
                            "the same name but for its suffix")  # fmt: skip
    return [(ours[stem], theirs[stem]) for stem in sorted(ours)]


def _by_stem(folder: Path) -> dict[str, Path]:
    """By its path in the folder, without its suffix. Raises DataError where two have one."""
    by_stem: dict[str, Path] = {}
    for path in visible(folder):
        if path.suffix.lower() in SUFFIXES:
            stem = path.relative_to(folder).with_suffix("").as_posix()
            if stem in by_stem:
                raise DataError(
                    f"{by_stem[stem]} and {path.name} have one name but for their suffixes: which is meant? Take one out"
                )
            by_stem[stem] = path
    return by_stem


def _masks(pairs: Pairs, image_size: int | None) -> npt.NDArray[np.uint8]:
    """[N, height, width]. Raises DataError where one is no mask, or of another size than its image."""
    masks = [_mask(image, mask, image_size) for image, mask in pairs]
    for (_, path), mask in zip(pairs, masks, strict=True):
        if mask.shape != masks[0].shape:
            raise DataError(f"{path} is of {mask.shape[1]}×{mask.shape[0]} pixels, and {pairs[0][1].name} of {masks[0].shape[1]}×"
                            f"{masks[0].shape[0]}: set data.image_size, such as data.image_size: 64")  # fmt: skip
    return np.stack(masks)


def _mask(image: Path, mask: Path, image_size: int | None) -> npt.NDArray[np.uint8]:
    try:
        with whole_images(), Image.open(image) as beside, Image.open(mask) as opened:
            if opened.mode not in MODES:
                raise DataError(f"{mask}: is of mode {opened.mode}; a mask holds a class number a pixel, 255 for none: save it grey (L) or with a "
                                "palette (P)")  # fmt: skip
            size, turned = ImageOps.exif_transpose(beside).size, ImageOps.exif_transpose(opened)
            if turned.size != size:
                raise DataError(f"{mask} is of {turned.size[0]}×{turned.size[1]} pixels, and its image of {size[0]}×{size[1]}: they must be of one "
                                "size")  # fmt: skip
            if image_size is not None:
                turned = turned.resize((image_size, image_size), Image.Resampling.NEAREST)
            return np.asarray(turned, np.uint8)
    except BROKEN as error:
        raise DataError(
            f"{mask}, or its image: cannot be read: {reason(error)}; mend it or take it out"
        ) from error
