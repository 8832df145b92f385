"""Several teachers: what each of them counts, and the one set of soft labels that is their mixture.

The mixture is one of distributions: with weights w and a temperature T its softened probabilities are Σ w · softmax(outputs / T), so that the
divergence from it is, but for a constant, Σ w · that from each teacher (You et al. 2017, doi:10.1145/3097983.3098135).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit, log_softmax, logsumexp, softmax
from torch import nn

from edgecomp.data import soft_labels
from edgecomp.data.views import Views
from edgecomp.errors import DataError
from edgecomp.files.writing import sha256, write_json
from edgecomp.progress import Note, Track
from edgecomp.tasks import Labels, Outputs, SeveralOutputs, Task
from edgecomp.training.loop import logits_of

Numbers = npt.NDArray[np.float64]
FILE = "teachers.json"
LEAST = 1e-12  # probability, where a logarithm is taken
ITERATIONS = 1000  # of a mixture that is learned, at most


class Answers(Protocol):
    """What one teacher says of every example."""

    def view(self, index: int) -> Outputs:
        """Of the training split's view number `index`, [N, ...]."""
        ...

    def validation(self) -> Outputs:
        """Of the validation split, [N, ...]."""
        ...


@dataclass(frozen=True)
class Network:
    """A teacher that is run. bf16: its forward passes under autocast."""

    network: nn.Module
    views: Views
    bf16: bool

    def view(self, index: int) -> Outputs:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            return logits_of(self.network, self.views.view(index))

    def validation(self) -> Outputs:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            return logits_of(self.network, self.views.held_out())


@dataclass(frozen=True)
class Stored:
    """A teacher whose answers are there: outputs [N, ...] of the training and the validation split, in their order."""

    train: Outputs
    held_out: Outputs

    def view(self, index: int) -> Outputs:
        return self.train

    def validation(self) -> Outputs:
        return self.held_out


def mixture(outputs: Sequence[Outputs], weights: Numbers, *, task: Task, temperature: float) -> Outputs:
    """The outputs [N, ...] of one teacher that says what all of them do, mixed.

    outputs: [N, ...] of each teacher; weights: [teachers], or by example [teachers, N], sums of 1 over teachers; task: what the outputs mean;
    temperature: T of the mixture, above 0. Probabilities of classes, and of labels that are each their own, are mixed at T; numbers are averaged.
    """
    if isinstance(task, SeveralOutputs):
        parts = [
            mixture([one.own(each) for each in outputs], weights, task=one.task, temperature=temperature)
            for one in task.outputs
        ]
        return np.concatenate(parts, axis=1)
    given = np.stack(outputs).astype(np.float64)
    shares = weights.reshape(len(weights), -1, *[1] * (given.ndim - 2))
    if task.name in ("classification", "token-classification", "segmentation"):
        axis = 1 if task.of_each == "pixel" else -1
        kept = log_softmax(given / temperature, axis=axis if axis < 0 else axis + 1)
        with np.errstate(divide="ignore"):  # of a weight of 0
            mixed = temperature * logsumexp(kept + np.log(shares), axis=0)
        mixed = np.where((given == 0).all(axis=0).all(axis=axis, keepdims=True), 0, mixed)  # padding stays 0
    elif task.name in ("binary", "multilabel"):
        mean = (shares * expit(given / temperature)).sum(axis=0)
        mixed = temperature * (np.log(mean.clip(LEAST)) - np.log((1 - mean).clip(LEAST)))
    else:
        mixed = (shares * given).sum(axis=0)
    return np.asarray(mixed, np.float32)


