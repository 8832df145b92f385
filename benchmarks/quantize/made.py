"""Inputs as the models' own packages make them, from what every machine has: Python's own files and documentation, scikit-learn's photographs.

Each maker takes a count and a random generator and returns the model's inputs, [count, ...] each.
"""

import io
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from sklearn.datasets import load_sample_images

Array = npt.NDArray[np.generic]
Random = np.random.Generator

PADDING = 256  # of a file that is shorter than what magika reads
WORDS = sorted(
    {word for text in topics.values() for word in text.split() if word.isascii() and 1 < len(word) < 14}
)
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def files(count: int, random: Random) -> Array:
    """The first and last 1,024 bytes of files, stripped, [count, 2048] as integers, as magika takes them: as many of each suffix as there are."""
    by_suffix: dict[str, list[Path]] = {}
    for file in sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*")) + sorted(
        Path(sysconfig.get_paths()["stdlib"]).rglob("*")
    ):
        if file.is_file() and file.stat().st_size > 64:
            by_suffix.setdefault(file.suffix.lower(), []).append(file)
    for held in by_suffix.values():
        random.shuffle(held)
    taken = [
        file
        for place in range(count)
        for file in (held[place] for held in by_suffix.values() if len(held) > place)
    ][:count]
    return np.stack([_ends(file.read_bytes()) for file in taken])


def _ends(content: bytes) -> npt.NDArray[np.int32]:
    found = np.full(2048, PADDING, np.int32)
    begin, end = content[:4096].lstrip()[:1024], content[-4096:].rstrip()[-1024:]
    found[: len(begin)] = np.frombuffer(begin, np.uint8)
    found[2048 - len(end) :] = np.frombuffer(end, np.uint8)
    return found


def lines(count: int, random: Random, width: int = 160) -> Array:
    """Printed words, [count, 3, 48, width] from -1 to 1, half of them upside down, as PaddleOCR's classifiers and readers take them."""
    pictures = (_line(random, width) for _ in range(count))
    return np.stack([_channels_first(picture, 0.5, 0.5) for picture in pictures])


def turned_lines(count: int, random: Random) -> Array:
    """As `lines`, 192 wide, every second one upside down."""
    found = lines(count, random, 192)
    found[::2] = found[::2, :, ::-1, ::-1]
    return found


def _line(random: Random, width: int) -> Image.Image:
    paper, ink = int(random.integers(170, 256)), int(random.integers(0, 90))
    picture = Image.new("RGB", (width, 48), (paper, paper, paper))
    font = ImageFont.load_default(int(random.integers(18, 34)))
    text = " ".join(random.choice(WORDS, 3))
    ImageDraw.Draw(picture).text((random.integers(0, 8), random.integers(2, 14)), text, (ink, ink, ink), font)
    return _worn(picture, random)


def pages(count: int, random: Random, side: int = 224) -> Iterator[Image.Image]:
    """Printed pages, side by side pixels."""
    for _ in range(count):
        paper, ink = int(random.integers(170, 256)), int(random.integers(0, 90))
        picture = Image.new("RGB", (side, side), (paper, paper, paper))
        draw, size = ImageDraw.Draw(picture), int(random.integers(10, 26))
        font, top = ImageFont.load_default(size), float(random.integers(0, 20))
        while top < side - size:
            if random.random() < 0.8:
                text = " ".join(random.choice(WORDS, int(random.integers(1, 8))))
                draw.text((random.integers(2, 30), top), text, (ink, ink, ink), font)
            top += size * random.uniform(1.1, 2.0)
        yield _worn(picture, random)


def turned_pages(count: int, random: Random) -> Array:
    """Pages turned by 0, 90, 180 and 270 degrees, [count, 3, 224, 224], normalised as ImageNet's."""
    return np.stack(
        [_imagenet(page.rotate(90 * (place % 4))) for place, page in enumerate(pages(count, random))]
    )


def pages_to_find_text_in(count: int, random: Random) -> Array:
    """[count, 3, 160, 160], normalised as ImageNet's, as PaddleOCR's detectors take them."""
    return np.stack([_imagenet(page) for page in pages(count, random, 160)])


