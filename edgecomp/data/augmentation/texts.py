"""Views of texts: typing errors, other words for the same, and values in log lines and code replaced within their kind.

A view is a pure function of (seed, view, place of the text), so that the number of texts that are varied at once changes nothing. To add a
way: a function of a text and a generator, and a row of `TextVariation.of`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.data.augmentation import Arrays
from edgecomp.errors import DataError
from edgecomp.files.array_files import read_npz
from edgecomp.tasks import Labels

FOLDER = "views"  # beside the splits: 1.npz, 2.npz, ...; view 0 is the training split itself
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")

VALUE = re.compile(
    r"""(?P<uuid>\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b)
    |   (?P<hex>\b0[xX][0-9a-fA-F]+\b|\b(?=[0-9a-fA-F]*[0-9])(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{6,}\b)
    |   (?P<path>(?<![\w.])(?:/[\w.@%+-]+){2,}/?)
    |   (?P<identifier>\b(?=\w*\d)(?=\w*[A-Za-z])\w+\b)
    |   (?P<number>\d+)""",
    re.VERBOSE,
)
"""Values of log lines and code, the first kind that fits: 550e8400-…, 0x1f or deadbeef01, /var/log/x, blk_38865049064139660, 42 (so that
times, dates and addresses, which are numbers with signs between them, keep their form)."""
LETTERS = {"uuid": "abcdef", "hex": "abcdef", "path": "abcdefghijklmnopqrstuvwxyz"}
"""By kind, what a letter is replaced by."""


@dataclass(frozen=True)
class TextVariation:
    """typos: the share of words with a typing error; synonyms: word or phrase, in lower case → what may stand in its place, of which a
    `replaced` share is; same_kind: whether values are replaced within their kind; rewrite: (texts, view) → as many texts, before all that."""

    typos: float
    synonyms: Mapping[str, Sequence[str]]
    replaced: float
    same_kind: bool
    seed: int
    rewrite: Callable[[Sequence[str], int], list[str]] | None = None

    def of(self, texts: Sequence[str], view: int) -> list[str]:
        """View number `view` of `texts`."""
        pattern, found = _phrases(self.synonyms), []
        if self.rewrite is not None:
            texts = self.rewrite(texts, view)
        for place, text in enumerate(texts):
            random = np.random.default_rng([self.seed, view, place])
            if self.same_kind:
                text = within_kinds(text, random)
            if pattern is not None:
                text = reworded(text, self.synonyms, pattern, self.replaced, random)
            if self.typos:
                text = mistyped(text, self.typos, random)
            found.append(text)
        return found


@dataclass(frozen=True)
class StoredViews:
    """Views of the training split that were written when the data were split. folder: of the splits."""

    folder: Path
    views: int

    def view(self, arrays: Arrays, labels: Labels, index: int) -> dict[str, npt.NDArray[Any]]:
        """View number `index`. Raises FileError where its file is not what was written."""
        index %= self.views
        return dict(arrays) if index == 0 else read_npz(self.folder / FOLDER / f"{index}.npz")


def within_kinds(text: str, random: np.random.Generator) -> str:
    """`text` with its values replaced: digits by digits, letters of paths and of hexadecimal by such, and those of an identifier stay, for they say of
    what it is (`blk_38865`); one that stands there twice by the same.
    random: draws them."""
    known: dict[str, str] = {}

    def replaced(match: re.Match[str]) -> str:
        value = match[0]
        if value not in known:
            known[value] = _another(value, LETTERS.get(str(match.lastgroup), ""), random)
        return known[value]

    return VALUE.sub(replaced, text)


def _another(value: str, letters: str, random: np.random.Generator) -> str:
    """A value of the same form, its letters drawn of `letters`, as they were where there are none: a leading 0 stays, and no number begins with one
    that did not; `0x` and extensions of files stay."""
    end = len(value)
    if "/" in value and "." in value.rsplit("/", 1)[1]:
        end = value.rindex(".")
    begin = 2 if value[:2] in ("0x", "0X") else 0
    found = [value[:begin]]
    for place, sign in enumerate(value[begin:end], begin):
        first = place == begin or not value[place - 1].isalnum()
        if sign.isdigit():
            found.append(sign if sign == "0" and first else str(random.integers(1 if first else 0, 10)))
        elif letters and sign.isascii() and sign.isalpha():
            letter = letters[int(random.integers(len(letters)))]
            found.append(letter.upper() if sign.isupper() else letter)
        else:
            found.append(sign)
    return "".join(found) + value[end:]


def reworded(
    text: str,
    synonyms: Mapping[str, Sequence[str]],
    pattern: re.Pattern[str],
    share: float,
    random: np.random.Generator,
) -> str:
    """`text` with that share of the phrases that `pattern` finds replaced by one of their `synonyms`, written with a capital where they were.
    random: draws them."""

    def replaced(match: re.Match[str]) -> str:
        if random.random() >= share:
            return match[0]
        others = synonyms[match[0].lower()]
        other = others[int(random.integers(len(others)))]
        return other[:1].upper() + other[1:] if match[0][:1].isupper() else other

    return pattern.sub(replaced, text)


def mistyped(text: str, share: float, random: np.random.Generator) -> str:
    """`text` with a typing error in that share of its words of four letters or more: two letters swapped, one left out, one doubled, or the
    key beside it. The first letter stays, as people's errors mostly leave it (Pruthi et al. 2019, arXiv:1905.11268). random: draws them."""
    words = re.split(r"(\s+)", text)
    for place, word in enumerate(words):
        letters = [index for index, sign in enumerate(word) if sign.isascii() and sign.isalpha()]
        if len(letters) < 4 or random.random() >= share:
            continue
        at = letters[int(random.integers(1, len(letters)))]
        words[place] = _ERRORS[int(random.integers(len(_ERRORS)))](word, at, random)
    return "".join(words)


def _swapped(word: str, at: int, random: np.random.Generator) -> str:
    return word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :] if at > 1 else _doubled(word, at, random)


