"""Whether a candidate can stand where the baseline stood: checks of inputs, outputs, preprocessing and labels, and of the answers to key samples."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.benchmark.inputs.examples import Evaluation
from edgecomp.benchmark.worker import answers
from edgecomp.comparison import numbers
from edgecomp.comparison.checks import said
from edgecomp.comparison.judged import Outputs, judged
from edgecomp.comparison.sides import Given, short
from edgecomp.errors import DataError
from edgecomp.files.writing import sha256
from edgecomp.gate.document import Check
from edgecomp.gate.verdict import Reason, Verdict
from edgecomp.metrics.comparison import CANDIDATE
from edgecomp.runtimes import Port, Signature
from edgecomp.tasks import Task

OF_LABELS = ("classes", "task", "target_mean", "target_std")  # of preprocessing.json; the rest is of inputs
MOST_ERROR = 0.01  # of an output that is numbers, over the deviation of the baseline's
MOST_NAMED = 5
KEY_SAMPLES = "key_samples"


def of_contract(target: str, baseline: Signature, candidate: Signature) -> list[Check]:
    """The checks `inputs` and `outputs`: whether whoever calls the baseline can call the candidate. target: its name; baseline, candidate: what
    their files take and give."""
    told = contract_differences(baseline._asdict(), candidate._asdict())
    return [_same(target, kind, told[kind]) for kind in ("inputs", "outputs")]


def of_folders(target: str, baseline: Given, candidate: Given) -> list[Check]:
    """The checks `preprocessing` and `labels` of a baseline and a candidate that were both deployed; none where one is a model file, which does
    not tell. target: its name."""
    told = preprocessing_differences(baseline, candidate)
    return [] if told is None else [_same(target, kind, told[kind]) for kind in ("preprocessing", "labels")]


def _same(target: str, kind: str, differences: Sequence[str]) -> Check:
    if not differences:
        return said(target, kind, kind, "the baseline's", Verdict.PASS, Reason.WITHIN_LIMIT, "the baseline's")
    why = f"whoever calls the baseline cannot call the candidate: {'; '.join(differences)}"
    return said(target, kind, kind, "the baseline's", Verdict.FAIL, Reason.INCOMPATIBLE, why)


def not_told(baseline: Given, candidate: Given) -> list[str]:
    """What could not be held against each other, in words: one of baseline and candidate is a model file, which does not say what its inputs are
    made of."""
    files = [side for side in (baseline, candidate) if side.deployed is None]
    if len(files) != 1:
        return []
    return [
        f"{files[0].name} is a model file, which does not tell its preprocessing and labels: they were not held against the other's"
    ]


def key_samples(
    target: str, outputs: Outputs, samples: Evaluation, asked: str | None, task: Task | None
) -> Check:
    """The check of answers that must hold: each sample's label where it has one, else the baseline's answer.

    target: its name; outputs: by arm, every sample's by name; samples: with labels where the file has them, which are classes; asked: the output
    that is judged, None for the first that can be; task: what outputs mean, None of classes. Answers are the same where the same value is the
    largest, and of numbers where they differ by 1 % of the baseline's deviation at most. Raises DataError where labels are of no output.
    """
    if samples.labels is not None and task is not None:
        raise DataError(
            f"{samples.file}: key samples of a task {task.name} are held against the baseline's answers: leave out `label`"
        )
    for arm, found in outputs.items():
        if broken := answers.broken_in(found):
            name, what = next(iter(broken.items()))
            return _kept(target, samples, f"the {arm}'s output {name} has {what}", Reason.NOT_FINITE)
    if samples.labels is not None:
        by = judged(outputs, asked, samples.labels)
        lost = {by.name: by.logits[CANDIDATE].argmax(axis=1) != samples.labels}
    else:
        lost = {
            name: _lost(of) for name, of in numbers.by_output(outputs, task).items() if asked in (None, name)
        }
    why = "; ".join(_named(name, of, len(lost) > 1) for name, of in lost.items() if of.any())
    return _kept(target, samples, why, Reason.OVER_LIMIT)


def _lost(of: Mapping[str, npt.NDArray[Any]] | None) -> npt.NDArray[np.bool_]:
    if of is None:
        return np.ones(1, bool)
    return ~np.asarray(of["agrees"], bool) if "agrees" in of else ~(of["error"] <= MOST_ERROR)


def _named(output: str, lost: npt.NDArray[np.bool_], several: bool) -> str:
    places = np.flatnonzero(lost).tolist()
    shown = ", ".join(str(place) for place in islice(places, MOST_NAMED))
    more = f" and {len(places) - MOST_NAMED} more" if len(places) > MOST_NAMED else ""
    of = f"output {output}: " if several else ""
    return f"{of}{len(places)} of {len(lost)} are answered otherwise: samples {shown}{more}, counted from 0"


def _kept(target: str, samples: Evaluation, why: str, reason: Reason) -> Check:
    must = "the baseline's answers" if samples.labels is None else "their labels"
    at = f"{samples.file.name}, sha256 {sha256(samples.file)[:12]}"
    count = len(next(iter(samples.inputs.values())))
    if why:
        verdict = Verdict.INVALID if reason is Reason.NOT_FINITE else Verdict.FAIL
        return said(target, KEY_SAMPLES, "key samples", must, verdict, reason, f"{why} ({at})")
    all_hold = f"all {count} have {must} ({at})"
    return said(target, KEY_SAMPLES, "key samples", must, Verdict.PASS, Reason.WITHIN_LIMIT, all_hold)


def contract_differences(
    baseline: Mapping[str, Sequence[Port]], candidate: Mapping[str, Sequence[Port]]
) -> dict[str, list[str]]:
    """What whoever calls the baseline would have to change for the candidate, in words. Keys, given and found: inputs and outputs.

    An input axis that is free in the candidate takes what the baseline's takes; what a file does not tell is no difference.
    """
    return {kind: _of_ports(kind, baseline[kind], candidate[kind]) for kind in ("inputs", "outputs")}


def _of_ports(kind: str, before: Sequence[Port], now: Sequence[Port]) -> list[str]:
    old, new = ({port.name: port for port in side} for side in (before, now))
    singular = kind.removesuffix("s")
    found = [f"{singular} {name} is missing" for name in old if name not in new]
    found += [f"{singular} {name} is new" for name in new if name not in old]
    for name in [name for name in old if name in new]:
        was, is_ = old[name], new[name]
        if was.dtype and is_.dtype and was.dtype != is_.dtype:
            found.append(f"{singular} {name} is of {is_.dtype} instead of {was.dtype}")
        if not _fits(was.shape, is_.shape, kind == "inputs"):
            found.append(f"{singular} {name} is of {_shown(is_.shape)} instead of {_shown(was.shape)}")
    if kind == "outputs" and list(old) != list(new) and set(old) == set(new):  # the first is what is judged
        found.append(f"outputs are in another order: {', '.join(new)} instead of {', '.join(old)}")
    return found


def preprocessing_differences(baseline: Given, candidate: Given) -> dict[str, list[str]] | None:
    """What differs, in words, of a baseline and a candidate that were both deployed: what is done to an input
    before the model, `preprocessing`, and what it answers with, `labels`. None where one is a model file."""
    old, new = baseline.preprocessing(), candidate.preprocessing()
    if old is None or new is None:
        return None
    found: dict[str, list[str]] = {"preprocessing": [], "labels": []}
    told = {**old, **new}.keys() - {key for key in ("columns",) if None in (old.get(key), new.get(key))}
    for key in [key for key in {**old, **new} if key in told and old.get(key) != new.get(key)]:
        kind = "labels" if key in OF_LABELS else "preprocessing"
        found[kind].append(f"{key} is {short(new.get(key))} instead of {short(old.get(key))}")
    tokenizers = [side.deployed / "tokenizer.json" for side in (baseline, candidate) if side.deployed]
    if all(file.is_file() for file in tokenizers) and len({sha256(file) for file in tokenizers}) > 1:
        found["preprocessing"].append("the tokenizer is another")
    return found


def _fits(before: tuple[int | None, ...] | None, now: tuple[int | None, ...] | None, is_input: bool) -> bool:
    if before is None or now is None:
        return True
    if len(before) != len(now):
        return False
    # An axis that becomes fixed refuses inputs that were good; one that becomes free refuses none.
    return all(
        old == new
        or (new is None and is_input)
        or (old is None and not is_input)
        or (new is None and not is_input)
        for old, new in zip(before, now, strict=True)
    )


def _shown(shape: tuple[int | None, ...] | None) -> str:
    return (
        "any shape"
        if shape is None
        else f"[{', '.join('any' if size is None else str(size) for size in shape)}]"
    )
