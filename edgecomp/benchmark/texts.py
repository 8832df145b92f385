"""Lines of text for a model that was deployed with its preprocessing: what a stream is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.data.preprocessing import BYTES, FILE, TOKENIZER, Bytes, Preprocessing, load
from edgecomp.data.tokens import decoded
from edgecomp.errors import DataError, UsageError, nearest_there
from edgecomp.inputs import MASK, from_bytes

KINDS = ("bytes", "text")
SAMPLE = "sample.txt"
WRITTEN = "lines-{}.txt"
LINES = ".txt"


@dataclass(frozen=True)
class Texts:
    """lines: without line ends; preparing: as the arguments of `edgecomp.benchmark.worker.streaming.preparing`; facts: what they are."""

    lines: list[str]
    preparing: dict[str, Any]
    facts: dict[str, Any]

    def write(self, folder: Path) -> Path:
        """A file of the lines in `folder`, named by how many they are."""
        file = folder / WRITTEN.format(len(self.lines))
        file.write_text("\n".join(self.lines), encoding="utf-8", newline="")
        return file

    def inputs(self, most: int) -> dict[str, npt.NDArray[Any]]:
        """The model's inputs of the first lines, at most so many."""
        from edgecomp.benchmark.worker.streaming import preparing

        return preparing(**self.preparing)(self.lines[:most])


def texts_for(model: Path, given: Path | None) -> Texts:
    """The lines of `given`, a .txt file, or the few examples beside a deployed `model`, None, as its preprocessing takes them.

    What is not UTF-8 is read with U+FFFD in its place and counted, as empty lines are; a NUL is a blank. Raises UsageError, DataError.
    """
    folder = model.parent
    if not (folder / FILE).is_file():
        raise UsageError(
            f"{model} stands alone: lines of text take the preprocessing that is deployed beside a model; name the run folder, or deploy/TARGET of one"
        )
    how = load(folder)
    if how.kind not in KINDS:
        raise UsageError(f"{folder} takes no texts ({how.kind}): a stream is of lines of text")
    file = given or folder / SAMPLE
    if not file.is_file():
        raise DataError(f"no such file of texts: {file}{nearest_there(file)}")
    raw = file.read_bytes().splitlines()
    if not raw:
        raise DataError(f"{file} has no line")
    lines = [one.decode("utf-8", "replace").replace("\0", " ") for one in raw]
    lines = [line.replace("\n", " ") for line in lines]
    facts = {
        "file": file.name,
        "lines": len(lines),
        "distinct": len(set(lines)),
        "characters": int(np.mean([len(line) for line in lines])),
        "empty": sum(not line for line in lines),
        "not_utf8": sum(not _is_utf8(one) for one in raw),
    }
    if isinstance(how, Bytes):
        return Texts(lines, {"max_bytes": how.max_bytes}, facts)
    return Texts(lines, {"tokenizer": str((folder / TOKENIZER).resolve())}, facts)


def of_split(arrays: Mapping[str, npt.NDArray[Any]], how: Preprocessing, tokenizer: Path) -> Texts:
    """The lines of a split as they are kept: bytes, cut, or tokens, which have lost how they were written. arrays: the split's; how: a preprocessing of
    texts; tokenizer: its file, of tokens."""
    if isinstance(how, Bytes):
        texts = from_bytes(arrays[BYTES])
    else:
        texts = decoded(arrays["input_ids"], arrays[MASK], tokenizer)
    preparing: dict[str, Any] = (
        {"max_bytes": how.max_bytes} if isinstance(how, Bytes) else {"tokenizer": str(tokenizer.resolve())}
    )
    lines = [" ".join(text.splitlines()) for text in texts]
    return Texts(lines, preparing, {"file": "test split", "lines": len(lines), "distinct": len(set(lines))})


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
