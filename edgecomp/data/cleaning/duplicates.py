"""Examples that are the same, or nearly so, within the training split and across splits.

Texts are near where the Jaccard index of their character 5-grams is high: candidates come from MinHash with locality-sensitive hashing (Broder 1997,
Indyk & Motwani 1998; datasketch), and each is then held to the index itself. Images are near where few of the 64 bits of their perceptual hash
differ (imagehash) and their pixels do not differ much either.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.data import duplicates
from edgecomp.data.cleaning.libraries import library
from edgecomp.data.sources.examples import Examples
from edgecomp.progress import Track

Place = tuple[str, int]
GRAM = 5  # characters
PERMUTATIONS = 128
MISSED = (0.1, 0.9)  # candidates that are none are seen for what they are; those that are missed are not
AT_ONCE = 2_000  # texts that are hashed together
BITS = 64
PIXELS = 0.08  # of the range, that near images differ by, at most, on average

HELD_OUT = ("test", "validation")


def same(splits: Mapping[str, Examples]) -> Iterator[tuple[str, Place, float, Place, str]]:
    """Rule, example, score, and the example that it is because of: `duplicate`, `contradiction` and `leak` of all `splits`.

    A leak is told of training examples that are in another split, a duplicate of those that come again with the same label.
    """
    numbers = duplicates.identities(splits)
    labels = {name: _as_keys(one) for name, one in splits.items()}
    held_out: dict[int, Place] = {}
    for name in HELD_OUT:
        for row, number in enumerate(numbers.get(name, ())):
            held_out.setdefault(int(number), (name, row))
    first: dict[tuple[int, Any], Place] = {}
    for row, number in enumerate(numbers["train"]):
        place = ("train", row)
        if int(number) in held_out:
            yield "leak", place, 1.0, held_out[int(number)], ""
        earlier = first.setdefault((int(number), labels["train"][row]), place)
        if earlier != place:
            yield "duplicate", place, 1.0, earlier, ""
    yield from _contradictions(numbers, labels)


def _as_keys(examples: Examples) -> list[Any]:
    labels = examples.labels
    return labels.tolist() if labels.ndim == 1 else [row.tobytes() for row in labels]


def _contradictions(
    numbers: Mapping[str, npt.NDArray[np.int64]], labels: Mapping[str, Sequence[Any]]
) -> Iterator[tuple[str, Place, float, Place, str]]:
    together: dict[int, list[tuple[Place, Any]]] = {}
    for name, of_split in numbers.items():
        for row, number in enumerate(of_split):
            together.setdefault(int(number), []).append(((name, row), labels[name][row]))
    for group in together.values():
        if len({label for _, label in group}) < 2:
            continue
        for place, label in group:
            others = [other for other, its in group if its != label]
            yield (
                "contradiction",
                place,
                len(others) / len(group),
                others[0],
                f"{len(group)} with the same inputs",
            )


def near(
    splits: Mapping[str, Examples], threshold: float, track: Track
) -> Iterator[tuple[str, Place, float, Place, str]]:
    """Rule, example, likeness and what it is near to: `near-leak` and `near-duplicate`, of texts and images; of numbers there are none.

    splits: train, and what is judged on; threshold: of the likeness, below 1. An example is held to the first of each group that is near, so that hundreds of one template cost no more
    than one. Exact duplicates are not told again. track: shows progress. Raises RuntimeUnavailableError without the extra `data`.
    """
    values = splits["train"].values
    if isinstance(values, dict) or not (isinstance(values, list) or values.dtype == np.uint8):
        return
    numbers = duplicates.identities(splits)
    order = [
        (name, row)
        for name in (*HELD_OUT, "train")
        if name in splits
        for row in range(len(splits[name].labels))
    ]
    index: _Texts | _Images = (
        _Texts(splits, threshold, order) if isinstance(values, list) else _Images(splits, threshold, order)
    )
    seen: set[int] = set()
    for place in track(order, "near duplicates, examples", len(order)):
        split, row = place
        number = int(numbers[split][row])
        if number in seen:
            continue
        seen.add(number)
        likeness, leader = index.nearest(place)
        if leader is None:
            index.add(place)
        elif split == "train":
            yield "near-duplicate" if leader[0] == "train" else "near-leak", place, likeness, leader, ""


class _Texts:
    def __init__(self, splits: Mapping[str, Examples], threshold: float, order: Sequence[Place]) -> None:
        datasketch = library("datasketch")
        self._hash = datasketch.MinHash
        self._splits, self._threshold, self._order = splits, threshold, order
        self._index = datasketch.MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, weights=MISSED)
        self._at = {place: number for number, place in enumerate(order)}
        self._chunk: dict[Place, tuple[set[bytes], Any]] = {}
        self._leaders: dict[Place, set[bytes]] = {}

    def _signed(self, place: Place) -> tuple[set[bytes], Any]:
        """Its shingles and their signature; those of the next texts are made with them."""
        if place not in self._chunk:
            begins = self._at[place]
            places = self._order[begins : begins + AT_ONCE]
            sets = [shingles(self._splits[name].values[row]) for name, row in places]  # type: ignore[index,arg-type]  # of texts
            signatures = self._hash.bulk(sets, num_perm=PERMUTATIONS)
            self._chunk = dict(zip(places, zip(sets, signatures, strict=True), strict=True))
        return self._chunk[place]

    def nearest(self, place: Place) -> tuple[float, Place | None]:
        own, signature = self._signed(place)
        found = [
            (len(own & self._leaders[one]) / len(own | self._leaders[one]), one)
            for one in self._index.query(signature)
        ]
        best = max(found, key=lambda pair: pair[0], default=(0.0, None))
        return best if best[0] >= self._threshold else (0.0, None)

    def add(self, place: Place) -> None:
        own, signature = self._signed(place)
        self._leaders[place] = own
        self._index.insert(place, signature)


def shingles(text: str) -> set[bytes]:
    """The runs of five characters of `text`, in lower case and with single blanks; of a shorter one itself."""
    plain = " ".join(text.lower().split())
    return {
        plain[at : at + GRAM].encode("utf-8", "surrogatepass") for at in range(max(1, len(plain) - GRAM + 1))
    }


class _Images:
    def __init__(self, splits: Mapping[str, Examples], threshold: float, order: Sequence[Place]) -> None:
        self._splits = splits
        self._most = round((1 - threshold) * BITS)
        self._leaders: list[Place] = []
        self._codes = np.zeros(len(order), np.uint64)  # of the leaders, one after another
        self._hash = library("imagehash").phash

    def _pixels(self, place: Place) -> npt.NDArray[np.uint8]:
        name, row = place
        return self._splits[name].values[row]  # type: ignore[index,return-value]  # of images

    def _hashed(self, place: Place) -> np.uint64:
        from PIL import Image

        pixels = self._pixels(place)
        picture = Image.fromarray(pixels[0] if len(pixels) != 3 else pixels.transpose(1, 2, 0))
        return np.uint64(int(str(self._hash(picture)), 16))

    def nearest(self, place: Place) -> tuple[float, Place | None]:
        apart = np.bitwise_count(self._codes[: len(self._leaders)] ^ self._hashed(place))
        close = np.flatnonzero(apart <= self._most)
        for one in close[apart[close].argsort(kind="stable")]:
            if self._is_near(place, self._leaders[one]):
                return 1 - int(apart[one]) / BITS, self._leaders[one]
        return 0.0, None

    def _is_near(self, one: Place, other: Place) -> bool:
        left, right = self._pixels(one), self._pixels(other)
        return (
            left.shape == right.shape and float(np.abs(left.astype(np.int16) - right).mean()) <= PIXELS * 255
        )

    def add(self, place: Place) -> None:
        self._codes[len(self._leaders)] = self._hashed(place)
        self._leaders.append(place)
