"""What a session of a language model does beside what every Session does. Light on purpose: it is imported in benchmark workers."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from edgecomp.errors import InferenceError, ModelFileError
from edgecomp.runtimes.base import Array, Port, Signature

IDS, MASK, TOKEN = "input_ids", "attention_mask", "token"

SIGNATURE = Signature(
    (Port(IDS, (None, None), "int64"), Port(MASK, (None, None), "int64")), (Port(TOKEN, (None, 1), "int64"),)
)
"""An inference is a prompt read up to its first token, the likeliest: input_ids and attention_mask [N, length] in, token [N, 1] out."""


class Generated(NamedTuple):
    """tokens: that came, one after another; at_ns: when each was there, from the call on; cpu_ns: what of CPU time the process had taken till then, likewise."""

    tokens: list[int]
    at_ns: list[int]
    cpu_ns: list[int]


class GenerativeSession(Protocol):
    """A loaded language model."""

    concurrent: bool

    def signature(self) -> Signature: ...

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """The first token after each prompt of a batch. batch: as SIGNATURE has it. Raises InferenceError."""
        ...

    def generate(self, prompt: npt.NDArray[np.int64], count: int) -> Generated:
        """The likeliest token, `count` times, whatever comes. prompt: [length]. Raises InferenceError."""
        ...

    def logits(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """What is said at every place of a text that is given: [length, vocabulary]. tokens: [length]. Raises InferenceError."""
        ...

    def close(self) -> None: ...


def prompts(batch: Mapping[str, Array]) -> list[npt.NDArray[np.int64]]:
    """The rows of a batch, each without its padding. Raises InferenceError."""
    try:
        ids, mask = np.asarray(batch[IDS], np.int64), np.asarray(batch[MASK], np.int64)
    except KeyError as missing:
        raise InferenceError(f"a language model takes {IDS} and {MASK}: the batch has no {missing}") from None
    return [row[: int(length)] for row, length in zip(ids, mask.sum(axis=1), strict=True)]


def folder_of(model: Path, *needed: str) -> Path:
    """The folder that the file `model` is in, where what is `needed` lies beside it. Raises ModelFileError."""
    if missing := [name for name in (model.name, *needed) if not (model.parent / name).is_file()]:
        raise ModelFileError(
            f"{model.parent} is no folder of a language model: it has no {', '.join(missing)}"
        )
    return model.parent
