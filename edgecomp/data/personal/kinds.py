"""Kinds of personal data, each by how it is written and, where it has check digits, by those.

A pattern alone would call every long number a card; a number with a check digit is one in ten by chance, so that what surrounds it counts too.
To add one: a row of KINDS.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgecomp.data.personal import names

_BEFORE, _AFTER = r"(?<![\w.+@/=-])", r"(?![\w@]|[.-]\w)"
"""What may not stand beside: a part of a longer word, path or number."""


@dataclass(frozen=True)
class Kind:
    """pattern: how it is written; holds: whether what matches is one, by its check digits; plain: the same thing written the same way, of which a
    pseudonym is made."""

    pattern: re.Pattern[str]
    holds: Callable[[str], bool]
    plain: Callable[[str], str]


@dataclass(frozen=True)
class Found:
    """kind: a key of KINDS; begins, ends: where in the text; plain: what it is, however it is written."""

    kind: str
    begins: int
    ends: int
    plain: str


GAP = re.compile("[ -]")


def digits(text: str) -> str:
    """Those of `text`, without what stands between them."""
    return re.sub(r"\D", "", text)


def signs(text: str) -> str:
    """The letters and digits of `text`, in capitals."""
    return re.sub(r"[^0-9A-Za-z]", "", text).upper()


def luhn(text: str) -> bool:
    """Whether the digits of `text` have the check digit of ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits(text))):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 * (doubled > 9)
    return total % 10 == 0


def is_card(text: str) -> bool:
    """Whether `text` is the number of a payment card: 13 to 19 digits, an issuer's beginning, and Luhn's check digit."""
    number = digits(text)
    return 13 <= len(number) <= 19 and number[0] in "23456" and len(set(number)) > 1 and luhn(number)


def is_iban(text: str) -> bool:
    """Whether `text` is an IBAN: its country's length, and the remainder 1 of 97 (ISO 13616-1)."""
    number = signs(text)
    if len(number) != IBAN_LENGTHS.get(number[:2], 0):
        return False
    return int("".join(str(int(sign, 36)) for sign in number[4:] + number[:4])) % 97 == 1


def is_dni(text: str) -> bool:
    """Whether `text` is a Spanish DNI or NIE: its letter is that of the number's remainder of 23."""
    number = signs(text)
    first = {"X": "0", "Y": "1", "Z": "2"}.get(number[0], number[0])
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(first + number[1:-1]) % 23] == number[-1]


def is_nir(text: str) -> bool:
    """Whether `text` is a French NIR: its key is 97 less the number's remainder of 97."""
    number = signs(text)
    body = number[:-2].replace("2A", "19").replace("2B", "18")
    return body.isdigit() and 97 - int(body) % 97 == int(number[-2:])


def is_cpf(text: str) -> bool:
    """Whether `text` is a Brazilian CPF, by its two check digits of 11."""
    number = [int(digit) for digit in digits(text)]
    if len(set(number)) == 1:
        return False
    return all(
        (sum(digit * (length + 1 - place) for place, digit in enumerate(number[:length])) * 10 % 11) % 10
        == number[length]
        for length in (9, 10)
    )


def is_codice_fiscale(text: str) -> bool:
    """Whether `text` is an Italian codice fiscale, by its last letter (Decreto Ministeriale 23 December 1976)."""
    odd = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
    total = 0
    for place, sign in enumerate(text[:15].upper()):
        value = int(sign) if sign.isdigit() else ord(sign) - ord("A")
        total += value if place % 2 else odd[value]
    return chr(ord("A") + total % 26) == text[15].upper()


def is_nhs(text: str) -> bool:
    """Whether `text` is a British NHS number, by its check digit of 11."""
    number = digits(text)
    check = 11 - sum(int(digit) * (10 - place) for place, digit in enumerate(number[:9])) % 11
    return len(set(number)) > 1 and check % 11 == int(number[9]) and check != 10


