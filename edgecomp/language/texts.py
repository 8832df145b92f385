"""Texts, and prompts with answers, as the tokens that a language model learns and is judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecomp.data.sources import Wanted
from edgecomp.data.sources.paths import found, split_files
from edgecomp.data.sources.tables.table_files import READERS, read_table
from edgecomp.errors import DataError, nearest
from edgecomp.tasks.base import IGNORED

SPLITS = ("train", "validation", "test")
TEXT, PROMPT, ANSWER = "text", "prompt", "answer"
FEWEST = 8  # rows of a split
OPEN, CLOSE = "<think>", "</think>"  # about a model's reasoning: DeepSeek-R1, Qwen 3, SmolLM3


class Row(NamedTuple):
    """What a model reads, and what it is to say then; a text is all answer."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class Tokens:
    """N rows of at most L tokens. input_ids: int64 [N, L]; labels: int64 [N, L], the token that comes after each place, IGNORED where none is learnt;
    mask: int64 [N, L], 1 where there is a token; prompts: int64 [N], how many of a row's tokens are its prompt's."""

    input_ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    mask: npt.NDArray[np.int64]
    prompts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def learnt(self) -> int:
        """Places that are learnt from, or judged."""
        return int((self.labels != IGNORED).sum())

    def save(self, file: Path) -> None:
        """Writes an .npz `file`, as every split of a run is one."""
        np.savez(
            file, input_ids=self.input_ids, attention_mask=self.mask, labels=self.labels, prompts=self.prompts
        )

    @classmethod
    def load(cls, file: Path) -> "Tokens":
        """What `save` wrote as `file`. Raises FileError."""
        from edgecomp.files.array_files import read_npz

        arrays = read_npz(file)
        return cls(arrays["input_ids"], arrays["labels"], arrays["attention_mask"], arrays["prompts"])


def files(wanted: Wanted, folder: Path) -> dict[str, list[Path]]:
    """By split, the files that `read` reads for the same `wanted` and `folder`. Raises DataError."""
    path = found(wanted, folder)
    return split_files(path, wanted, tuple(READERS))


def read(wanted: Wanted, folder: Path) -> dict[str, list[Row]]:
    """By split, the rows of tables: the column `inputs`, and `label` where there are answers. wanted: where they lie; folder: the recipe's.

    Without names, `prompt` and `answer` are looked for, then `text`. Raises DataError.
    """
    return {
        split: [row for path in paths for row in _rows(path, wanted)]
        for split, paths in files(wanted, folder).items()
    }


def _rows(path: Path, wanted: Wanted) -> list[Row]:
    def choose(schema: Any) -> list[str]:
        asked = [name for name in (wanted.inputs, wanted.label) if name is not None]
        default = [PROMPT, ANSWER] if {PROMPT, ANSWER} <= set(schema.names) else [TEXT]
        chosen = [str(name) for name in asked] or default
        if missing := [name for name in chosen if name not in schema.names]:
            raise DataError(f"{path}: no column {missing[0]!r}{nearest(missing[0], schema.names)}; a language model reads {TEXT!r}, or {PROMPT!r} and {ANSWER!r}, "
                            f"or what data.inputs and data.label name; there are {', '.join(schema.names)}")  # fmt: skip
        return chosen

    table = read_table(path, choose, codes=0)
    columns = [column.to_pylist() for column in table.columns]
    for name, values in zip(table.column_names, columns, strict=True):
        if (
            wrong := next((place for place, value in enumerate(values) if not isinstance(value, str)), None)
        ) is not None:
            raise DataError(f"{path}: column {name!r}, row {wrong} (from 0) is {values[wrong]!r}, not a text")
    if len(columns) == 1:
        return [Row("", text) for text in columns[0] if text.strip()]
    return [Row(prompt, answer) for prompt, answer in zip(*columns, strict=True)]


