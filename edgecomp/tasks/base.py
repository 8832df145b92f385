"""The protocol of every task. What takes torch imports it when it is called: verdicts are derived without it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Outputs: TypeAlias = npt.NDArray[np.float32]
"""A network's outputs, [N, width]."""

Labels: TypeAlias = npt.NDArray[Any]
"""int64 [N] of classes, int64 [N, labels] of 0 and 1, or float32 [N, targets]."""


class Spread(NamedTuple):
    """How varied answers are: how many different ones there are of how many there may be, and the share of the commonest."""

    kinds: int
    possible: int
    prevailing: float


def misfit_of_columns(outputs: Outputs, labels: Labels) -> str:
    """`Task.misfit` where each number that a network gives has a label of its own."""
    if labels.ndim == 2 and labels.shape[1] == outputs.shape[1]:
        return ""
    return f"labels of shape {list(labels.shape[1:])} an example do not fit outputs of {outputs.shape[1]} numbers"


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
    def several_labels(self) -> bool:
        """Whether an example's label may be several columns of a table, or an array of them."""
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

    def width(self, names: Sequence[str]) -> int:
        """How many numbers the network gives for an example."""
        ...

    def strata(self, labels: Labels) -> npt.NDArray[np.int64] | None:
        """Groups, [N], whose proportions every split keeps; None where examples are drawn as they come."""
        ...

    def answers(self, outputs: Outputs) -> npt.NDArray[Any]:
        """What each example is answered, as labels are written. outputs: [N, width]."""
        ...

    def misfit(self, outputs: Outputs, labels: Labels) -> str:
        """Why these cannot be outputs for these labels, in words; empty where they can."""
        ...

    def agreeing(self, outputs: Outputs, reference: Outputs) -> npt.NDArray[np.bool_]:
        """Whether each answer is the same, [N]. outputs, reference: [N, width] of two models, or of one executed twice."""
        ...

    def spread(self, reference: Outputs) -> Spread:
        """How much an agreement with these answers tells."""
        ...

    def validation_score(self, outputs: Outputs, labels: Labels) -> float:
        """In per cent, the higher the better: what training is watched by, and a fallback is chosen by."""
        ...

    def hard_label_loss(self, outputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """A scalar, mean over the batch. outputs: [N, width]; labels: as `encode` gives them."""
        ...

    def soft_label_loss(
        self, outputs: "torch.Tensor", teacher: "torch.Tensor", temperature: float
    ) -> "torch.Tensor":
        """A scalar, zero where the student's outputs are the teacher's. outputs, teacher: [N, width]."""
        ...
