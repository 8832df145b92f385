"""Soft and hard labels: pure functions of logits, and the term made of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from edgecomp.training.loop import Batch


def soft_label_loss(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """T²·KL(teacher ‖ student) at temperature T, mean over the batch (Hinton et al. 2015, arXiv:1503.02531).

    student, teacher: logits [N, classes]. T² keeps the gradient's size independent of T.
    """
    divergence = F.kl_div(
        F.log_softmax(student / temperature, dim=1),
        F.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return divergence * temperature**2


def distillation_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    *,
    temperature: float,
    hard_label_weight: float,
) -> torch.Tensor:
    """hard_label_weight · cross-entropy + (1 - hard_label_weight) · soft-label loss. labels: int64 [N]."""
    soft = soft_label_loss(student, teacher, temperature)
    if hard_label_weight == 0:
        return soft
    return hard_label_weight * F.cross_entropy(student, labels) + (1 - hard_label_weight) * soft


@dataclass(frozen=True)
class SoftAndHardLabels:
    """A term: `distillation_loss` of the student's logits, the teacher's stored ones and the labels."""

    temperature: float
    hard_label_weight: float

    def bind(self, student: nn.Module, example: Sequence[torch.Tensor]) -> "Bound":
        return Bound(self)


class Bound(nn.Module):
    def __init__(self, term: SoftAndHardLabels) -> None:
        super().__init__()
        self._term = term

    def forward(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        assert batch.soft_labels is not None
        return distillation_loss(
            logits,
            batch.soft_labels,
            batch.labels,
            temperature=self._term.temperature,
            hard_label_weight=self._term.hard_label_weight,
        )


def soft_and_hard_labels(
    settings: Mapping[str, Any], teacher: Callable[[], nn.Module]
) -> list[SoftAndHardLabels]:
    """The term of `distill.temperature` and `distill.hard_label_weight`."""
    return [SoftAndHardLabels(settings["temperature"], settings["hard_label_weight"])]
