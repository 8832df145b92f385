"""The examples whose answers changed, as they are, where the recipe lets them into the report."""

import io
import re
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.data import preprocessing as preprocessings
from edgecomp.data.personal.pseudonyms import count, told
from edgecomp.data.preprocessing import BYTES, TOKENIZER, Numbers
from edgecomp.data.splits import Split
from edgecomp.data.tokens import decoded
from edgecomp.gate.document import VerdictDocument
from edgecomp.inputs import MASK, from_bytes, some
from edgecomp.pipeline.loaders import Run
from edgecomp.report.answers import MOST_SHOWN, NONE_SHOWN, Originals

MOST_NUMBERS = 12
"""Of an example of numbers that are shown."""
PICTURES = (1, 3)
"""The numbers of channels that a picture may have."""


def originals(run: Run, verdict: VerdictDocument) -> Originals:
    """What the report of `run` shows of the changed examples that its `verdict` lists: nothing unless report.examples is true, and nothing where
    personal data are found in a text among them. Raises FileError."""
    if not run.job.recipe.report.examples:
        return NONE_SHOWN
    listed = [one.example for found in verdict.answers.values() for one in found.changes[:MOST_SHOWN]]
    rows = np.unique(np.asarray(listed, np.int64))
    folder = run.folder / "data"
    arrays = some(Split.load(folder, "test").arrays, rows)
    if MASK in arrays or BYTES in arrays:
        texts = (
            decoded(arrays["input_ids"], arrays[MASK], folder / TOKENIZER)
            if MASK in arrays
            else from_bytes(arrays[BYTES])
        )
        if found := max((count(read) for read in zip(*map(readings, texts), strict=True)), key=Counter.total):
            return Originals({}, f"Not shown: what looks like personal data is among the changed examples ({told(found)}). Replace it: data.clean.personal_data=replace.")  # fmt: skip
        return Originals(dict(zip(rows.tolist(), texts, strict=True)), "")
    preprocessing = preprocessings.load(folder)
    if not isinstance(preprocessing, Numbers):
        return Originals({}, f"Not shown: the inputs {', '.join(arrays)} are tensors of no known meaning.")
    shown = [_shown(values, preprocessing) for values in arrays["values"]]
    return Originals(dict(zip(rows.tolist(), shown, strict=True)), "")


def readings(text: str) -> tuple[str, str, str]:
    """A decoded text, which has lost how it was written, in the ways that it may have been: spaces about signs, and capitals."""
    closed = re.sub(r"([+(]) +", r"\1", re.sub(r" *([@.:/-]) *", r"\1", text).replace(" )", ")"))
    return text, closed, closed.upper()


def _shown(values: npt.NDArray[Any], preprocessing: Numbers) -> str | bytes:
    """An image [C, H, W] as a PNG file's bytes; numbers as they are written, by their columns where they have names."""
    if preprocessing.kind == "image" and len(values) in PICTURES:
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(
            values.transpose(1, 2, 0).squeeze(-1) if len(values) == 1 else values.transpose(1, 2, 0)
        ).save(file, "PNG")
        return file.getvalue()
    flat = [f"{value:.4g}" for value in values.reshape(-1)[:MOST_NUMBERS].tolist()]
    named = [f"{name} {value}" for name, value in zip(preprocessing.columns, flat, strict=False)] or flat
    more = values.size - len(flat)
    return ", ".join(named) + (f" and {more:,} more" if more > 0 else "")
