"""Prompts that are made up, for a language model of whose texts nothing is known."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgecomp.benchmark.inputs.generated import Made
from edgecomp.errors import ModelFileError
from edgecomp.files.json_files import read_mapping, shaped
from edgecomp.inputs import MASK, Inputs

IDS, TOKENIZER = "input_ids", "tokenizer.json"


def made_up(folder: Path, length: int, count: int) -> Made:
    """`count` prompts of `length` tokens, any of the vocabulary but its first hundredth, where special ones are. folder: the model's, with its tokenizer.
    Raises ModelFileError where it has none."""
    size = vocabulary(folder)
    ids = np.random.default_rng(0).integers(size // 100, size, (count, length))
    return Made({IDS: ids, MASK: np.ones_like(ids)}, {IDS: f"prompts of {length} tokens by chance"})


def vocabulary(folder: Path) -> int:
    """How many tokens the tokenizer in `folder` has. Raises ModelFileError."""
    file = folder / TOKENIZER
    if not file.is_file():
        raise ModelFileError(
            f"{folder} has no {TOKENIZER}, and prompts cannot be made up: give some with --inputs FILE.npz, {IDS} and {MASK}"
        )
    with shaped(file, "tokenizers"):
        return len(read_mapping(file, "model")["model"]["vocab"])


def of_length(given: Inputs, length: int, count: int) -> dict[str, npt.NDArray[np.int64]]:
    """`count` prompts of `length` tokens: those of the texts that are `given` behind each other, cut, again from the start where there are fewer."""
    tokens = np.asarray(given[IDS], np.int64)[np.asarray(given[MASK]) == 1]
    whole = np.resize(tokens, (count, length))
    return {IDS: whole, MASK: np.ones_like(whole)}