def of_who_answered(outputs: Sequence[Outputs], weights: Numbers) -> tuple[list[Outputs], Numbers]:
    """The outputs, with 0 where a teacher has no answer (NaN), and weights [teachers, N] that are 0 there and sum to 1 of the others.

    outputs: [N, ...] of each teacher; weights: [teachers], or by example [teachers, N]. Raises DataError where nobody who counts has answered.
    """
    there = np.stack([_answered(one) for one in outputs])
    if there.all():
        return list(outputs), weights
    shares = (weights if weights.ndim == 2 else weights[:, None]) * there
    total = shares.sum(axis=0)
    if alone := int((total == 0).sum()):
        raise DataError(
            f"{alone:,} of {len(total):,} examples have no answer of a teacher that counts: give the teacher itself a weight (teachers.weight), for it "
            "answers every example, or mend the prompt so that more answers parse"
        )
    return [np.nan_to_num(one) for one in outputs], np.asarray(shares / total)


def _answered(outputs: Outputs) -> npt.NDArray[np.bool_]:
    """Which examples have an answer, [N]; outputs: [N, ...]."""
    return np.asarray(~np.isnan(outputs).reshape(len(outputs), -1).any(axis=1))


def confidence_weights(outputs: Sequence[Outputs], labels: Labels) -> Numbers:
    """[teachers, N]: by example (1 - softmax over teachers of each one's cross-entropy with the label) / (teachers - 1) (CA-MKD, Zhang et al. 2022,
    arXiv:2201.00007, equation 2). outputs: logits [N, classes] of each teacher, two at least; labels: int64 [N]."""
    losses = np.stack(
        [-log_softmax(one.astype(np.float64), axis=1)[np.arange(len(labels)), labels] for one in outputs]
    )
    return np.asarray((1 - softmax(losses, axis=0)) / (len(losses) - 1))


def learned_weights(outputs: Sequence[Outputs], labels: Labels) -> Numbers:
    """[teachers]: the mixture of their probabilities that makes the labels likeliest, by expectation maximisation (Dempster et al. 1977), which finds
    the one maximum there is. outputs: logits [N, classes] of each teacher; labels: int64 [N]."""
    likely = np.stack(
        [softmax(one.astype(np.float64), axis=1)[np.arange(len(labels)), labels] for one in outputs]
    )
    likely = likely.clip(LEAST)
    weights = np.full(len(likely), 1 / len(likely))
    for _ in range(ITERATIONS):
        owed = weights[:, None] * likely
        before, weights = weights, (owed / owed.sum(axis=0)).mean(axis=1)
        if np.abs(weights - before).max() < 1e-9:
            break
    return weights


def store_mixture(
    teachers: Mapping[str, Answers],
    views: Views,
    task: Task,
    *,
    by: Literal["weight", "learned", "confidence"],
    weights: Mapping[str, float],
    temperature: float,
    count: int,
    teacher_file: Path,
    folder: Path,
    track: Track,
    note: Note,
) -> None:
    """Writes soft_labels.h5, the mixture of what all `teachers` say, and teachers.json: what each counts, and how good it is on validation.

    teachers: by name, the first of them the run's teacher, whose weights are in teacher_file; views: of the training split, and the validation
    split; task: what outputs mean; by: what decides the weights; weights: by name, where they are given; temperature: of the mixture; count: of
    views, one where nothing varies; folder: of the files; track, note: show progress, and say what each counts. Of `confidence` the validation
    split, whose labels nobody may look at, is mixed equally. Raises DataError where outputs do not go together.
    """
    count = 1 if views.augmentation is None else count
    held_out = {name: one.validation() for name, one in teachers.items()}
    check_alike(held_out)
    labels = views.validation.labels
    given = np.array([weights[name] for name in teachers], np.float64)
    shares: Numbers = np.full(len(given), 1 / len(given))
    if by != "confidence":
        by_all = np.all([_answered(one) for one in held_out.values()], axis=0)
        shares = (
            learned_weights([one[by_all] for one in held_out.values()], labels[by_all])
            if by == "learned"
            else given / given.sum()
        )

    def mixed(index: int) -> Outputs:
        said = [one.view(index) for one in teachers.values()]
        own: Numbers = shares
        if by == "confidence":
            own = confidence_weights([np.nan_to_num(one) for one in said], views.train.labels)
        return mixture(*of_who_answered(said, own), task=task, temperature=temperature)

    of_all = mixture(*of_who_answered(list(held_out.values()), shares), task=task, temperature=temperature)
    soft_labels.write(
        folder / "soft_labels.h5",
        track((mixed(index) for index in range(count)), "soft labels, passes", count),
        of_all,
        count=count,
        teacher_sha256=sha256(teacher_file),
    )

    def score(outputs: Outputs) -> float:
        has = _answered(outputs)
        if not has.any():
            return 0.0
        return task.validation_score(outputs[has], labels[has] if task.label_axes else outputs[has])

    each = {
        name: {"weight": float(share), "validation_score_pct": score(held_out[name])}
        for name, share in zip(teachers, shares, strict=True)
    }
    write_json(folder / FILE, {"by": by, "teachers": each, "validation_score_pct": score(of_all)})
    told = ", ".join(
        f"{name} {one['weight']:.3g} ({one['validation_score_pct']:.2f} %)" for name, one in each.items()
    )
    note(f"teachers, by {by}: {told}; together {score(of_all):.2f} % on validation")


