"""What each training example counts in the distillation loss: by how rare its class is, and by the terms that its text has."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.data.splits import Split
from edgecomp.errors import DataError

Weights = npt.NDArray[np.float64]


def inverse_frequency(counts: npt.NDArray[np.int64], beta: float) -> Weights:
    """[classes]: 1 / n. counts: n, the examples of each class, int64 [classes], one at least; beta: not read."""
    return 1 / counts


def effective_number(counts: npt.NDArray[np.int64], beta: float) -> Weights:
    """[classes]: (1 - β) / (1 - βⁿ), one over the effective number of examples (Cui et al. 2019, arXiv:1901.05555, equation 2).

    counts: n, the examples of each class, int64 [classes], one at least; beta: β in [0, 1): with 0 all weigh the same, near 1 as `inverse_frequency`.
    """
    return np.asarray((1 - beta) / (1 - beta**counts))


BALANCES = {"inverse": inverse_frequency, "effective-number": effective_number}
"""By name, what a class of so many examples counts."""


def holds(ids: npt.NDArray[Any], words: Sequence[int]) -> npt.NDArray[np.bool_]:
    """[N]: whether a text has `words`, token ids, one after another. ids: token ids [N, L]."""
    return np.asarray(starts(ids, words).any(axis=1))


def starts(ids: npt.NDArray[Any], words: Sequence[int]) -> npt.NDArray[np.bool_]:
    """[N, places]: whether `words`, token ids one after another, begin there in a text. ids: token ids [N, L]; there are as many places as there is room
    for them."""
    length = len(words)
    if not 0 < length <= ids.shape[1]:
        return np.zeros((len(ids), 0), bool)
    windows = np.lib.stride_tricks.sliding_window_view(ids, length, axis=1)
    return np.asarray((windows == np.asarray(words)).all(axis=2))


def example_weights(
    train: Split,
    *,
    balance: Mapping[str, Any] | None,
    keywords: Mapping[str, float],
    tokenizer: Path,
    all_there: bool = True,
) -> npt.NDArray[np.float32] | None:
    """float32 [N], of mean 1 over the training split, so that the loss stays as large; None where all count the same.

    train: the training split; balance: how a class is weighed, `by` a name of BALANCES and `beta`; keywords: term → what a text that has it is
    multiplied by, of several the largest; tokenizer: the file of the texts' own; all_there: whether each term must be in some text, which a few
    examples of many need not have. Raises DataError where one is not.
    """
    if balance is None and not keywords:
        return None
    found = np.ones(len(train))
    if balance is not None:
        counts = np.bincount(train.labels)
        of_class = np.zeros(len(counts))
        there = counts > 0
        of_class[there] = BALANCES[balance["by"]](counts[there], balance["beta"])
        found *= of_class[train.labels]
    if keywords:
        found *= _of_keywords(train, keywords, tokenizer, all_there)
    return np.asarray(found / found.mean(), np.float32)


def token_weights(
    train: Split, keywords: Mapping[str, float], tokenizer: Path
) -> npt.NDArray[np.float32] | None:
    """float32 [N, L], what each token counts where attention is compared: the factor of a term that it is a part of, of several the largest, else 1;
    None without terms, or where the examples are no texts. train, keywords, tokenizer: as `example_weights` has them."""
    if not keywords or "input_ids" not in train.arrays:
        return None
    ids, encoder = train.arrays["input_ids"], _encoder(tokenizer)
    found = np.zeros(ids.shape, np.float32)
    for term, factor in keywords.items():
        words = encoder.encode(term, add_special_tokens=False).ids
        for place in range(len(words)):
            # Of every place where the whole term begins, the token that is so far behind it.
            begins = starts(ids, words)
            part = found[:, place : place + begins.shape[1]]
            np.maximum(part, np.where(begins, np.float32(factor), 0), out=part)
    return np.where(found > 0, found, np.float32(1))


def _encoder(tokenizer: Path) -> Any:
    """The tokenizer in that file, without padding."""
    from tokenizers import Tokenizer

    made = Tokenizer.from_file(str(tokenizer))
    made.no_padding()
    return made


def _of_keywords(train: Split, keywords: Mapping[str, float], tokenizer: Path, all_there: bool) -> Weights:
    if "input_ids" not in train.arrays:
        raise DataError("distill.keywords are looked for in texts, and these are none: take them out")
    encoder = _encoder(tokenizer)
    factors, missing = np.zeros(len(train)), []
    for term, factor in keywords.items():
        has = holds(train.arrays["input_ids"], encoder.encode(term, add_special_tokens=False).ids)
        if not has.any():
            missing.append(term)
        factors = np.where(has, np.maximum(factors, factor), factors)
    if missing and all_there:
        raise DataError(
            f"distill.keywords: no training text has {', '.join(map(repr, missing))} (within data.max_length tokens, as whole words): take them out"
        )
    return np.where(factors > 0, factors, 1.0)
