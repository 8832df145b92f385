"""Texts that two language models read, and prompts that they go on from: given with --data, of two runs' own test split, or made up."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp.benchmark.inputs.examples import Evaluation
from edgecomp.benchmark.inputs.prompts import IDS, made_up, of_length
from edgecomp.comparison.sides import Given, check_labels, check_recorded
from edgecomp.comparison.trial import Timed
from edgecomp.config.target import Target
from edgecomp.data.preprocessing import TOKENIZER
from edgecomp.data.sources import Wanted
from edgecomp.errors import DataError, ModelFileError, RuntimeUnavailableError, UsageError, nearest_there
from edgecomp.files.array_files import read_npz
from edgecomp.files.writing import sha256
from edgecomp.inputs import MASK
from edgecomp.language import texts
from edgecomp.language.texts import Tokens
from edgecomp.tasks.base import IGNORED

LONGEST = 256  # tokens of a text that is read
PROMPT = 32  # tokens of a prompt that is timed
PROMPTS = 16
OF_OTHERS = ("output", "task", "score", "shape", "range", "key_samples")
"""Options of models that take arrays."""
TABLES = (".jsonl", ".csv", ".parquet")


def evaluation(
    data: Path | None, baseline: Given, candidate: Given, target: Target
) -> tuple[Evaluation | None, str]:
    """The texts that baseline and candidate are asked to read, with the token that comes after each place, or why there are none.

    data: a table with a column `text`, or `prompt` and `answer`, or an .npz of `input_ids` and `attention_mask`; without it the test split of the two runs that they
    are of. target: that both were judged for. Raises DataError, UsageError, RunFolderError, AlteredError, ModelFileError.
    """
    check_tokenizers(baseline, candidate)
    if data is None:
        return _of_runs(baseline, candidate, target)
    if not data.is_file():
        raise DataError(f"no such file of texts: {data}{nearest_there(data)}")
    if data.suffix == ".npz":
        return _as_evaluation(_tokens_in(data), data), ""
    if data.suffix not in TABLES:
        raise DataError(
            f"{data}: texts are read from {', '.join(TABLES)}, and tokens from .npz, not {data.suffix or 'a file without a suffix'}"
        )
    rows = texts.read(Wanted("huggingface", str(data.absolute())), Path())["train"]
    tokens, _ = texts.encode(
        list(dict.fromkeys(rows)), _tokenizer(baseline.model.parent), LONGEST, packed=False
    )
    return _as_evaluation(tokens, data), ""


def check_tokenizers(baseline: Given, candidate: Given) -> None:
    """Raises UsageError where baseline and candidate read other tokens: the same numbers are other texts to them, and nothing of them can be compared."""
    files = [side.model.parent / TOKENIZER for side in (baseline, candidate)]
    if missing := next((file for file in files if not file.is_file()), None):
        raise ModelFileError(
            f"{missing.parent} has no {missing.name}: a language model is compared with its tokenizer beside it"
        )
    if len({sha256(file) for file in files}) > 1:
        raise UsageError(
            f"{baseline.name} and {candidate.name} have different tokenizers ({TOKENIZER} differs): their tokens are not each other's, so neither times a token "
            "nor perplexities can be held against each other; compare task scores of both"
        )


def _tokenizer(folder: Path) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise RuntimeUnavailableError("texts need transformers: pip install 'edgecomp[language]'") from error
    try:
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except Exception as error:  # it raises whatever its parsers raise
        raise ModelFileError(
            f"{folder}: its tokenizer cannot be read: {' '.join(str(error).split())[:200]}"
        ) from error


def _tokens_in(file: Path) -> Tokens:
    arrays = read_npz(file)
    if missing := [name for name in (IDS, MASK) if name not in arrays]:
        raise DataError(
            f"{file} has no {missing[0]}: tokens are {IDS} and {MASK}, [N, length], or give a table of texts"
        )
    ids, mask = (np.asarray(arrays[name]) for name in (IDS, MASK))
    if ids.ndim != 2 or ids.shape != mask.shape or ids.dtype.kind not in "iu":
        raise DataError(
            f"{file}: {IDS} is {ids.dtype}{list(ids.shape)} and {MASK} {list(mask.shape)}: wanted are whole numbers [N, length] of one shape"
        )
    lengths = mask.sum(axis=1)
    if not np.array_equal(mask, np.arange(mask.shape[1]) < lengths[:, None]):
        raise DataError(
            f"{file}: {MASK} is not 1 up to each text's end and 0 behind it: pad texts on the right"
        )
    labels = np.full(ids.shape, IGNORED, np.int64)
    for place, length in enumerate(lengths):
        labels[place, : max(0, int(length) - 1)] = ids[place, 1 : int(length)]
    return Tokens(ids.astype(np.int64), labels, mask.astype(np.int64), np.zeros(len(ids), np.int64))


def _of_runs(baseline: Given, candidate: Given, target: Target) -> tuple[Evaluation | None, str]:
    if baseline.run is None or candidate.run is None:
        return None, "no texts were given (--data): only times and memory were judged"
    files = [run / "data" / "test.npz" for run in (baseline.run, candidate.run)]
    for run, file in zip((baseline.run, candidate.run), files, strict=True):
        if not file.is_file():
            return None, f"{file} is not there: give texts with --data"
        check_recorded(run, "data", ("test.npz",))
    if len({sha256(file) for file in files}) > 1:
        raise UsageError(f"the runs were judged on different test splits ({files[0]}, {files[1]}): one may have been trained on the "
                         "other's; give texts that neither has seen with --data")  # fmt: skip
    tokens = Tokens.load(files[1])
    for run in (baseline.run, candidate.run):
        check_labels(run, target, tokens.labels)
    return _as_evaluation(tokens, files[1]), ""


def _as_evaluation(tokens: Tokens, file: Path) -> Evaluation:
    """Raises DataError where no token is judged."""
    if not tokens.learnt:
        raise DataError(f"{file}: no text has two tokens, of which one could be foretold")
    return Evaluation({IDS: tokens.input_ids, MASK: tokens.mask}, tokens.labels, file=file)


def timed(folder: Path, given: Evaluation | None) -> Timed:
    """Prompts that are timed: of the texts that are `given`, else made up. folder: the baseline's, with its tokenizer. Raises ModelFileError."""
    if given is not None:
        return Timed(of_length(given.inputs, PROMPT, PROMPTS), 1, {})
    made = made_up(folder, PROMPT, PROMPTS)
    return Timed(made.inputs, 1, {}, made)


def misuse(asked: Mapping[str, Any], target: Target) -> Sequence[str]:
    """What of the options that are `asked`, by name, and of the `target`, is not for language models, in words."""
    found = [
        f"--{name.replace('_', '-')}: {target.name} runs language models, whose texts are judged token by token: leave it out"
        for name in OF_OTHERS
        if asked[name]
    ]
    if target.host is not None:
        found.append(
            f"target {target.name} is a device, {target.host}, and language models are compared on this machine alone: take out its `host`"
        )
    return found
