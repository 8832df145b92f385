"""A network's inputs: arrays by name, in the order the network takes them. Light on purpose: workers import this.

Texts are token ids [N, length] beside an `attention_mask` of the same shape, padded on the right.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Inputs = Mapping[str, npt.NDArray[Any]]
"""By input name, in order: [N, ...]."""

Axes = Mapping[str, int | None]
"""By the name of an input or output of a model, which of its axes is one of examples: the first where it is not named here, and None
where it has none, as a threshold."""

MASK = "attention_mask"
NAMES = "names.json"  # beside the arrays: an input may be called what no file can be


def some(inputs: Inputs, chosen: Any) -> dict[str, npt.NDArray[Any]]:
    """The chosen examples of `inputs`. chosen: a slice or an array of indices."""
    return {name: values[chosen] for name, values in inputs.items()}


def count(inputs: Inputs) -> int:
    """How many examples the first of the `inputs` has."""
    return len(next(iter(inputs.values())))


def trimmed(inputs: Inputs) -> dict[str, npt.NDArray[Any]]:
    """The `inputs` without the padding that all of these examples share, where it is proven to be that; else
    as they were given."""
    mask = inputs.get(MASK)
    if mask is None or not _pads_on_the_right(mask):
        return dict(inputs)
    length = mask.shape[1]
    if any(values.shape != mask.shape and length in values.shape[1:] for values in inputs.values()):
        return dict(inputs)  # another input is as long, and cut apart from the mask they would not fit
    longest = max(1, int(np.count_nonzero(mask, axis=1).max(initial=1)))
    return {
        name: values[:, :longest] if values.shape == mask.shape else values for name, values in inputs.items()
    }


def by_token(outputs: npt.NDArray[Any], mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`outputs`, [N, L, ...], that have an axis of tokens, as long as the mask [N, length] and 0 for padding; others as they are.

    What a network says of padding depends on the texts that were beside it. L: the mask's length, or that of its longest text.
    """
    longest = trimmed({MASK: mask})[MASK].shape[1]
    if outputs.ndim < 3 or len(outputs) != len(mask) or outputs.shape[1] not in (longest, mask.shape[1]):
        return outputs
    found = np.zeros((*mask.shape, *outputs.shape[2:]), outputs.dtype)
    found[:, : outputs.shape[1]] = outputs
    found[mask == 0] = 0
    return found


def as_bytes(texts: Sequence[str], most: int) -> npt.NDArray[np.uint8]:
    """The first `most` bytes of each text in UTF-8, [N, most], 0 behind its end; a 0 within a text is a blank.

    NumPy pads and cuts strings of bytes itself, faster than a loop over the texts.
    """
    encoded = [text[:most].encode("utf-8", "replace").replace(b"\0", b" ") for text in texts]
    return np.array(encoded, f"S{most}").view(np.uint8).reshape(len(texts), most)


def from_bytes(rows: npt.NDArray[np.uint8]) -> list[str]:
    """The texts that `as_bytes` made `rows` of, [N, most], as far as they go."""
    return [row.tobytes().rstrip(b"\0").decode("utf-8", "ignore") for row in rows]


def joined(
    parts: Sequence[npt.NDArray[Any]], inputs: Inputs, batch: int, chosen: Any = slice(None)
) -> npt.NDArray[Any]:
    """Answers to `batch` examples at a time as those of all, [N, ...]; those by token as `by_token` has them.

    chosen: of the inputs, those that were asked, in their order. Raises ValueError where parts do not fit together.
    """
    if MASK not in inputs:
        return np.concatenate(parts)
    asked = inputs[MASK][chosen]
    return np.concatenate(
        [by_token(part, asked[place * batch : (place + 1) * batch]) for place, part in enumerate(parts)]
    )


def _pads_on_the_right(mask: npt.NDArray[Any]) -> bool:
    """Whether every row is ones and then zeros, of whichever type: padding on the left, holes and weights are inputs."""
    return (
        mask.ndim == 2
        and mask.dtype.kind in "biuf"
        and bool(((mask == 0) | (mask == 1)).all() and (mask[:, 1:] <= mask[:, :-1]).all())
    )


def save(inputs: Inputs, folder: Path, axes: Axes | None = None) -> None:
    """The `inputs` in a new folder: one .npy file each, numbered, and their names in order. axes: which of a
    model's axes is the one of examples, where it is not the first; None where it always is."""
    folder.mkdir()
    (folder / NAMES).write_text(json.dumps([list(inputs), axes or {}]), encoding="utf-8")
    for index, values in enumerate(inputs.values()):
        np.save(_file(folder, index), values)


def load(folder: Path) -> dict[str, npt.NDArray[Any]]:
    """What `save` wrote into `folder`, mapped, not read."""
    names, _ = _told(folder)
    return {
        name: np.load(_file(folder, index), mmap_mode="r", allow_pickle=False)
        for index, name in enumerate(names)
    }


def load_axes(folder: Path) -> Axes:
    """The axes that `save` wrote into `folder`: empty where each input's first is the one of examples."""
    _, axes = _told(folder)
    return axes


def _told(folder: Path) -> tuple[list[str], dict[str, int | None]]:
    names, axes = json.loads((folder / NAMES).read_text(encoding="utf-8"))
    return names, axes


def delete(folder: Path) -> None:
    """Removes `folder` and what `save` wrote into it. Raises OSError where there is anything else in it."""
    for file in (*folder.glob("*.npy"), folder / NAMES):
        file.unlink()
    folder.rmdir()


def _file(folder: Path, index: int) -> Path:
    return folder / f"{index:03}.npy"
