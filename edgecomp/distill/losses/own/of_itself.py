"""Self-distillation: the student's own earlier self is its teacher, a snapshot that is renewed every few epochs, or the average of all of them."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from edgecomp.distill.losses.of_outputs import BoundToOutputs, OfOutputs
from edgecomp.outputs import as_one
from edgecomp.training.loop import Batch


@dataclass(frozen=True)
class OfItself:
    """A term: that of `term`, with the outputs of the student's earlier self for the teacher's.

    of: `snapshot`, the student as it was when the last `every` epochs were over, without which there is nothing to learn yet (Yang et al. 2019,
    arXiv:1812.00123); or `average`, the exponential moving average of its weights after each step (mean teacher, Tarvainen & Valpola 2017,
    arXiv:1703.01780), of which `decay` is what stays.
    """

    term: OfOutputs
    of: Literal["snapshot", "average"]
    every: int
    decay: float

    def bind(self, student: nn.Module, example: Sequence[torch.Tensor]) -> "Bound":
        return Bound(self, student)


class Bound(nn.Module):
    """The term and the earlier self, which is a part of the checkpoint."""

    taken: torch.Tensor

    def __init__(self, term: OfItself, student: nn.Module) -> None:
        super().__init__()
        self._settings, self._student = term, (student,)  # in a tuple: no part of this module
        self._inner = BoundToOutputs(replace(term.term, name=f"{term.term.name} of its {term.of}"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch's own copying of graphs
            self.earlier = AveragedModel(student, multi_avg_fn=self._average).requires_grad_(False)
        for module in self.earlier.modules():  # what taps the student must not hear its earlier self
            module._forward_hooks.clear()
        self.register_buffer("taken", torch.zeros((), dtype=torch.bool))

    def train(self, mode: bool = True) -> "Bound":
        """Itself. mode: of the student; its earlier self is always one that is evaluated."""
        super().train(mode)
        self.earlier.eval()
        return self

    def begin(self, epoch: int) -> None:
        """Before an `epoch`, from 0: a snapshot is renewed when it is time."""
        if self._settings.of == "snapshot" and epoch > 0 and epoch % self._settings.every == 0:
            self._take()

    def forward(self, logits: torch.Tensor, batch: Batch) -> list[tuple[str, torch.Tensor]]:
        """After a forward pass of the student on the batch's inputs. An average takes in what the last step made of the student."""
        # Of a student that was trained already, which begins to learn through its integers, there is a snapshot at once.
        if (self._settings.of == "average" and batch.begins) or (batch.done >= 1 and not self.taken):
            self._take()
        if not self.taken:
            return [(self._inner.name, logits.sum() * 0)]
        with torch.no_grad():
            said = as_one(self.earlier(*batch.inputs)).float()
        return self._inner.forward(logits, replace(batch, soft_labels=said))

    def _take(self) -> None:
        self.earlier.update_parameters(self._student[0])
        self.taken.fill_(True)

    def _average(
        self, averaged: Sequence[torch.Tensor], current: Sequence[torch.Tensor], count: torch.Tensor | int
    ) -> None:
        """In place. count: of the states that are in it; among the first each counts the same, as the authors' code has it."""
        stays = min(self._settings.decay, 1 - 1 / (int(count) + 1)) if self._settings.of == "average" else 0.0
        for one, other in zip(averaged, current, strict=True):
            one.lerp_(other, 1 - stays) if one.is_floating_point() else one.copy_(other)
