"""Texts as token ids, by a tokenizer of the Hugging Face kind; the file it is kept in needs `tokenizers` and nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError, RuntimeUnavailableError
from edgecomp.tasks.base import IGNORED


class Tokenizer:
    """texts → token ids int32 [N, L] and attention mask int8 [N, L], padded on the right, cut at max_length."""

    def __init__(self, folder: str, max_length: int) -> None:
        """folder: a local one, or a hub name. Raises DataError, RuntimeUnavailableError."""
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise RuntimeUnavailableError("texts need transformers: pip install 'edgecomp[text]'") from error
        try:
            loaded = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except Exception as error:  # it raises whatever its parsers and the hub's client raise
            raise DataError(
                f"no tokenizer in {folder}: {' '.join(str(error).split())[:200]}; it takes a folder with "
                "tokenizer.json or vocab.txt, and a hub's name takes a network: `hf download NAME --local-dir FOLDER`, "
                "and data.tokenizer=FOLDER"
            ) from error
        if not loaded.is_fast or loaded.pad_token_id is None:
            lack = "no pad token" if loaded.is_fast else "no fast version (tokenizer.json)"
            raise DataError(f"the tokenizer in {folder} has {lack}: choose one that has")
        if loaded.model_max_length < max_length:
            raise DataError(f"data.max_length is {max_length}, the tokenizer in {folder} takes texts of at most "
                            f"{loaded.model_max_length} tokens")  # fmt: skip
        self.max_length = max_length
        self.vocabulary = len(loaded)
        self._backend = loaded.backend_tokenizer
        self._backend.enable_truncation(max_length)
        self._backend.enable_padding(
            pad_id=loaded.pad_token_id, pad_token=str(loaded.pad_token), direction="right"
        )

    def __call__(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int8]]:
        encoded = self._backend.encode_batch(list(texts))
        ids = np.array([one.ids for one in encoded], np.int32)
        mask = np.array([one.attention_mask for one in encoded], np.int8)
        return ids, mask

    def with_tags(
        self, texts: Sequence[str], tags: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int8], npt.NDArray[np.int64]]:
        """Of texts whose words stand between blanks, also tags by token [N, L]: a word's on its first, IGNORED on all others.

        tags: by word [N, words], IGNORED behind a text's last. Raises DataError where a text has not a tag for every word.
        """
        words = [text.split() for text in texts]
        for place, (one, row) in enumerate(zip(words, tags, strict=True)):
            if len(one) != (count := int((row != IGNORED).sum())):
                raise DataError(f"{' '.join(one)[:60]!r} has {len(one)} words, and {count} tags: each word needs its own (words stand between "
                                f"blanks; example {place} of its split, from 0)")  # fmt: skip
        encoded = self._backend.encode_batch(words, is_pretokenized=True)
        found = np.full((len(texts), len(encoded[0].ids)), IGNORED, np.int64)
        for place, one in enumerate(encoded):
            firsts = {
                word: token for token, word in reversed(list(enumerate(one.word_ids))) if word is not None
            }
            for word, token in firsts.items():
                found[place, token] = tags[place, word]
        ids = np.array([one.ids for one in encoded], np.int32)
        return ids, np.array([one.attention_mask for one in encoded], np.int8), found

    def save(self, path: Path) -> None:
        """Writes tokenizer.json, as `tokenizers` reads it, to `path`."""
        self._backend.save(str(path))


def decoded(ids: npt.NDArray[Any], mask: npt.NDArray[Any], tokenizer: Path) -> list[str]:
    """Token ids as the texts that they stand for. ids, mask: [N, L], 1 where a token is no padding; tokenizer: its file."""
    from tokenizers import Tokenizer

    rows = [row[kept == 1].tolist() for row, kept in zip(ids, mask, strict=True)]
    found: list[str] = Tokenizer.from_file(str(tokenizer)).decode_batch(rows)
    return found
