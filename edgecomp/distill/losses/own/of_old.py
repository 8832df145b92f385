"""Learning without forgetting: what a student knew before is taught by its old self (Li & Hoiem 2016, arXiv:1606.09282)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from edgecomp.distill.losses.of_logits import soft_target_kl
from edgecomp.outputs import as_one
from edgecomp.training.loop import Batch


def old_classes_kl(
    student: torch.Tensor, before: torch.Tensor, *, classes: Sequence[int], temperature: float
) -> torch.Tensor:
    """T² · KL(before ‖ student) of probabilities among the old classes, a scalar: the gradients of equation 3, times T² for their size.

    student, before: logits [N, classes] of the student and of its old self; classes: the numbers of the old ones; temperature: T, above 0.
    """
    ours, theirs = (logits[:, list(classes)] for logits in (student, before))
    return soft_target_kl(ours, theirs, torch.empty(0), temperature=temperature)


@dataclass(frozen=True)
class OfOld:
    """A term: weight · `old_classes_kl`. network: the old student; it runs once a batch. classes: the numbers of those it knew."""

    network: nn.Module
    classes: Sequence[int]
    weight: float
    temperature: float

    def bind(self, student: nn.Module, example: Sequence[torch.Tensor]) -> "Bound":
        return Bound(self)


class Bound(nn.Module):
    def __init__(self, term: OfOld) -> None:
        super().__init__()
        self._term, self._old = term, (term.network.eval(),)  # in a tuple: no part of this module

    def forward(self, logits: torch.Tensor, batch: Batch) -> list[tuple[str, torch.Tensor]]:
        with torch.no_grad():
            before = as_one(self._old[0](*batch.inputs)).float()
        term = self._term
        lost = old_classes_kl(logits, before, classes=term.classes, temperature=term.temperature)
        return [("old classes", term.weight * lost)]
