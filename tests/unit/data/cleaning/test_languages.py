"""Texts in another language are found; what is too short is not judged; what cannot be asked is told."""

from pathlib import Path

import numpy as np
import pytest
from pyarrow import csv, table

import edgecomp
from edgecomp.config.parts.cleaning import Clean
from edgecomp.data.cleaning import search
from edgecomp.data.cleaning.languages import letters_bytes
from edgecomp.data.cleaning.search import Asked
from edgecomp.data.sources import Examples, Source
from edgecomp.errors import DataError

OTHERS = {
    "fr": "Ceci est un film magnifique, plein de charme et d'esprit, que l'on regarde avec plaisir.",
    "de": "Ein langweiliger und lebloser Film, der seine Zuschauer nach zehn Minuten verliert.",
    "es": "Una película aburrida y sin vida, que no merece la pena ver dos veces.",
    "ru": "скучный и безжизненный фильм, который не стоит смотреть",
    "zh": "这部电影很无聊，没有生命力，我们不应该再看第二遍。",
    "ja": "退屈で活気のない映画です。二度と見る必要はありません。",
}
ENGLISH = (
    "the leanest and meanest of solondz 's misanthropic comedies",
    "a fine production with splendid singing by angela gheorghiu , ruggero raimondi , and roberto alagna",
    "dull and lifeless, it loses its audience after the first ten minutes",
)
SHORT = ("très bien", "sehr gut", "1,024 of 2,048 0x7fff3e2a 17:04:12.993 ----- 192.168.0.1", "")


def source_of(values: object) -> Source:
    return Source({"train": Examples(values, np.arange(len(values)) % 2)}, ("a", "b"))


def test_texts_in_another_language_are_found_and_short_ones_are_not_judged() -> None:
    pytest.importorskip("py3langid", reason="needs the extra `data`")
    source = source_of([*ENGLISH, *SHORT, *OTHERS.values()])
    told = [
        one
        for one in search.search(source, Asked(languages=["en"]), of_classes=False)
        if one.rule == "language"
    ]
    assert {one.row: one.detail for one in told} == {
        len(ENGLISH) + len(SHORT) + place: f"likeliest: {code}" for place, code in enumerate(OTHERS)
    }
    assert all(0.9 <= one.score <= 1 for one in told)
    assert {one.action for one in told} == {"report"}
    both = search.search(source, Asked(languages=["en", "fr", "de"]), of_classes=False)
    assert [one.detail[-2:] for one in both if one.rule == "language"] == ["es", "ru", "zh", "ja"]
    assert not [one for one in search.search(source, Asked(), of_classes=False) if one.rule == "language"]


def test_what_cannot_be_asked_is_told() -> None:
    pytest.importorskip("py3langid", reason="needs the extra `data`")
    with pytest.raises(DataError, match="'english' is no language that is known"):
        search.search(source_of([*ENGLISH]), Asked(languages=["english"]), of_classes=False)
    with pytest.raises(DataError, match="is of texts, and these are none"):
        search.search(source_of(np.zeros((4, 2), np.float32)), Asked(languages=["en"]), of_classes=False)
    with pytest.raises(DataError, match="name the languages that texts should be in"):
        search.search(source_of([*ENGLISH]), Asked({"language": "remove"}), of_classes=False)


def test_a_denser_script_takes_fewer_letters() -> None:
    assert letters_bytes("abc 1,2; d") == 4
    assert letters_bytes("это") == 6
    assert letters_bytes("电影") == 6


def test_they_are_removed_from_a_copy_where_that_is_asked(tmp_path: Path) -> None:
    pytest.importorskip("py3langid", reason="needs the extra `data`")
    texts = [f"{ENGLISH[number % 3]} {number}" for number in range(30)] + [OTHERS["de"], OTHERS["fr"]]
    csv.write_csv(table({"text": texts, "label": ["a", "b"] * 16}), tmp_path / "texts.csv")
    rules = {
        "language": "remove",
        "near-duplicate": "off",
        "label-error": "off",
        "outlier": "off",
        "near-leak": "off",
    }
    found = edgecomp.clean(tmp_path / "texts.csv", rules=rules, languages=["en"], out=tmp_path / "out")
    assert found.summary["rules"]["language"] == {"found": 2, "removed": 2}
    assert not any(OTHERS["de"].encode() in file.read_bytes() for file in found.files)


def test_the_digest_of_a_recipe_without_languages_is_what_it_was() -> None:
    assert "languages" not in Clean().model_dump()
    assert Clean(languages=["en"]).model_dump()["languages"] == ["en"]