def photographs(count: int, random: Random, side: int) -> Iterator[Image.Image]:
    """Crops of scikit-learn's two photographs, of any size and mirrored."""
    whole = [Image.fromarray(photograph) for photograph in load_sample_images().images]
    for place in range(count):
        of = whole[place % len(whole)]
        size = int(random.integers(80, min(of.size)))
        left, top = (int(random.integers(0, length - size + 1)) for length in of.size)
        crop = of.crop((left, top, left + size, top + size)).resize((side, side), Image.Resampling.BILINEAR)
        yield crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else crop


def photographs_from_0_to_1(count: int, random: Random) -> Array:
    """[count, 3, 160, 160], as nudenet takes them."""
    return np.stack([_channels_first(one, 0.0, 1.0) for one in photographs(count, random, 160)])


def captchas(count: int, random: Random) -> Iterator[Image.Image]:
    """Letters turned and crossed out, 160 by 60 pixels."""
    for _ in range(count):
        colour = tuple(int(one) for one in random.integers(170, 256, 3))
        picture = Image.new("RGB", (160, 60), colour)
        left = random.integers(4, 16)
        for letter in random.choice(list(LETTERS), int(random.integers(4, 7))):
            glyph = Image.new("L", (40, 50))
            ImageDraw.Draw(glyph).text(
                (6, 2), letter, 255, ImageFont.load_default(int(random.integers(26, 38)))
            )
            glyph = glyph.rotate(random.uniform(-25, 25))
            picture.paste(
                tuple(int(one) for one in random.integers(0, 130, 3)),
                (int(left), int(random.integers(0, 10))),
                glyph,
            )
            left += random.integers(18, 26)
        draw = ImageDraw.Draw(picture)
        for _ in range(3):
            draw.line(
                [tuple(random.integers(0, (160, 60))) for _ in range(2)],
                tuple(int(one) for one in random.integers(0, 160, 3)),
            )
        yield _worn(picture, random)


def coloured_captchas(count: int, random: Random) -> Array:
    """[count, 3, 60, 160] from -1 to 1."""
    return np.stack([_channels_first(one, 0.5, 0.5) for one in captchas(count, random)])


def speech(count: int, random: Random, samples: int = 576) -> Array:
    """Vowels, hisses and silence at 16 kHz, [count, samples]: harmonics of a voice through two formants, beside noise."""
    time = np.arange(samples) / 16_000
    found = []
    for place in range(count):
        noise = random.normal(0, 10 ** random.uniform(-3.5, -1.5), samples)
        pitch, (low, high) = random.uniform(80, 260), (random.uniform(250, 800), random.uniform(900, 2500))
        harmonics = pitch * np.arange(1, 30)
        strength = np.exp(-(((harmonics - low) / 150) ** 2)) + 0.5 * np.exp(
            -(((harmonics - high) / 250) ** 2)
        )
        voice = (
            strength[:, None] * np.sin(2 * np.pi * (harmonics[:, None] * time + random.random((29, 1))))
        ).sum(0)
        found.append(noise + (place % 3 > 0) * 10 ** random.uniform(-1.5, -0.5) * voice)
    return np.asarray(found, np.float32)


def _worn(picture: Image.Image, random: Random) -> Image.Image:
    """As a camera gives it: a little out of focus, and through JPEG."""
    held = io.BytesIO()
    picture.filter(ImageFilter.GaussianBlur(random.uniform(0, 1.0))).save(
        held, "JPEG", quality=int(random.integers(40, 95))
    )
    return Image.open(held).convert("RGB")


def _channels_first(picture: Image.Image, mean: float, deviation: float) -> npt.NDArray[np.float32]:
    pixels = np.asarray(picture, np.float32).transpose(2, 0, 1) / 255
    return ((pixels - mean) / deviation).astype(np.float32)


def _imagenet(picture: Image.Image) -> npt.NDArray[np.float32]:
    mean, deviation = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    return ((_channels_first(picture, 0.0, 1.0) - mean) / deviation).astype(np.float32)