def is_ip(text: str) -> bool:
    """Whether `text` is an address of one machine: neither of a loop nor of nobody."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return (
        not (address.is_loopback or address.is_unspecified or address.is_multicast)
        and text != "255.255.255.255"
    )


def is_phone(text: str) -> bool:
    """Whether `text` has as many digits as a telephone number may (ITU-T E.164: 15 at most)."""
    return 8 <= len(digits(text)) <= 15 and len(set(digits(text))) > 2


IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "EE": 20, "ES": 24, "FI": 18, "FR": 27,
    "GB": 22, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26, "IT": 27, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31,
    "NL": 18, "NO": 15, "PL": 28, "PT": 25, "RO": 24, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TR": 26,
}  # fmt: skip
"""Of an IBAN, in signs, by country (SWIFT's IBAN registry)."""


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(_BEFORE + text + _AFTER)


KINDS: dict[str, Kind] = {
    "email": Kind(
        re.compile(r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![\w-])"),
        lambda text: ".." not in text,
        str.lower,
    ),
    "iban": Kind(_pattern(r"[A-Z]{2}\d{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,3})?"), is_iban, signs),
    "card": Kind(_pattern(r"\d{4}[ -]?\d{4,6}[ -]?\d{4,5}(?:[ -]?\d{1,4})?(?:[ -]?\d{1,3})?"), is_card, digits),
    "phone": Kind(
        re.compile(
            r"(?<![\w.+:/=-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,4}"  # with its country
            r"|\(\d{2,4}\) ?\d{3,4}[ -]\d{3,4}|\d{3}[-.]\d{3}[-.]\d{4}"  # North America's
            r"|0\d{2,4} \d{3,4}[ -]?\d{3,4})(?![\w@]|[.:-]\d)"
        ),
        is_phone,
        lambda text: ("+" if text.startswith("+") else "") + digits(text),
    ),
    "identity": Kind(
        _pattern(
            r"(?:[XYZ]-?\d{7}-?[A-Z]|\d{8}-?[A-Z]"  # DNI, NIE
            r"|[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}"  # NIR
            r"|\d{3}\.\d{3}\.\d{3}-\d{2}"  # CPF
            r"|[A-Za-z]{6}\d{2}[ABCDEHLMPRSTabcdehlmprst]\d{2}[A-Za-z]\d{3}[A-Za-z]"  # codice fiscale
            r"|\d{3} \d{3} \d{4})"  # NHS
        ),
        lambda text: any(holds(text) for written, holds in IDENTITIES if written.fullmatch(text)),
        signs,
    ),
    "ip": Kind(
        re.compile(r"(?<![\w.:-])(?:\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}|(?:[0-9A-Fa-f]{1,4}:){1,6}(?::[0-9A-Fa-f]{1,4}){1,6})(?![\w:]*[.:]?\w*:?[A-Fa-f]\w*:|\w|\.\d)"),
        is_ip,
        lambda text: str(ipaddress.ip_address(text)),
    ),
}  # fmt: skip
"""By name; where two meet in a text, the first one has it."""

NAME = "name"
"""What a person is called; no pattern tells it."""

IDENTITIES: tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...] = (
    (re.compile(r"[XYZ]-?\d{7}-?[A-Z]|\d{8}-?[A-Z]"), is_dni),
    (re.compile(r"[12][ \dAB]{14,20}"), is_nir),
    (re.compile(r"\d{3}\.\d{3}\.\d{3}-\d{2}"), is_cpf),
    (re.compile(r"[A-Za-z]{6}\w{10}"), is_codice_fiscale),
    (re.compile(r"\d{3} \d{3} \d{4}"), is_nhs),
)


def find(text: str) -> Iterator[Found]:
    """The personal data in `text`, in their order; none lies in another. Names of people are among them where the environment names a model for them
    (edgecomp.data.personal.names). Raises UsageError, RuntimeUnavailableError."""
    taken: list[Found] = []
    for name, kind in KINDS.items():
        for begins, ends in _spans(kind, text):
            if all(ends <= one.begins or begins >= one.ends for one in taken):
                taken.append(Found(name, begins, ends, kind.plain(text[begins:ends])))
    for begins, ends in names.spans(text):
        if all(ends <= one.begins or begins >= one.ends for one in taken):
            taken.append(Found(NAME, begins, ends, " ".join(text[begins:ends].casefold().split())))
    yield from sorted(taken, key=lambda one: one.begins)


def _spans(kind: Kind, text: str) -> Iterator[tuple[int, int]]:
    """Where one stands. A number that stands beside another, with a blank between, is looked for without it: from its own beginning, and to
    its own end."""
    at = 0
    while match := kind.pattern.search(text, at):
        begins, ends = match.span()
        whole = match[0]
        parts = [len(whole), *(gap.start() for gap in reversed(list(GAP.finditer(whole))))]
        fitting = (
            end
            for end in parts
            if kind.pattern.fullmatch(text, begins, begins + end) and kind.holds(whole[:end])
        )
        if (end := next(fitting, None)) is not None:
            yield begins, begins + end
            at = begins + end
        else:
            first = GAP.search(whole)
            at = begins + first.end() if first else ends
