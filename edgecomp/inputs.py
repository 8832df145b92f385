"""A network's inputs: arrays by name, in the order the network takes them. Light on purpose: workers import this.

Texts are token ids [N, length] beside an `attention_mask` of the same shape, padded on the right.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Inputs = Mapping[str, npt.NDArray[Any]]
"""By input name, in order: [N, ...]."""

MASK = "attention_mask"
NAMES = "names.json"  # beside the arrays: an input may be called what no file can be


def some(inputs: Inputs, chosen: Any) -> dict[str, npt.NDArray[Any]]:
    """The chosen examples: a slice or an array of indices."""
    return {name: values[chosen] for name, values in inputs.items()}


def count(inputs: Inputs) -> int:
    return len(next(iter(inputs.values())))


def trimmed(inputs: Inputs) -> dict[str, npt.NDArray[Any]]:
    """Without the padding that all of these examples share; what has no mask is as it was."""
    if MASK not in inputs:
        return dict(inputs)
    shape = inputs[MASK].shape
    longest = max(1, int(inputs[MASK].sum(axis=1).max(initial=1)))
    return {name: values[:, :longest] if values.shape == shape else values for name, values in inputs.items()}


def save(inputs: Inputs, folder: Path) -> None:
    """One .npy file an input, numbered, and their names in order, in a new folder."""
    folder.mkdir()
    (folder / NAMES).write_text(json.dumps(list(inputs)), encoding="utf-8")
    for index, values in enumerate(inputs.values()):
        np.save(_file(folder, index), values)


def load(folder: Path) -> dict[str, npt.NDArray[Any]]:
    """What `save` wrote, mapped, not read."""
    names = json.loads((folder / NAMES).read_text(encoding="utf-8"))
    return {
        name: np.load(_file(folder, index), mmap_mode="r", allow_pickle=False)
        for index, name in enumerate(names)
    }


def delete(folder: Path) -> None:
    for file in (*folder.glob("*.npy"), folder / NAMES):
        file.unlink()
    folder.rmdir()


def _file(folder: Path, index: int) -> Path:
    return folder / f"{index:03}.npy"
