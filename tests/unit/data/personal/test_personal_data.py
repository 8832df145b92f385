"""Personal data are known by how they are written and by their check digits; their pseudonyms tell who has the key alone."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecomp.data.personal import pseudonyms
from edgecomp.data.personal.kinds import KINDS, find, is_iban, luhn
from edgecomp.data.personal.pseudonyms import KEY, Pseudonyms, from_environment, replaced
from edgecomp.errors import DataError, UsageError

ONES = {
    "write to a.b+c@example.co.uk now": ("email", "a.b+c@example.co.uk"),
    "call +44 20 7946 0958.": ("phone", "+442079460958"),
    "or (555) 123-4567": ("phone", "5551234567"),
    "from 10.251.43.191:54106": ("ip", "10.251.43.191"),
    "fe80::1ff:fe23:4567:890a up": ("ip", "fe80::1ff:fe23:4567:890a"),
    "to GB82 WEST 1234 5698 7654 32 today": ("iban", "GB82WEST12345698765432"),
    "card 4111-1111-1111-1111, please": ("card", "4111111111111111"),
    "amex 378282246310005": ("card", "378282246310005"),
    "DNI 12345678Z": ("identity", "12345678Z"),
    "NIE X1234567L": ("identity", "X1234567L"),
    "CPF 529.982.247-25": ("identity", "52998224725"),
    "code RSSMRA85T10A562S": ("identity", "RSSMRA85T10A562S"),
    "NHS 943 476 5919": ("identity", "9434765919"),
    "NIR 2 55 08 14 168 025 38": ("identity", "255081416802538"),
}
"""Numbers that documents and test suites of card schemes, banks and offices use as examples; nobody's."""

NONE = [
    "blk_38865049064139660 081109 203615",
    "version 1.2.3.4567 of 2005-06-03-15.42.50.363779",
    "00:0c:29:b7:0f:11 at 12:34:56",
    "card 4111-1111-1111-1112",  # another check digit
    "GB82 WEST 1234 5698 7654 33",
    "DNI 12345678A",
    "CPF 529.982.247-26",
    "NHS 943 476 5918",
    "127.0.0.1 and 0.0.0.0 and 300.1.2.3",
    "0000 0000 0000 0000",
    "user@host and a@b",
    "0701/114930",
    "key=5f0cd3a2-4111-4111-8111-111111111111",
]


@pytest.mark.parametrize("text", ONES)
def test_one_is_found_and_written_the_same_way(text: str) -> None:
    assert [(one.kind, one.plain) for one in find(text)] == [ONES[text]]


@pytest.mark.parametrize("text", NONE)
def test_what_only_looks_like_it_is_none(text: str) -> None:
    assert list(find(text)) == []


@given(st.text(alphabet="0123456789", min_size=12, max_size=18))
def test_one_digit_in_ten_is_luhns_and_any_single_other_one_is_not(body: str) -> None:
    right = [digit for digit in "0123456789" if luhn(body + digit)]
    assert len(right) == 1
    wrong = str((int(body[0]) + 1) % 10) + body[1:]
    assert not luhn(wrong + right[0])


@given(st.integers(0, 10**18 - 1))
def test_an_ibans_check_digits_are_those_of_its_standard(number: int) -> None:
    body = f"{number:018d}"
    check = 98 - int(body + "131400") % 97  # D is 13, E is 14
    assert is_iban(f"DE{check:02d}{body}")
    assert not is_iban(f"DE{(check % 97) + 1:02d}{body}") or check % 97 + 1 == check


@given(st.text(max_size=200))
def test_no_text_breaks_it_and_nothing_lies_in_another(text: str) -> None:
    ends = 0
    for one in find(text):
        assert one.kind in KINDS
        assert ends <= one.begins < one.ends <= len(text)
        ends = one.ends


def test_long_texts_take_no_longer_than_they_are() -> None:
    """Patterns that go back over what they have read would take hours here."""
    for text in (
        "1" * 50_000,
        "a@" * 25_000,
        "a." * 25_000,
        "1 " * 25_000,
        "::" * 25_000,
        "+1-" * 20_000,
        "AB12" * 12_000,
        "a-b." * 12_000,
    ):
        list(find(text))


KEYED = Pseudonyms(b"a secret of some length")


def test_the_same_datum_is_the_same_pseudonym_however_it_is_written() -> None:
    one, other = (
        replaced("card 4111 1111 1111 1111 of A@B.example", KEYED),
        replaced("card 4111111111111111 of a@b.example", KEYED),
    )
    assert one == other
    assert re.fullmatch(r"card <card:[0-9a-f]{12}> of <email:[0-9a-f]{12}>", one)
    assert replaced(one, KEYED) == one  # a pseudonym is no datum
    assert replaced("a@b.example", Pseudonyms(b"another secret of length")) not in other


def test_nothing_is_left_of_what_was_replaced() -> None:
    draw = random.Random(0)
    texts = list(ONES)
    for _ in range(200):
        text = " ".join(draw.sample(texts, 3))
        assert not list(find(replaced(text, KEYED))), text


def test_the_key_comes_from_the_environment_and_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)
    with pytest.raises(UsageError, match="there is no key for them: set EDGECOMP_PSEUDONYM_KEY"):
        from_environment()
    monkeypatch.setenv(KEY, "tooshort")
    with pytest.raises(UsageError, match="has 8 bytes, and could be guessed") as raised:
        from_environment()
    assert "tooshort" not in str(raised.value)
    monkeypatch.setenv(KEY, "a secret of some length")
    assert from_environment() == KEYED
    assert "secret" not in repr(KEYED)
    assert re.fullmatch("[0-9a-f]{12}", KEYED.key_id)
    assert KEYED.key_id != Pseudonyms(b"another secret of length").key_id


def test_they_are_counted_and_refused_without_being_shown() -> None:
    texts = ["nothing", "a@b.example and 10.1.2.3", "c@d.example"]
    assert pseudonyms.count(texts) == {"email": 2, "ip": 1}
    with pytest.raises(
        DataError, match="the train split: 2 email, 1 ip that look like personal data, the first in example 1"
    ) as raised:
        pseudonyms.refuse(texts, "the train split")
    assert "b.example" not in str(raised.value)
    pseudonyms.refuse(["nothing"], "it")
