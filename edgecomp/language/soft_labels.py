"""What a teacher says of every place of the training texts, kept once: its most probable tokens, and the mass of all others.

Format 1: top.npy, float32 [N, L, 2k + 1]: k log-probabilities, k tokens, and the logarithm of the rest's mass, of one row after another (numbers below 2^24
are exact in float32, and no vocabulary is larger); top.json: k, the temperature, and the sha256 of the teacher's weights.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from edgecomp.errors import DataError, FileError
from edgecomp.files.json_files import read_mapping
from edgecomp.files.writing import write_json
from edgecomp.language.losses import Top, top_of
from edgecomp.language.models import LanguageModel
from edgecomp.language.texts import Tokens

FORMAT_VERSION = 1
AT_ONCE = 4  # rows that the teacher is asked at once


@torch.no_grad()
def store(
    teacher: LanguageModel,
    tokens: Tokens,
    *,
    k: int,
    temperature: float,
    teacher_sha256: str,
    folder: Path,
    track: Any,
) -> None:
    """Writes what `teacher` says of `tokens` into `folder`. k: tokens that are kept of each place; temperature: that its logits are divided by; teacher_sha256:
    of its weights; track: shows progress. Raises DataError where k is no less than the vocabulary."""
    vocabulary = int(teacher.config.vocab_size)
    if not 0 < k < vocabulary:
        raise DataError(f"language.top_k: {k} tokens of a vocabulary of {vocabulary}: take fewer")
    rows, length = tokens.input_ids.shape
    found = np.lib.format.open_memmap(
        folder / "top.npy", mode="w+", dtype=np.float32, shape=(rows, length, 2 * k + 1)
    )
    starts: Iterable[int] = range(0, rows, AT_ONCE)
    for start in track(starts, "soft labels, rows", -(-rows // AT_ONCE)):
        ids = torch.from_numpy(tokens.input_ids[start : start + AT_ONCE])
        top = top_of(teacher(ids).flatten(0, 1), k, temperature)
        told = torch.cat((top.log_probs, top.tokens.float(), top.rest[:, None]), dim=1)
        found[start : start + AT_ONCE] = told.reshape(*ids.shape, -1).numpy()
    found.flush()
    write_json(
        folder / "top.json",
        {"format": FORMAT_VERSION, "k": k, "temperature": temperature, "teacher_sha256": teacher_sha256},
    )


def load(folder: Path, *, teacher_sha256: str, k: int, temperature: float) -> npt.NDArray[np.float32]:
    """What `store` wrote, mapped: [N, L, 2k + 1]. folder: where; teacher_sha256, k, temperature: whose, and how. Raises DataError where another teacher said it, or of other settings than these, FileError where it is cut short."""
    told, wanted = (
        read_mapping(folder / "top.json", "format"),
        {"k": k, "temperature": temperature, "teacher_sha256": teacher_sha256},
    )
    if told["format"] != FORMAT_VERSION:
        raise DataError(
            f"{folder / 'top.json'} has format {told['format']!r}, and this edgecomp reads {FORMAT_VERSION}: upgrade edgecomp"
        )
    for name, value in wanted.items():
        if told.get(name) != value:
            who = "of another teacher" if name == "teacher_sha256" else "made with other settings"
            raise DataError(
                f"{folder}: soft labels {who}: {name} is {told.get(name)!r}, not {value!r}; delete the folder, and they are made again"
            )
    try:
        found: npt.NDArray[np.float32] = np.load(folder / "top.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise FileError(
            f"{folder / 'top.npy'}: cannot be read ({error}): delete the folder, and it is made again"
        ) from error
    return found


def of_places(stored: torch.Tensor) -> Top:
    """What the teacher says of some places. stored: [M, 2k + 1], rows of what `load` gives."""
    k = stored.shape[1] // 2
    return Top(stored[:, k : 2 * k].long(), stored[:, :k], stored[:, 2 * k])
