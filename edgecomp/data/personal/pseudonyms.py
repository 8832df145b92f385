"""Personal data replaced by pseudonyms: an HMAC (RFC 2104) of what it is, with a key from the environment that is never stored.

The same address is the same pseudonym everywhere, in whatever way it is written, so that a model can still see that it is the same; without the key
nobody can try addresses until one fits. Whoever holds the key can: it is pseudonymisation (GDPR, article 4 (5)), not anonymity.
"""

import hashlib
import hmac
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgecomp.data.personal.kinds import find
from edgecomp.errors import DataError, UsageError

KEY = "EDGECOMP_PSEUDONYM_KEY"
FEWEST_BYTES = 16
DIGITS = 12  # hexadecimal, of a pseudonym: of 10 million addresses some 0.2 pairs share one by chance
GIVE = f"set {KEY} to a secret of {FEWEST_BYTES} characters or more (`openssl rand -hex 32` makes one), and keep it as long as the data"


@dataclass(frozen=True)
class Pseudonyms:
    """secret: the key; whoever prints this sees none of it."""

    secret: bytes

    def __repr__(self) -> str:
        return "Pseudonyms(…)"

    @property
    def key_id(self) -> str:
        """What tells one key from another without telling the key: two runs with the same one have the same pseudonyms."""
        return self._digest("key", "id")

    def of(self, kind: str, plain: str) -> str:
        """What stands in place of `plain`, a datum of that `kind`: `<email:5f0c…>`."""
        return f"<{kind}:{self._digest(kind, plain)}>"

    def _digest(self, kind: str, plain: str) -> str:
        return hmac.new(
            self.secret, f"{kind}\0{plain}".encode("utf-8", "surrogatepass"), hashlib.sha256
        ).hexdigest()[:DIGITS]


def from_environment() -> Pseudonyms:
    """With the key that the environment gives. Raises UsageError where there is none, or it is short; it never tells what it found."""
    given = os.environ.get(KEY)
    if given is None:
        raise UsageError(f"personal data are replaced by pseudonyms, and there is no key for them: {GIVE}")
    if len(given.encode()) < FEWEST_BYTES:
        raise UsageError(f"{KEY} has {len(given.encode())} bytes, and could be guessed: {GIVE}")
    return Pseudonyms(given.encode())


def replaced(text: str, pseudonyms: Pseudonyms) -> str:
    """The `text` with a pseudonym of `pseudonyms` in place of each personal datum."""
    parts, at = [], 0
    for one in find(text):
        parts += [text[at : one.begins], pseudonyms.of(one.kind, one.plain)]
        at = one.ends
    return "".join([*parts, text[at:]]) if parts else text


def count(texts: Iterable[str]) -> Counter[str]:
    """How many personal data of each kind there are in `texts`."""
    return Counter(one.kind for text in texts for one in find(text))


def told(found: Counter[str]) -> str:
    """Kinds and numbers of what was `found`, in words."""
    return ", ".join(f"{number:,} {kind}" for kind, number in sorted(found.items()))


def refuse(texts: Sequence[str], where: str) -> None:
    """Raises DataError where there are personal data in `texts`; where: what they are, for the message, which shows none of them."""
    found = count(texts)
    if found:
        place = next(place for place, text in enumerate(texts) if any(True for _ in find(text)))
        raise DataError(
            f"{where}: {told(found)} that look like personal data, the first in example {place:,} (from 0), and data.clean.personal_data is refuse: take them "
            "out, or replace them by pseudonyms with data.clean.personal_data=replace"
        )