def split(
    rows: dict[str, list[Row]], *, validation: float, test: float, limit: int | None, seed: int
) -> dict[str, list[Row]]:
    """Train, validation and test, in an order that `seed` draws; what is not there is drawn from the training rows, in these shares of them. Rows that are the
    same are kept once, and what is in a later split is not learnt. limit: of training rows, half as many of the others; None: all. Raises DataError."""
    found = {name: list(dict.fromkeys(own)) for name, own in rows.items()}
    order = np.random.default_rng(seed).permutation(len(found["train"]))
    train = [found["train"][place] for place in order]
    for name, share in (("test", test), ("validation", validation)):
        if name not in found:
            count = round(share * len(order))
            found[name], train = train[:count], train[count:]
    held_out = {*found["test"], *found["validation"]}
    found["train"] = [row for row in train if row not in held_out]
    found = {
        name: found[name][: limit if name == "train" or limit is None else limit // 2] for name in SPLITS
    }
    if few := [name for name, own in found.items() if len(own) < FEWEST]:
        raise DataError(
            f"the {few[0]} split has {len(found[few[0]])} rows, and takes {FEWEST} different ones: give more, or another fraction"
        )
    return found


def without_reasoning(answer: str) -> str | None:
    """An `answer` without what stands between `<think>` and `</think>`, as models that reason write it; None where the block does not come to its end.

    A block whose beginning is in the prompt, as some chat templates have it, is known by its end.
    """
    before, opened, rest = answer.partition(OPEN)
    if not opened:
        _, closed, after = answer.partition(CLOSE)
        return after.strip() if closed else answer
    _, closed, after = rest.partition(CLOSE)
    if not closed:
        return None
    return without_reasoning((before + after.lstrip()).strip())


def stripped(rows: Sequence[Row]) -> list[Row]:
    """Those of `rows` whose reasoning comes to its end, without it."""
    found = [(row, without_reasoning(row.answer)) for row in rows]
    return [row._replace(answer=answer) for row, answer in found if answer]


def encode(rows: Sequence[Row], tokenizer: Any, length: int, *, packed: bool) -> tuple[Tokens, list[str]]:
    """The rows as tokens, at most `length` of each, and what should be known of them, a sentence each. A prompt is put into the tokenizer's chat template where
    it has one; of a row with a prompt the answer alone is learnt. packed: texts are put behind each other, an end between them, and cut into rows without
    padding. Raises DataError where nothing is left to learn."""
    end = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    pieces: list[tuple[list[int], list[int]]] = []
    for row in rows:
        before = _prompt(row.prompt, tokenizer) if row.prompt else []
        pieces.append((before, [*tokenizer.encode(row.answer, add_special_tokens=False), *end]))
    notes = []
    if packed and not any(row.prompt for row in rows):
        whole = [token for _, answer in pieces for token in answer]
        pieces = [
            ([], whole[start : start + length]) for start in range(0, max(len(whole) - length, 0) + 1, length)
        ]
    elif longer := sum(len(before) + len(answer) > length for before, answer in pieces):
        notes.append(
            f"{longer} of {len(pieces)} rows have more than {length} tokens (data.max_length) and are cut"
        )
    kept = [(before, (before + answer)[:length]) for before, answer in pieces]
    usable = [(before, tokens) for before, tokens in kept if len(tokens) > max(len(before), 1)]
    if gone := len(kept) - len(usable):
        notes.append(
            f"{gone} of {len(kept)} rows have nothing to learn within {length} tokens and are left out"
        )
    if not usable:
        raise DataError(
            f"no row has an answer within data.max_length, {length} tokens: the prompts alone are longer"
        )
    return padded(
        usable, int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (end or [0])[0])
    ), notes


def with_choices(
    rows: Sequence[Row], choices: Sequence[str], tokenizer: Any, length: int
) -> tuple[list[Tokens], npt.NDArray[np.int64], int]:
    """Each prompt with each answer of `choices`, in their order, as tokens of the `tokenizer`, of which the answer's are judged, its end among them; which choice is right, [N]; and how
    many of `rows` are left out, for a prompt with an answer has more than `length` tokens. Raises DataError where an answer is none of the choices, or nothing is left."""
    end = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    answers = [[*tokenizer.encode(one, add_special_tokens=False), *end] for one in choices]
    kept: list[list[tuple[list[int], list[int]]]] = []
    right = []
    for place, row in enumerate(rows):
        if not row.prompt or row.answer not in choices:
            said = f"has the answer {row.answer[:60]!r}" if row.prompt else "has no prompt"
            raise DataError(
                f"language.choices: test row {place} (from 0, without repetitions) {said}; answers to prompts must be one of {', '.join(choices)}"
            )
        before = _prompt(row.prompt, tokenizer)
        if len(before) + max(map(len, answers)) <= length:
            kept.append([(before, before + one) for one in answers])
            right.append(list(choices).index(row.answer))
    if not kept:
        raise DataError(f"language.choices: no test prompt has room for an answer within {length} tokens")
    padding = int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (end or [0])[0])
    return [padded(of, padding) for of in zip(*kept, strict=True)], np.asarray(right), len(rows) - len(kept)


def _prompt(text: str, tokenizer: Any) -> list[int]:
    if tokenizer.chat_template:
        said = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
        )
        return list(tokenizer.encode(said, add_special_tokens=False))
    return list(tokenizer.encode(text, add_special_tokens=False))


def padded(rows: Sequence[tuple[list[int], list[int]]], padding: int) -> Tokens:
    """Rows of any length as Tokens. rows: of each its prompt, and the whole of it with its prompt; padding: the token behind its end."""
    shape = len(rows), max(len(tokens) for _, tokens in rows)
    ids, labels, mask = (
        np.full(shape, padding, np.int64),
        np.full(shape, IGNORED, np.int64),
        np.zeros(shape, np.int64),
    )
    for place, (before, tokens) in enumerate(rows):
        ids[place, : len(tokens)] = tokens
        mask[place, : len(tokens)] = 1
        first = max(len(before) - 1, 0)  # the last token of the prompt is followed by the first of the answer
        labels[place, first : len(tokens) - 1] = tokens[first + 1 :]
    return Tokens(ids, labels, mask, np.asarray([len(before) for before, _ in rows], np.int64))