def check_alike(outputs: Mapping[str, Outputs]) -> None:
    """Raises DataError where teachers' `outputs`, by name, differ in their shape: they answer another question."""
    shapes = {name: list(one.shape) for name, one in outputs.items()}
    first, *others = shapes
    if odd := [name for name in others if shapes[name] != shapes[first]]:
        raise DataError(
            f"teachers: {odd[0]} gives outputs of shape {shapes[odd[0]]}, {first} {shapes[first]}: they have other labels; "
            "take teachers of the same classes"
        )


def check_stored(
    arrays: Mapping[str, npt.NDArray[np.generic]],
    where: str,
    *,
    rows: Mapping[str, int],
    classes: Sequence[str],
    width: int | None,
) -> list[str]:
    """What is wrong with the answers that a teacher has stored, in words.

    arrays: by name, `train` and where the data have a validation split of their own `validation`, [N, ...], and perhaps `classes`, the names of
    their columns; where: the file; rows: by split of the data as they came, how many examples; classes: the data's; width: how many numbers an
    answer has, None where that is open.
    """
    found = []
    for name, count in rows.items():
        one = arrays.get(name)
        if one is None:
            found.append(
                f"{where} has no array {name!r}: outputs [{count}, classes] in the order of the data"
            )
        elif one.dtype.kind != "f" or one.ndim < 2 or len(one) != count:
            found.append(
                f"{where}: {name} is {one.dtype}{list(one.shape)}, and the data have {count} examples: floats [{count}, classes]"
            )
        elif width is not None and one.shape[-1] != width:
            found.append(
                f"{where}: {name} has {one.shape[-1]} numbers an example, and the labels {width} classes: {', '.join(classes[:5])}"
            )
        elif not np.isfinite(one).all():
            found.append(f"{where}: {name} has numbers that are not finite")
    if "classes" in arrays and sorted(map(str, arrays["classes"])) != sorted(classes):
        differ = sorted({*map(str, arrays["classes"])} ^ {*classes})
        found.append(f"{where}: its classes are not the data's; they differ in {', '.join(differ[:5])}")
    return found


def stored(
    arrays: Mapping[str, npt.NDArray[np.generic]],
    rows: Mapping[str, npt.NDArray[np.int64]],
    *,
    own_validation: bool,
    classes: Sequence[str],
) -> Stored:
    """The answers of `arrays`, which `check_stored` has passed, in the order of the splits and of the data's classes.

    rows: of the train and the validation split, the places of their examples in the data as they came; own_validation: whether the data have a
    validation split of their own; classes: the data's, in their order.
    """
    order = (
        [list(map(str, arrays["classes"])).index(name) for name in classes]
        if "classes" in arrays
        else slice(None)
    )

    def of(name: str, array: str) -> Outputs:
        return np.ascontiguousarray(arrays[array][rows[name]][..., order], np.float32)

    return Stored(of("train", "train"), of("validation", "validation" if own_validation else "train"))
