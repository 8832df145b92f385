"""Numbers of no known meaning: the student is to answer as its teacher does, and nothing is labelled."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgecomp.tasks.base import KINDS, Labels, Outputs, Spread

if TYPE_CHECKING:
    import torch

LOOKED_AT = 256  # examples, by whose answers it is told whether these differ
LEAST = 1e-8  # probability, where a logarithm is taken
SUM_TO_ONE = 1e-2  # what probabilities may be off by, also of thousands in float16
ALIKE = 0.05  # of the outputs' deviation, within which two answers are the same


class AsTeacher:
    """Values [N, ...]; labels float32 [N, 0]: what the teacher answers stands in their place."""

    name = "outputs"
    headline = "fidelity_pct"
    score = "fidelity_pct"
    label_axes: tuple[int, ...] = ()
    of_each: Literal["example", "token", "pixel"] = "example"
    are_numbers = False

    def encode(
        self, found: Mapping[str, Sequence[object]], names: tuple[str, ...] | None, where: str
    ) -> tuple[dict[str, Labels], tuple[str, ...]]:
        """What labels there are is not looked at."""
        return {split: np.zeros((len(rows), 0), np.float32) for split, rows in found.items()}, ()

    def width(self, names: Sequence[str]) -> int | None:
        return None

    def strata(self, labels: Labels) -> npt.NDArray[np.int64] | None:
        return None

    def answers(self, outputs: Outputs) -> npt.NDArray[Any]:
        return outputs

    def misfit(self, outputs: Outputs, labels: Labels) -> str:
        return ""

    def agreeing(self, outputs: Outputs, reference: Outputs) -> npt.NDArray[np.bool_]:
        """A root mean square difference of at most a twentieth of the reference's deviation; of rows of probabilities the likeliest of each."""
        if are_probabilities(reference):
            return likeliest_alike(outputs, reference)
        ours, theirs = _flat(outputs), _flat(reference)
        return np.asarray(np.sqrt(((ours - theirs) ** 2).mean(axis=1)) <= ALIKE * theirs.std())

    def spread(self, reference: Outputs) -> Spread:
        """Of answers that are not alike, as `agreeing` has it, among the first examples; of rows of probabilities of the likeliest of all an example's."""
        if are_probabilities(reference):
            likeliest = reference.argmax(axis=-1).reshape(len(reference), -1)
            kinds, counts = np.unique(likeliest, axis=0, return_counts=True)
            possible = reference.shape[-1] if likeliest.shape[1] == 1 else max(KINDS, len(kinds))
            return Spread(len(kinds), possible, float(counts.max() / len(likeliest)))
        return _spread_of_answers(_flat(reference[:LOOKED_AT]))

    def validation_score(self, outputs: Outputs, labels: Labels) -> float:
        """The share of the variance of the teacher's outputs that is explained. labels: these outputs."""
        error, variance = errors_and_variances(outputs, labels)
        return float(100 * (1 - error.sum() / max(variance.sum(), np.finfo(np.float64).tiny)))

    def hard_label_loss(self, outputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """0: there are none."""
        return outputs.sum() * 0

    def soft_label_loss(
        self, outputs: "torch.Tensor", teacher: "torch.Tensor", temperature: float
    ) -> "torch.Tensor":
        """The squared error over the variance of the teacher's outputs in the batch; of rows of probabilities the divergence KL(teacher, student), the mean
        of all rows, for the square of what is nearly 0 teaches nothing. A temperature means nothing here."""
        if _are_probabilities(teacher):
            logs = outputs.clamp_min(LEAST).log()
            return (teacher * (teacher.clamp_min(LEAST).log() - logs)).sum(dim=-1).mean()
        variance = (teacher - teacher.mean(dim=0, keepdim=True)).square().mean().clamp_min(1e-12)
        return (outputs - teacher).square().mean() / variance


def are_probabilities(values: Outputs) -> bool:
    """Whether `values`, [N, ..., classes], are rows that sum to 1, as a softmax gives them; those of padding, all 0, tell nothing."""
    if values.ndim < 2 or values.shape[-1] < 2 or not values.size or not (values >= 0).all():
        return False
    sums = values.sum(axis=-1, dtype=np.float64)
    told = sums[sums != 0]
    return bool(told.size and (abs(told - 1) < SUM_TO_ONE).all())


def _are_probabilities(values: "torch.Tensor") -> bool:
    """The same of a batch."""
    if values.ndim < 2 or values.shape[-1] < 2 or not bool((values >= 0).all()):
        return False
    sums = values.sum(dim=-1)
    return bool(((sums == 0) | ((sums - 1).abs() < SUM_TO_ONE)).all() and (sums != 0).any())


def likeliest_alike(outputs: Outputs, reference: Outputs) -> npt.NDArray[np.bool_]:
    """Of each example whether the largest of every row, [N, ..., classes], is at the same place in `outputs` and in the `reference`, and a number."""
    alike = (outputs.argmax(axis=-1) == reference.argmax(axis=-1)) & np.isfinite(outputs).all(axis=-1)
    return np.asarray(alike.reshape(len(alike), -1).all(axis=1))


def _spread_of_answers(values: npt.NDArray[np.float64]) -> Spread:
    """values: [N, numbers]. An answer is of the first kind that it is alike to, or begins one."""
    kinds: list[npt.NDArray[np.float64]] = []
    counts: list[int] = []
    nearest = ALIKE * values.std()
    for row in values:
        alike = next(
            (place for place, kind in enumerate(kinds) if np.sqrt(((row - kind) ** 2).mean()) <= nearest),
            None,
        )
        if alike is not None:
            counts[alike] += 1
        elif len(kinds) < KINDS:
            kinds.append(row)
            counts.append(1)
    return Spread(len(kinds), KINDS, max(counts) / len(values))


def errors_and_variances(
    outputs: Outputs, reference: Outputs
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of each example the squares of outputs - reference, and of reference - its mean over examples, summed; [N] each."""
    ours, theirs = _flat(outputs), _flat(reference)
    return ((ours - theirs) ** 2).sum(axis=1), ((theirs - theirs.mean(axis=0)) ** 2).sum(axis=1)


def _flat(values: Outputs) -> npt.NDArray[np.float64]:
    return values.astype(np.float64).reshape(len(values), -1)
