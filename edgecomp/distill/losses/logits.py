"""Distillation losses: pure functions of logits."""

import torch
import torch.nn.functional as F


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
