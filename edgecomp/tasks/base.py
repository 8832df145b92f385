"""The protocol of every task. What takes torch imports it when it is called: verdicts are derived without it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Outputs: TypeAlias = npt.NDArray[np.float32]
"""A network's outputs: [N, width], by token [N, length, width], by pixel [N, width, height, width of the image]."""

Labels: TypeAlias = npt.NDArray[Any]
"""int64 [N] of classes, or of each token [N, length] or pixel [N, height, width]; int64 [N, labels] of 0 and 1; float32 [N, targets];
float32 [N, 0] where nothing is labelled."""


Meant: TypeAlias = str | Mapping[str, Mapping[str, Any]]
"""What outputs mean, as a recipe says it: the name of the one output's task, or of several outputs, by name, what each is
(edgecomp.tasks.several)."""

IGNORED = -100
"""The class of a token or pixel that is not judged, nor learnt from: torch's own ignore_index."""

KINDS = 16  # that answers of numbers are sorted into, to see how varied they are


class Spread(NamedTuple):
    """How varied answers are: how many different ones there are of how many there may be, and the share of the commonest."""

    kinds: int
    possible: int
    prevailing: float


def spread_of_numbers(values: npt.NDArray[Any]) -> Spread:
    """The Spread of numbers, `values` [N], in sixteen equal parts of their range."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return Spread(1, KINDS, 1.0)
    counts = np.bincount(np.minimum(((values - low) / (high - low) * KINDS).astype(np.int64), KINDS - 1))
    return Spread(int((counts > 0).sum()), KINDS, float(counts.max() / counts.sum()))


def misfit_of_columns(outputs: Outputs, labels: Labels) -> str:
    """`Task.misfit` where each number that a network gives has a label of its own: outputs and labels are
    both [N, numbers]."""
    if outputs.ndim == labels.ndim == 2 and labels.shape[1] == outputs.shape[1]:
        return ""
    return f"labels of shape {list(labels.shape[1:])} an example do not fit outputs of shape {list(outputs.shape[1:])}"


def bernoulli_divergence(
    student: "torch.Tensor", teacher: "torch.Tensor", temperature: float
) -> "torch.Tensor":
    """T²·Σ KL(teacher ‖ student) of Bernoulli distributions over outputs that are each a label of its own, mean over the batch; a scalar.
    student, teacher: logits [N, outputs]; temperature: T, by which both are divided."""
    import torch
    from torch.nn.functional import logsigmoid

    ours, theirs = student / temperature, teacher / temperature
    given = torch.sigmoid(theirs)
    positive = given * (logsigmoid(theirs) - logsigmoid(ours))
    negative = (1 - given) * (logsigmoid(-theirs) - logsigmoid(-ours))
    return (positive + negative).sum(dim=1).mean() * temperature**2


class Task(Protocol):
    """What one output of a network means."""

    @property
    def name(self) -> str: ...

    @property
    def headline(self) -> str:
        """The metric, of edgecomp.metrics.registry, that says how good the answers are."""
        ...

    @property
    def score(self) -> str:
        """The metric that training is watched by (`validation_score`), and pictures show."""
        ...

    @property
    def label_axes(self) -> tuple[int, ...]:
        """How many axes an example's label may have: 0 of one class or number, 1 of several, 2 of a mask; none where nothing is labelled."""
        ...

    @property
    def of_each(self) -> Literal["example", "token", "pixel"]:
        """What is answered: outputs have an axis for each token of a text, or two for the pixels of an image."""
        ...

    @property
    def are_numbers(self) -> bool:
        """Whether answers are quantities, which may be learnt in another unit."""
        ...

    def encode(
        self, found: Mapping[str, Sequence[object]], names: tuple[str, ...] | None, where: str
    ) -> tuple[dict[str, Labels], tuple[str, ...]]:
        """By split, labels as arrays; and the names of the outputs.

        found: by split, labels as they were read; names: of the classes, or of the columns that the labels are from, where the data
        tell. Raises DataError where a label does not fit.
        """
        ...

    def width(self, names: Sequence[str]) -> int | None:
        """How many numbers the network gives for an example, token or pixel, of which the outputs have these
        names; None where that is the network's own affair."""
        ...

    def strata(self, labels: Labels) -> npt.NDArray[np.int64] | None:
        """Groups of the labels, int64 [N], whose proportions every split keeps; None where examples are drawn
        as they come."""
        ...

    def answers(self, outputs: Outputs) -> npt.NDArray[Any]:
        """What each example is answered, as labels are written. outputs: [N, ...]."""
        ...

    def misfit(self, outputs: Outputs, labels: Labels) -> str:
        """Why these cannot be outputs for these labels, in words; empty where they can."""
        ...

    def agreeing(self, outputs: Outputs, reference: Outputs) -> npt.NDArray[np.bool_]:
        """Whether each answer is the same, [N]. outputs, reference: [N, ...] of two models, or of one executed twice."""
        ...

    def spread(self, reference: Outputs) -> Spread:
        """How much an agreement with these answers tells. reference: the outputs, [N, ...], that others are
        held against."""
        ...

    def validation_score(self, outputs: Outputs, labels: Labels) -> float:
        """In per cent, the higher the better: what training is watched by, and a fallback is chosen by.

        labels: of the examples; where nothing is labelled, the teacher's outputs.
        """
        ...

    def hard_label_loss(self, outputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """A scalar, mean over the batch. outputs: [N, ...]; labels: as `encode` gives them."""
        ...

    def soft_label_loss(
        self, outputs: "torch.Tensor", teacher: "torch.Tensor", temperature: float
    ) -> "torch.Tensor":
        """A scalar, zero where the student's outputs are the teacher's. outputs, teacher: [N, ...]; of texts,
        what the teacher gave for padding is 0. temperature: what both are divided by, where they are
        logits."""
        ...
