"""Networks that read bytes: the hash as its definition has it, and padding that says nothing."""

import itertools
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgecomp.errors import UsageError
from edgecomp.inputs import as_bytes, from_bytes
from edgecomp.models.networks.conv_text import ConvText
from edgecomp.models.networks.ngram import LARGEST, PAIRS, Ngram

LINES = ["sshd[24200]: Failed password", "", "été 2", "kernel: 17 of 23"]


def test_an_ngrams_bucket_is_the_sum_of_bytes_times_factors_modulo_a_prime() -> None:
    network = Ngram(12, 3, orders=[1, 2, 4], buckets=101, digits=True)
    rows = as_bytes(LINES, 12)
    found = network.buckets_of(torch.from_numpy(rows.astype(np.int64))).numpy()
    wanted = [
        [
            sum(int(byte) * factor for byte, factor in zip(row[place : place + order], factors, strict=True))
            % 101
            for order, factors in zip(network.orders, network.factors, strict=True)
            for place in range(12 - order + 1)
        ]
        for row in rows
    ]
    assert found.tolist() == wanted
    assert all(0 < factor < 101 for factor in itertools.chain(*network.factors))


def hashed(pair: list[int], word: bytes) -> int:
    """The definition: each byte and the one before it in the word, 0 before the first."""
    first, second, third = pair
    return sum(
        (first * byte + second * before + third) % PAIRS + 1
        for before, byte in zip(b"\0" + word, word, strict=False)
    )


@given(st.text(st.sampled_from("aB7é -:"), max_size=20), st.booleans())
def test_a_words_bucket_is_that_of_its_pairs_at_its_last_byte_and_of_two_words_that_of_both(
    text: str, digits: bool
) -> None:
    network = Ngram(24, 3, orders=[1], buckets=101, words=(1, 2), digits=digits)
    row = as_bytes([text], 24)
    plain = bytes(row[0]) if digits else bytes(row[0]).translate(bytes.maketrans(b"0123456789", b"0" * 10))
    wanted, last = np.zeros((2, 24), np.int64), 0
    for found in re.finditer(rb"[0-9A-Za-z\x80-\xff]+", plain):
        one = hashed(network.pair, found.group())
        wanted[:, found.end() - 1] = one % 100 + 1, (one + last) % 100 + 1
        last = one
    characters, words, twos = (
        network.buckets_of(torch.from_numpy(row.astype(np.int64))).reshape(3, 24).numpy()
    )
    assert characters.tolist() == [byte * network.factors[0][0] % 101 for byte in plain]
    assert np.array_equal(np.stack([words, twos]), wanted)


def test_words_are_of_one_or_two() -> None:
    with pytest.raises(UsageError, match=r"words \[3\]: n-grams of words are of 1 or 2"):
        Ngram(24, 3, words=[3])


def test_no_sum_is_beyond_what_a_runtime_of_int32_holds() -> None:
    network = Ngram(96, 2, orders=[8], buckets=1_999_993)
    assert sum(255 * factor for factor in network.factors[0]) <= LARGEST


def test_padding_alone_is_bucket_0_whose_row_is_zero_and_stays_so() -> None:
    network = Ngram(12, 3)
    ends = torch.from_numpy(as_bytes(["", "ab"], 12).astype(np.int64))
    assert not network.buckets_of(ends)[0].any()
    network(ends).sum().backward()
    assert network.table.weight.grad is not None
    assert not network.table.weight[0].any()
    assert not network.table.weight.grad[0].any()
    other = ConvText(12, 3)
    other(ends).sum().backward()
    assert other.table.weight.grad is not None
    assert not other.table.weight.grad[0].any()


def test_numbers_are_the_same_unless_digits_are_told_apart() -> None:
    rows = torch.from_numpy(as_bytes(["port 17 open", "port 23 open"], 12).astype(np.int64))
    same, apart = (Ngram(12, 3, digits=digits).buckets_of(rows) for digits in (False, True))
    assert torch.equal(same[0], same[1])
    assert not torch.equal(apart[0], apart[1])


@given(st.lists(st.text(max_size=40), max_size=5), st.integers(8, 64))
def test_bytes_are_the_text_cut_and_padded(texts: list[str], most: int) -> None:
    rows = as_bytes(texts, most)
    assert rows.shape == (len(texts), most)
    for text, row in zip(texts, rows, strict=True):
        whole = text.replace("\0", " ").encode("utf-8", "replace")
        assert row.tobytes() == whole[:most].ljust(most, b"\0")


def test_bytes_are_texts_again_as_far_as_they_go() -> None:
    assert from_bytes(as_bytes([*LINES, "aé", "\0x"], 2)) == ["ss", "", "é", "ke", "a", " x"]


def test_a_line_of_ten_megabytes_is_cut_and_nothing_else_is() -> None:
    assert as_bytes(["x" * 10_000_000, "y"], 8).tolist() == [[120] * 8, [121] + [0] * 7]
