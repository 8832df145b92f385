"""Texts that say nothing, are too long, or were read in another encoding than they were written in."""

import re
from collections.abc import Iterator, Sequence

DAMAGED = re.compile("[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""What stands where a byte could not be read, and control characters, among them those that cp1252 puts to use (C1)."""

MOJIBAKE = re.compile(
    "[\xc2-\xdf\xe2-\xef\xf0-\xf4][\x80-\xbf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]"
)
"""A leading byte of UTF-8 and one that continues it, each read as a character of cp1252 or latin-1."""


def empty(texts: Sequence[str]) -> Iterator[tuple[int, float, str]]:
    """The places of `texts` that have no character but blanks, with 1."""
    for place, text in enumerate(texts):
        if not text.strip():
            yield place, 1.0, ""


def too_long(texts: Sequence[str], longest: int) -> Iterator[tuple[int, float, str]]:
    """The places of `texts` of more than `longest` characters, with how many they have."""
    for place, text in enumerate(texts):
        if len(text) > longest:
            yield place, float(len(text)), f"{len(text):,} characters"


def wrongly_encoded(texts: Sequence[str]) -> Iterator[tuple[int, float, str]]:
    """The places of `texts` with characters that come of a wrong encoding, with their share."""
    for place, text in enumerate(texts):
        odd = len(DAMAGED.findall(text))
        if odd:
            yield place, odd / len(text), f"{odd:,} characters that no text has"
        elif (pairs := len(MOJIBAKE.findall(text))) and _is_mojibake(text):
            yield place, 2 * pairs / len(text), "UTF-8 that was read as another encoding"


def _is_mojibake(text: str) -> bool:
    """Whether it becomes shorter, and is text, when it is written in an old encoding and read as UTF-8."""
    for encoding in ("cp1252", "latin-1"):
        try:
            return len(text.encode(encoding).decode("utf-8")) < len(text)
        except UnicodeError:
            continue
    return False
