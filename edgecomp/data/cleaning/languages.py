"""Texts in another language than they should be in, as py3langid judges them: naive Bayes on n-grams of bytes, offline (Lui & Baldwin 2012, "langid.py")."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from edgecomp.data.cleaning.libraries import library
from edgecomp.errors import DataError, nearest

SHORTEST = 40  # bytes of UTF-8 that a text's letters take, which of a denser script are fewer letters; what is shorter nobody can tell
SURE = 0.9  # of what none of the languages is likely to be


def other_than(texts: Iterable[str], languages: Sequence[str]) -> Iterator[tuple[int, float, str]]:
    """The places of `texts` that are in none of the `languages`, ISO 639 codes such as `en`, with 1 - the probability of all of those.

    A text whose letters are too few is not judged. Raises DataError of a code that is none, RuntimeUnavailableError without the extra `data`.
    """
    judge = _judge()
    known = list(judge.labels)
    if unknown := [one for one in languages if one not in known]:
        raise DataError(
            f"clean.languages: {unknown[0]!r} is no language that is known{nearest(unknown[0], known)}; there are {', '.join(sorted(known))}"
        )
    for place, text in enumerate(texts):
        if letters_bytes(text) < SHORTEST:
            continue
        ranked = judge.rank(text)
        score = 1 - sum(share for name, share in ranked if name in languages)
        if ranked[0][0] not in languages and score >= SURE:
            yield place, min(1.0, score), f"likeliest: {ranked[0][0]}"


def letters_bytes(text: str) -> int:
    """How many bytes the letters of `text` take in UTF-8: one of English, two of Russian, three of Chinese each."""
    return len("".join(filter(str.isalpha, text)).encode())


def _judge() -> Any:
    module = library("py3langid.langid")
    return module.LanguageIdentifier.from_model_file(module.MODEL_FILE, norm_probs=True)
