"""Inputs as a device meets them: pictures with noise, texts with typos, rows with columns missing. Each by name, at five severities.

The severities of pictures are those of CIFAR-10-C, and from 128 pixels on those of ImageNet-C (Hendrycks & Dietterich 2019, arXiv:1903.12261,
make_cifar_c.py and make_imagenet_c.py). A new corruption is a function and a row of its table.
"""

import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Random = np.random.Generator

SEVERITIES = (1, 2, 3, 4, 5)
LARGE = 128
"""Pixels of a side, from which on a picture is as large as ImageNet's."""


class Corruption(NamedTuple):
    """What it does, (examples, strength, random) → examples, and its strength by severity; `large`: of large pictures."""

    does: Callable[..., Any]
    strengths: tuple[float, ...]
    large: tuple[float, ...] = ()

    def strength(self, severity: int, side: int = 0) -> float:
        """severity: of SEVERITIES; side: of a picture, pixels."""
        return (self.large if self.large and side >= LARGE else self.strengths)[severity - 1]


def _noise(images: Array, strength: float, random: Random) -> Array:
    """Gaussian, `strength` of a pixel's range its deviation. images: uint8 [N, channels, height, width]; so of those below."""
    return _pixels(images / 255.0 + random.normal(0, strength, images.shape))


def _blur(images: Array, strength: float, random: Random) -> Array:
    """By a Gaussian, `strength` pixels its deviation."""
    from scipy.ndimage import gaussian_filter

    return _pixels(gaussian_filter(images / 255.0, (0, 0, strength, strength), mode="nearest"))


def _contrast(images: Array, strength: float, random: Random) -> Array:
    """`strength` of the contrast is left, about each channel's mean."""
    values = images / 255.0
    mean = values.mean(axis=(2, 3), keepdims=True)
    return _pixels((values - mean) * strength + mean)


def _jpeg(images: Array, strength: float, random: Random) -> Array:
    """Compressed by JPEG, `strength` its quality, and opened again."""
    from PIL import Image

    found = np.empty_like(images)
    for place, image in enumerate(images):
        file = io.BytesIO()
        grey = len(image) == 1
        Image.fromarray(image[0] if grey else image.transpose(1, 2, 0)).save(
            file, "JPEG", quality=int(strength)
        )
        opened = np.asarray(Image.open(file))
        found[place] = opened[None] if grey else opened.transpose(2, 0, 1)
    return found


def _pixels(values: Array) -> Array:
    return np.asarray(np.rint(np.clip(values, 0, 1) * 255), np.uint8)


def _missing(rows: Array, strength: float, random: Random) -> Array:
    """That share of the values is missing, and given its column's mean. rows: standardised, [N, features, ...]; so of those below."""
    return np.where(random.random(rows.shape) < strength, 0, rows).astype(np.float32)


def _shifted(rows: Array, strength: float, random: Random) -> Array:
    """Each column is off by `strength` deviations, up or down, the same in all rows: a sensor that was calibrated otherwise."""
    way = random.choice([-1.0, 1.0], (1, rows.shape[1], *[1] * (rows.ndim - 2)))
    return np.asarray(rows + strength * way, np.float32)


def _noisy(rows: Array, strength: float, random: Random) -> Array:
    """Gaussian noise, `strength` deviations its own."""
    return np.asarray(rows + random.normal(0, strength, rows.shape), np.float32)


def _typos(texts: Sequence[str], strength: float, random: Random) -> list[str]:
    """That share of the letters is swapped with the next, left out, doubled, or another letter."""

    def typed(text: str) -> str:
        wrong, drawn = random.random(len(text)) < strength, random.integers(0, 4, len(text))
        letters, place, found = list(text), 0, []
        while place < len(letters):
            letter = letters[place]
            if not (wrong[place] and letter.isalpha()):
                found.append(letter)
            elif drawn[place] == 0 and place + 1 < len(letters):
                found += [letters[place + 1], letter]
                place += 1
            elif drawn[place] == 2:
                found += [letter, letter]
            elif drawn[place] == 3:
                found.append(chr(ord("a") + int(random.integers(26))))
            place += 1
        return "".join(found)

    return [typed(text) for text in texts]


def _truncated(texts: Sequence[str], strength: float, random: Random) -> list[str]:
    """The last words are missing, `strength` of a text's; one at least is left."""

    def cut(text: str) -> str:
        words = text.split()
        return " ".join(words[: max(1, round(len(words) * (1 - strength)))])

    return [cut(text) for text in texts]


def _capitals(texts: Sequence[str], strength: float, random: Random) -> list[str]:
    """That share of the words is in capitals."""
    return [
        " ".join(word.upper() if random.random() < strength else word for word in text.split(" "))
        for text in texts
    ]


FIFTHS = (0.1, 0.2, 0.3, 0.4, 0.5)
TABLE: dict[str, dict[str, Corruption]] = {
    "image": {
        "noise": Corruption(_noise, (0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)),
        "blur": Corruption(_blur, (0.4, 0.6, 0.7, 0.8, 1.0), (1, 2, 3, 4, 6)),
        "jpeg": Corruption(_jpeg, (80, 65, 58, 50, 40), (25, 18, 15, 10, 7)),
        "contrast": Corruption(_contrast, (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)),
    },
    "array": {
        "noise": Corruption(_noisy, FIFTHS),
        "missing": Corruption(_missing, FIFTHS),
        "shifted": Corruption(_shifted, FIFTHS),
    },
    "text": {
        "typos": Corruption(_typos, (0.02, 0.04, 0.06, 0.08, 0.1)),
        "truncation": Corruption(_truncated, FIFTHS),
        "capitals": Corruption(_capitals, (0.2, 0.4, 0.6, 0.8, 1.0)),
    },
}
"""By kind of input (a preprocessing's) and name."""


def corrupted(kind: str, name: str, severity: int, examples: Any, seed: int) -> Any:
    """The `examples` with the corruption `name` of that `kind` of input, as TABLE has it.

    kind: `image`, uint8 [N, channels, height, width]; `array`, standardised float [N, features, ...]; `text`, texts; severity: of SEVERITIES;
    seed: the same gives the same.
    """
    row = TABLE[kind][name]
    side = max(examples.shape[2:]) if kind == "image" else 0
    places = list(TABLE[kind]).index(name)
    return row.does(examples, row.strength(severity, side), np.random.default_rng([seed, places, severity]))
