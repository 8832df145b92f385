"""Texts and answers as the tokens that are learnt, and what a teacher says of them as it is kept."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgecomp.data.sources import Wanted
from edgecomp.errors import DataError
from edgecomp.language import losses, models, soft_labels, texts
from edgecomp.language.texts import Row
from edgecomp.tasks.base import IGNORED

pytest.importorskip("transformers")
from small_language import sentences, tokenizer, write_model  # after what it needs


@pytest.fixture(scope="module")
def words() -> Any:
    return tokenizer()


def test_the_answer_alone_is_learnt_behind_the_chat_template(words: Any) -> None:
    words.chat_template = (
        "{% for m in messages %}[{{ m.content }}]{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    )
    found, notes = texts.encode([Row("the cat", " sat")], words, 32, packed=True)
    words.chat_template = None
    prompt = words.encode("[the cat]>", add_special_tokens=False)
    answer = [*words.encode(" sat", add_special_tokens=False), words.eos_token_id]
    assert found.input_ids[0].tolist() == [*prompt, *answer]
    assert found.prompts.tolist() == [len(prompt)]
    assert found.labels[0, : len(prompt) - 1].tolist() == [IGNORED] * (len(prompt) - 1)
    assert found.labels[0, len(prompt) - 1 : -1].tolist() == answer
    assert found.labels[0, -1] == IGNORED
    assert notes == []


def test_packed_texts_fill_their_rows_and_lose_no_token_but_the_last_ones(words: Any) -> None:
    rows = [Row("", one) for one in sentences(20)]
    found, _ = texts.encode(rows, words, 16, packed=True)
    whole = [token for row in rows for token in [*words.encode(row.answer), words.eos_token_id]]
    assert found.mask.all()
    assert found.input_ids.ravel().tolist() == whole[: found.input_ids.size]
    assert len(whole) - found.input_ids.size < 16
    assert (found.labels[:, :-1] == found.input_ids[:, 1:]).all()


def test_what_is_too_long_is_cut_and_said_and_a_prompt_without_an_answer_left_out(words: Any) -> None:
    rows = [Row("the cat", " sat" * 20), Row("the cat " * 20, " sat"), Row("the dog", " ran")]
    found, notes = texts.encode(rows, words, 12, packed=True)
    assert len(found) == 2
    assert "2 of 3 rows have more than 12 tokens" in notes[0]
    assert "1 of 3 rows have nothing to learn" in notes[1]
    with pytest.raises(DataError, match="the prompts alone are longer"):
        texts.encode(rows[1:2], words, 12, packed=True)


def test_no_row_is_both_learnt_and_judged() -> None:
    rows = {
        "train": [Row("", str(place % 40)) for place in range(100)],
        "test": [Row("", str(place)) for place in range(10)],
    }
    found = texts.split(rows, validation=0.25, test=0.25, limit=None, seed=0)
    assert found["test"] == rows["test"]
    held_out = {*found["test"], *found["validation"]}
    assert not held_out & {*found["train"]}
    assert len(held_out) + len(found["train"]) == 40
    with pytest.raises(DataError, match="validation split has 2 rows"):
        texts.split(
            {"train": [Row("", str(place)) for place in range(20)]},
            validation=0.1,
            test=0.5,
            limit=None,
            seed=0,
        )


def test_columns_are_read_by_name_and_a_missing_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"prompt": f"p{one}", "answer": "a", "other": "o"}) + "\n" for one in range(3))
    )
    assert texts.read(Wanted("huggingface", path="rows.jsonl"), tmp_path)["train"][1] == Row("p1", "a")
    assert texts.read(Wanted("huggingface", path="rows.jsonl", inputs="other"), tmp_path)["train"][1] == Row(
        "", "o"
    )
    with pytest.raises(DataError, match=r"no column 'promt'.*prompt"):
        texts.read(Wanted("huggingface", path="rows.jsonl", inputs="promt", label="answer"), tmp_path)


def test_what_the_teacher_says_is_kept_with_who_said_it(tmp_path: Path, words: Any) -> None:
    write_model(tmp_path / "model")
    teacher, _ = models.load(tmp_path / "model")
    tokens, _ = texts.encode([Row("", one) for one in sentences(8)], words, 16, packed=True)
    soft_labels.store(
        teacher,
        tokens,
        k=5,
        temperature=2.0,
        teacher_sha256="abc",
        folder=tmp_path,
        track=lambda items, *_: items,
    )
    stored = soft_labels.load(tmp_path, teacher_sha256="abc", k=5, temperature=2.0)
    with torch.no_grad():
        logits = teacher(torch.from_numpy(tokens.input_ids)).flatten(0, 1)
    read, wanted = (
        soft_labels.of_places(torch.from_numpy(np.array(stored)).flatten(0, 1)),
        losses.top_of(logits, 5, 2.0),
    )
    torch.testing.assert_close(read.categories, wanted.categories)
    assert torch.equal(read.tokens, wanted.tokens)
    with pytest.raises(DataError, match="of another teacher: teacher_sha256 is 'abc', not 'abd'"):
        soft_labels.load(tmp_path, teacher_sha256="abd", k=5, temperature=2.0)
    with pytest.raises(DataError, match="with other settings: temperature"):
        soft_labels.load(tmp_path, teacher_sha256="abc", k=5, temperature=1.0)
