"""Names of people, by Presidio itself and a spaCy model that is made here; skipped where the extra `names` is not installed (`tox run -e names`)."""

from pathlib import Path

import pytest

from edgecomp.data.personal import names
from edgecomp.data.personal.kinds import find
from edgecomp.data.personal.pseudonyms import Pseudonyms, replaced
from edgecomp.errors import RuntimeUnavailableError, UsageError

TEXT = "Ada Lovelace (ada@firm.de) wrote to  alan turing, and Ada went."


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A spaCy pipeline that knows two people."""
    spacy = pytest.importorskip("spacy", reason="needs the extra `names`")
    pytest.importorskip("presidio_analyzer", reason="needs the extra `names`")
    made = spacy.blank("en")
    people = ([{"LOWER": "ada"}, {"LOWER": "lovelace"}], [{"LOWER": "alan"}, {"LOWER": "turing"}])
    made.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": one} for one in people])
    made.to_disk(tmp_path / "people")
    monkeypatch.setenv(names.MODEL, str(tmp_path / "people"))
    return str(tmp_path / "people")


def test_names_are_found_beside_what_patterns_find(model: str) -> None:
    assert [(one.kind, one.plain) for one in find(TEXT)] == [
        ("name", "ada lovelace"),
        ("email", "ada@firm.de"),
        ("name", "alan turing"),
    ]


def test_a_name_has_one_pseudonym_however_it_is_written(model: str) -> None:
    told = replaced("Alan Turing. ALAN TURING.", Pseudonyms(b"a secret of thirty-two characters"))
    first, second = told.strip(".").split(". ")
    assert first == second
    assert first.startswith("<name:")


def test_without_a_model_names_are_left_and_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(names.MODEL, raising=False)
    assert [one.kind for one in find(TEXT)] == ["email"]
    assert names.identity() == ""


def test_a_model_that_is_not_there_is_told_and_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("presidio_analyzer", reason="needs the extra `names`")
    monkeypatch.setenv(names.MODEL, "en_core_web_none")
    with pytest.raises(UsageError, match="en_core_web_none: no such package or folder of a spaCy model"):
        list(find(TEXT))


def test_without_presidio_it_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "presidio_analyzer", None)
    names._analyzer.cache_clear()
    monkeypatch.setenv(names.MODEL, str(tmp_path))
    with pytest.raises(RuntimeUnavailableError, match=r"pip install 'edgecomp\[names\]'"):
        list(find(TEXT))
