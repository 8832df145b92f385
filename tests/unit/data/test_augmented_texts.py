import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecomp.data.augmentation.texts import (
    StoredViews,
    TextVariation,
    mistyped,
    read_synonyms,
    within_kinds,
)
from edgecomp.errors import DataError

LINES = [
    "081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_38865049064139660 terminating",
    "10.251.43.21:50010 Starting thread to transfer block blk_-1608999687919862906 to 10.251.43.21:50010",
    "ciod: failed to read message prefix on control stream CioStream socket to 172.16.96.116:33569 core 0x1f00ab",
    "open(/var/log/app/error-12.log) = 7; 550e8400-e29b-41d4-a716-446655440000 at 03:07:00",
]


def shape(text: str) -> str:
    return re.sub("[A-Za-z]", "a", re.sub(r"\d", "0", text))


@pytest.mark.parametrize("line", LINES)
def test_values_are_replaced_within_their_kind_and_words_stay(line: str) -> None:
    seen = within_kinds(line, np.random.default_rng(0))
    assert seen != line
    values = r"0x[0-9a-f]+|/[\w./-]+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+"
    assert re.sub(values, "#", line) == re.sub(values, "#", seen)
    assert len(seen) == len(line)


def test_one_value_is_replaced_by_one_and_hexadecimal_by_hexadecimal() -> None:
    seen = within_kinds(LINES[1], np.random.default_rng(3))
    first, last = re.findall(r"\d+\.\d+\.\d+\.\d+:\d+", seen)
    assert first == last != "10.251.43.21:50010"
    found = re.search(r"0x([0-9a-f]{6})\b", within_kinds(LINES[2], np.random.default_rng(3)))
    assert found
    assert found[1] != "1f00ab"
    path = within_kinds(LINES[3], np.random.default_rng(3))
    assert re.search(r"open\(/[a-z]{3}/[a-z]{3}/[a-z]{3}/[a-z]{5}-\d\d\.log\)", path)


@given(st.text(max_size=60), st.integers(0, 2**31))
def test_whatever_the_text_its_form_stays(text: str, seed: int) -> None:
    seen = within_kinds(text, np.random.default_rng(seed))
    assert len(seen) == len(text)
    assert [a.isspace() for a in seen] == [b.isspace() for b in text]


def test_so_many_words_have_one_error_and_keep_their_first_letter() -> None:
    text = " ".join(["wonderful", "a", "is", "Terrible"] * 500)
    seen = mistyped(text, 0.2, np.random.default_rng(1))
    before, after = text.split(" "), seen.split(" ")
    assert len(before) == len(after)
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert 150 < len(changed) < 250
    for own, other in changed:
        assert own[0] == other[0]
        assert abs(len(own) - len(other)) <= 1
        assert len(own) >= 4
    assert mistyped(text, 0.0, np.random.default_rng(1)) == text


@given(st.text(max_size=60), st.integers(0, 2**31))
def test_any_text_can_be_mistyped(text: str, seed: int) -> None:
    assert len(re.split(r"\s+", mistyped(text, 1.0, np.random.default_rng(seed)))) == len(
        re.split(r"\s+", text)
    )


def test_synonyms_stand_for_whole_words_and_keep_the_capital(tmp_path: Path) -> None:
    (tmp_path / "words.tsv").write_text("film\tmovie\tpicture\nNew York\tLondon\n\n")
    synonyms = read_synonyms(tmp_path / "words.tsv")
    assert synonyms == {"film": ("movie", "picture"), "new york": ("London",)}
    vary = TextVariation(typos=0, synonyms=synonyms, replaced=1.0, same_kind=False, seed=0)
    (seen,) = vary.of(["Film, filmed in New York: a FILM"], 1)
    assert re.fullmatch(r"(Movie|Picture), filmed in London: a (Movie|Picture)", seen)
    half = TextVariation(typos=0, synonyms=synonyms, replaced=0.5, same_kind=False, seed=0)
    assert 60 < sum("film" not in text for text in half.of(["film"] * 150, 2)) < 90


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("film\n", "words.tsv:1: 'film' has no synonym"), ("a\tb\nA\tc\n", "'A' has a line already"), ("\n", "no synonyms"), (None, "cannot be read")],
)  # fmt: skip
def test_a_file_of_synonyms_that_is_none_is_told(tmp_path: Path, content: str | None, complaint: str) -> None:
    if content is not None:
        (tmp_path / "words.tsv").write_text(content)
    with pytest.raises(DataError, match=complaint):
        read_synonyms(tmp_path / "words.tsv")


def test_a_view_depends_on_its_number_and_a_texts_place_alone() -> None:
    vary = TextVariation(typos=0.5, synonyms={}, replaced=0.2, same_kind=True, seed=7)
    whole = vary.of(LINES, 3)
    assert vary.of(LINES[:2], 3) == whole[:2]
    assert vary.of(LINES, 3) == whole
    assert vary.of(LINES, 4) != whole
    spoken = TextVariation(
        0, {}, 0.2, False, 7, rewrite=lambda texts, view: [f"{view}: {text}" for text in texts]
    )
    assert spoken.of(["a"], 2) == ["2: a"]


def test_stored_views_come_again_in_turn(tmp_path: Path) -> None:
    (tmp_path / "views").mkdir()
    np.savez(tmp_path / "views" / "1.npz", input_ids=np.ones((2, 3), np.int32))
    views, own = StoredViews(tmp_path, 2), {"input_ids": np.zeros((2, 3), np.int32)}
    for index, expected in enumerate((0, 1, 0, 1)):
        assert (views.view(own, np.zeros(2), index)["input_ids"] == expected).all()
