"""Encoded images as one array of bytes: decoded one at a time, so that no more than the array is held."""

import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from edgecomp.errors import DataError

CHANNELS = {"L": 1, "RGB": 3}

# What Pillow raises of a file that is cut short or no image: which of these depends on the format and the place.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error,
           Image.DecompressionBombError)  # fmt: skip


def stacked(
    count: int,
    encoded: Callable[[int], Path | BytesIO],
    name: Callable[[int], str],
    image_size: int | None,
    mode: str | None,
) -> npt.NDArray[np.uint8]:
    """uint8 [count, channels, height, width] of `count` ≥ 1 files, turned as their EXIF orientation says.

    encoded: by its number, a file, or what it holds; name: by its number, what messages call it; image_size:
    pixels a side that all are resized to; mode: L or RGB, that all are converted to. None: as they are, and
    then all alike. Raises DataError where one is broken, or they differ in size or mode.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of metadata; pixels that are missing raise
        first = _pixels(encoded(0), name(0), image_size, mode)
        images = np.empty((count, *first.shape), np.uint8)
        images[0] = first
        for index in range(1, count):
            pixels = _pixels(encoded(index), name(index), image_size, mode)
            if pixels.shape != first.shape:
                _refuse_mixed(count, encoded, name, image_size, mode)
            images[index] = pixels
    return images


def unreadable(
    count: int, encoded: Callable[[int], Path | BytesIO], image_size: int | None, mode: str | None
) -> list[tuple[int, str, str]]:
    """Which of `count` images cannot be stacked with the others: their places, `broken-image` or `mixed-images`, and why.

    encoded: by its number, a file, or what it holds; image_size, mode: as `stacked` takes them. Where one of them is None, the images of the
    commonest size and mode are the rest's.
    """
    found: list[tuple[int, str, str]] = []
    kinds: dict[int, tuple[int, ...]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for place in range(count):
            try:
                kinds[place] = _pixels(encoded(place), "it", image_size, mode).shape
            except DataError as error:
                rule = "broken-image" if isinstance(error.__cause__, BROKEN) else "mixed-images"
                found.append((place, rule, str(error)))
    commonest = Counter(kinds.values()).most_common(1)
    for place, shape in kinds.items():
        if shape != commonest[0][0]:
            said = f"is of shape {list(shape)}, and {commonest[0][1]:,} others of {list(commonest[0][0])}"
            found.append((place, "mixed-images", said))
    return sorted(found)


def fitted(
    images: npt.NDArray[np.uint8], image_size: int | None, mode: str | None, where: str
) -> npt.NDArray[np.uint8]:
    """`images` [N, channels, height, width] in another `mode`, L or RGB, or `image_size`, pixels a side; as
    they are where that is None. Raises DataError, which begins with `where`, of channels without a mode."""
    if mode is not None and images.shape[1] != CHANNELS[mode]:
        if images.shape[1] not in CHANNELS.values():
            raise DataError(f"{where}: images of {images.shape[1]} channels cannot become {mode}: "
                            "take data.mode out")  # fmt: skip
        images = _each(images, CHANNELS[mode], images.shape[2:], lambda image: image.convert(mode))
    if image_size is not None and images.shape[2:] != (image_size, image_size):
        side, channels = (image_size, image_size), images.shape[1]
        planes = images.reshape(-1, 1, *images.shape[2:])
        resized = _each(planes, 1, side, lambda image: image.resize(side, Image.Resampling.BILINEAR))
        images = resized.reshape(-1, channels, *side)
    return images


def _each(
    images: npt.NDArray[np.uint8],
    channels: int,
    size: tuple[int, ...],
    change: Callable[[Image.Image], Image.Image],
) -> npt.NDArray[np.uint8]:
    out = np.empty((len(images), channels, *size), np.uint8)
    for index, image in enumerate(images):
        picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
        out[index] = _channels_first(change(picture))
    return out


def _channels_first(image: Image.Image) -> npt.NDArray[np.uint8]:
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _pixels(
    encoded: Path | BytesIO, name: str, image_size: int | None, mode: str | None
) -> npt.NDArray[np.uint8]:
    try:
        with whole_images(), Image.open(encoded) as opened:
            image: Image.Image = opened
            if _orientation(image) != 1:
                image = ImageOps.exif_transpose(image)
            image = _in_mode(image, name, mode)
            if image_size is not None:
                image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
            return _channels_first(image)
    except BROKEN as error:
        raise DataError(
            f"{name}: cannot be read as an image: {reason(error)}; mend it or take it out"
        ) from error


@contextmanager
def whole_images() -> Iterator[None]:
    """In which Pillow refuses a file that is cut short, whatever another library, such as one that writes PDFs, has told it for the whole process."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def reason(error: Exception) -> str:
    """Why an image cannot be read, by the `error` that Pillow raised."""
    if isinstance(error, UnidentifiedImageError):
        return "it is in no known image format"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _in_mode(image: Image.Image, name: str, mode: str | None) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":  # Pillow would clip them at 255
        raise DataError(f"{name}: has more than 8 bits a channel (mode {image.mode}): scale it to 8 bits, or bring "
                        "float32 arrays with data.source numpy")  # fmt: skip
    if mode is None and image.mode not in CHANNELS:
        raise DataError(f"{name}: is of mode {image.mode}, neither grey (L) nor RGB; data.mode: RGB converts")
    if mode is None or image.mode == mode:
        return image
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert(mode)


def _refuse_mixed(
    count: int,
    encoded: Callable[[int], Path | BytesIO],
    name: Callable[[int], str],
    image_size: int | None,
    mode: str | None,
) -> NoReturn:
    """Reads the headers of all of them, to say what there is."""
    kinds: dict[tuple[str, str], tuple[int, str]] = {}
    for index in range(count):
        for kind in _header(encoded(index), name(index)):
            seen, first = kinds.get(kind, (0, name(index)))
            kinds[kind] = (seen + 1, first)
    problems = []
    for setting, value, advice in (("size", image_size, "image_size: 32"), ("mode", mode, "mode: RGB")):
        variants = sorted(
            ((n, what, first) for (k, what), (n, first) in kinds.items() if k == setting), reverse=True
        )
        if value is None and len(variants) > 1:
            shown = "; ".join(f"{n} of {what}, such as {first}" for n, what, first in variants[:4])
            more = f"; and {len(variants) - 4} more {setting}s" if len(variants) > 4 else ""
            problems.append(f"images are of {len(variants)} {setting}s ({shown}{more}): "
                            f"set data.{setting.replace('size', 'image_size')}, such as data.{advice}")  # fmt: skip
    raise DataError("; ".join(problems))


def _header(encoded: Path | BytesIO, name: str) -> tuple[tuple[str, str], tuple[str, str]]:
    try:
        with Image.open(encoded) as image:
            width, height = image.size[::-1] if _orientation(image) >= 5 else image.size
            return ("size", f"{width}×{height}"), ("mode", image.mode)
    except BROKEN as error:
        raise DataError(
            f"{name}: cannot be read as an image: {reason(error)}; mend it or take it out"
        ) from error
