"""Examples whose answers changed are in the report as they are only where the recipe says so, and not with personal data."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgecomp.data.personal.kinds import find
from edgecomp.data.preprocessing import Numbers
from edgecomp.gate.document import ChangedExample, Changes
from edgecomp.pipeline.stages.originals import originals, readings
from edgecomp.report.answers import NONE_SHOWN, Originals, tables

LABELS = np.zeros(4, np.int64)


def changes(*examples: int) -> Changes:
    listed = tuple(
        ChangedExample(example=one, label="a", slice=None, reference="a", answer="b") for one in examples
    )
    return Changes(
        reference="teacher", arm="student_int8", confidence=0.95, examples=4, changed=len(listed), lost=len(listed),
        gained=0, classes=(), slices=(), answers=(), changes=listed,
    )  # fmt: skip


def shown(folder: Path, *examples: int, asked: bool = True) -> Originals:
    recipe = SimpleNamespace(report=SimpleNamespace(examples=asked))
    run: Any = SimpleNamespace(folder=folder, job=SimpleNamespace(recipe=recipe))
    verdict: Any = SimpleNamespace(answers={"onnxruntime-cpu": changes(*examples)})
    return originals(run, verdict)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path


def of_numbers(folder: Path, values: np.ndarray[Any, Any], kind: Any, columns: tuple[str, ...] = ()) -> None:
    np.savez(folder / "data" / "test.npz", values=values, labels=LABELS)
    size = values.shape[1]
    Numbers(kind, values.shape[1:], (0.0,) * size, (1.0,) * size, ("a", "b"), columns).save(folder / "data")


def of_texts(folder: Path, *words: str) -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="it is in the extra `text`")
    vocabulary = {word: number for number, word in enumerate(words)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token=words[0]))
    made.save(str(folder / "data" / "tokenizer.json"))
    ids = np.tile(np.arange(len(words), dtype=np.int32), (4, 1))
    np.savez(folder / "data" / "test.npz", input_ids=ids, attention_mask=np.ones_like(ids), labels=LABELS)


def test_nothing_is_read_unless_the_recipe_says_so(folder: Path) -> None:
    assert shown(folder, 0, 1, asked=False) == NONE_SHOWN


def test_a_picture_is_one(folder: Path) -> None:
    for channels in (1, 3):
        of_numbers(folder, np.full((4, channels, 5, 5), 7, np.uint8), "image")
        found = shown(folder, 2).of
        assert list(found) == [2]
        assert isinstance(found[2], bytes)
        assert found[2].startswith(b"\x89PNG")


def test_numbers_have_the_names_of_their_columns(folder: Path) -> None:
    of_numbers(folder, np.arange(8, dtype=np.float32).reshape(4, 2), "array", ("length", "width"))
    assert shown(folder, 3, 1).of == {1: "length 2, width 3", 3: "length 6, width 7"}
    of_numbers(folder, np.zeros((4, 20), np.float32), "array")
    assert shown(folder, 0).of[0] == ", ".join(["0"] * 12) + " and 8 more"


def test_texts_are_shown_unless_personal_data_are_in_one(folder: Path) -> None:
    of_texts(folder, "all", "is", "well")
    assert shown(folder, 0).of == {0: "all is well"}
    of_texts(folder, "write", "to", "ann.lee@example.org")
    refused = shown(folder, 0, 1)
    assert not refused.of
    assert "(2 email)" in refused.said
    assert "data.clean.personal_data=replace" in refused.said
    assert "ann.lee" not in refused.said


@pytest.mark.parametrize(
    "decoded",
    [
        "mail ann. lee @ example. org now",
        "call + 49 170 1234567 today",
        "from 203. 0. 113. 9 port",
        "tel ( 030 ) 123 - 4567",
        "iban de89370400440532013000",
    ],
)
def test_what_a_tokenizer_took_apart_is_found(decoded: str) -> None:
    assert any(list(find(read)) for read in readings(decoded))


def test_a_text_is_no_markup() -> None:
    (table,) = tables(changes(0), 50, Originals({0: "<script>"}, ""))
    assert table.header[-1] == "as it is"
    assert table.rows[0][-1] == "<script>"  # the template makes it safe, as every text
    (picture,) = tables(changes(0), 50, Originals({0: b'"><script>'}, ""))
    assert "<script>" not in picture.rows[0][-1]
    assert picture.rows[0][-1].startswith('<img class="original" alt="example 0" src="data:image/png;base64,')
