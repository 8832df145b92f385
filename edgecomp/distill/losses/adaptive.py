"""Losses that treat each example by itself, its weight or its temperature: pure functions of a classifier's logits, a mean over the batch each.

student, teacher: logits [N, classes], any floating dtype; labels: int64 [N].
"""

import torch
import torch.nn.functional as F

from edgecomp.distill.losses.of_logits import soft_target_kl


def weighted_soft_labels(
    student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, *, temperature: float = 2.0
) -> torch.Tensor:
    """T² · w · KL(teacher ‖ student), each example weighed by w = 1 - exp(-L_s / L_t), where L_s and L_t are the student's and the teacher's
    cross-entropies with the label: what the student has learnt already counts less, and what its teacher gets wrong hardly at all
    (weighted soft labels, WSLD: Zhou et al. 2021, arXiv:2102.00650, equation 14).

    The paper has soft cross-entropy, whose gradients are the same: weights are not learnt through. student, teacher, labels: as the file says;
    temperature: T, above 0.
    """
    with torch.no_grad():
        ours, theirs = (F.cross_entropy(logits, labels, reduction="none") for logits in (student, teacher))
        weight = 1 - torch.exp(-ours / theirs.clamp_min(1e-7))
    student_t, teacher_t = (F.log_softmax(logits / temperature, dim=1) for logits in (student, teacher))
    each = F.kl_div(student_t, teacher_t, reduction="none", log_target=True).sum(dim=1)
    return (weight * each).mean() * temperature**2


def standardised_soft_labels(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    *,
    temperature: float = 2.0,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """T² · KL(teacher ‖ student) of logits that are standardised by example: each network's temperature for an example is T times the deviation of its own
    logits, so that the student learns how its teacher's numbers relate and not how large they are (logit standardisation: Sun et al. 2024,
    arXiv:2403.01883, algorithm 1, with the deviation of their code, over classes less one).

    student, teacher: as the file says; labels: not read; temperature: T, above 0; weights: float [N], what each example counts; None: all 1.
    """
    ours, theirs = (_standardised(logits) for logits in (student, teacher))
    return soft_target_kl(ours, theirs, labels, temperature=temperature, weights=weights)


def _standardised(logits: torch.Tensor) -> torch.Tensor:
    """[N, classes] of mean 0 and deviation 1 by example."""
    centred = logits - logits.mean(dim=1, keepdim=True)
    return centred / (
        logits.std(dim=1, keepdim=True) + 1e-7
    )  # of logits that are all alike there is no deviation