def _left_out(word: str, at: int, random: np.random.Generator) -> str:
    return word[:at] + word[at + 1 :]


def _doubled(word: str, at: int, random: np.random.Generator) -> str:
    return word[: at + 1] + word[at:]


def _key_beside(word: str, at: int, random: np.random.Generator) -> str:
    row = next(row for row in KEYS if word[at].lower() in row)
    key = row.index(word[at].lower())
    beside = [row[place] for place in (key - 1, key + 1) if 0 <= place < len(row)]
    other = beside[int(random.integers(len(beside)))]
    return word[:at] + (other.upper() if word[at].isupper() else other) + word[at + 1 :]


_ERRORS = (_swapped, _left_out, _doubled, _key_beside)


def _phrases(synonyms: Mapping[str, Sequence[str]]) -> re.Pattern[str] | None:
    """What finds the keys of `synonyms` as whole words, the longest first; None where there are none."""
    if not synonyms:
        return None
    longest_first = sorted(synonyms, key=len, reverse=True)
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)", re.IGNORECASE)


def read_synonyms(path: Path) -> dict[str, tuple[str, ...]]:
    """What may stand in a word's place, from the file at `path`: a line a group, with tabs between a word or phrase (an entity's name, say) and the others,
    each of which may stand for the first alone. Raises DataError."""
    found: dict[str, tuple[str, ...]] = {}
    for number, (line, parts) in enumerate(_lines(path), 1):
        if not parts:
            continue
        if len(parts) < 2:
            raise DataError(f"{path}:{number}: {line[:60]!r} has no synonym: write a word, a tab, and what may stand in its place")  # fmt: skip
        if parts[0].lower() in found:
            raise DataError(f"{path}:{number}: {parts[0]!r} has a line already: write its synonyms into one")
        found[parts[0].lower()] = tuple(parts[1:])
    if not found:
        raise DataError(f"{path} has no synonyms")
    return found


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"data.augment.synonyms: {path} cannot be read: {error}") from error
    for line in text.splitlines():
        yield line, [part.strip() for part in line.split("\t") if part.strip()]
