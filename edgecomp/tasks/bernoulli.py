"""Divergence of Bernoulli distributions, for outputs that are each a label of its own."""

import torch
from torch.nn.functional import logsigmoid


def divergence(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """T²·Σ KL(teacher ‖ student) over outputs, mean over the batch; a scalar. student, teacher: logits [N,
    outputs]; temperature: T, by which both are divided."""
    ours, theirs = student / temperature, teacher / temperature
    given = torch.sigmoid(theirs)
    positive = given * (logsigmoid(theirs) - logsigmoid(ours))
    negative = (1 - given) * (logsigmoid(-theirs) - logsigmoid(-ours))
    return (positive + negative).sum(dim=1).mean() * temperature**2
