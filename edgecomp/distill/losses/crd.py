"""Contrastive representation distillation with a memory of earlier examples (CRD, Tian et al. 2020, arXiv:1910.10699)."""

import math

import torch
import torch.nn.functional as F
from torch import nn

SLOTS = 4096  # of a memory, where nothing is said
WIDTH = 128  # of the space that both are compared in, as in the paper


def crd(
    ours: torch.Tensor,
    theirs: torch.Tensor,
    *,
    memory: torch.Tensor,
    temperature: float = 0.07,
    scale: float = 1.0,
) -> torch.Tensor:
    """-log h of each example's own pair, less Σ log(1 - h) over the K of the memory, mean over the batch: equations 9 and 18, with h = x / (x + K) and
    x = exp(t·s/τ) / scale, as the authors' code has it. It is not zero for equal features.

    ours, theirs: of length 1, [N, width]; memory: of others as `theirs` are, [K, width]; temperature: τ; scale: the mean of exp(t·s/τ), which makes x a
    ratio of probabilities.
    """
    own, others = (ours * theirs).sum(dim=1) / temperature, ours @ memory.T / temperature
    offset = math.log(len(memory)) + math.log(scale)  # h is a sigmoid of t·s/τ - log(K · scale)
    return -(F.logsigmoid(own - offset) + F.logsigmoid(offset - others).sum(dim=1)).mean()


class Memory(nn.Module):
    """The loss of a student's and a teacher's features, each by a linear map to a sphere, and what earlier batches had there: the newest `slots`,
    which are random directions at first. The scales are those of the first batch."""

    ours: torch.Tensor
    theirs: torch.Tensor
    seen: torch.Tensor
    scales: torch.Tensor

    def __init__(self, width: int, teacher_width: int, slots: int) -> None:
        super().__init__()
        self.student_map, self.teacher_map = nn.Linear(width, WIDTH), nn.Linear(teacher_width, WIDTH)
        random = torch.Generator().manual_seed(0)
        for name in ("ours", "theirs"):
            self.register_buffer(name, F.normalize(torch.randn(slots, WIDTH, generator=random)))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("scales", torch.ones(2))

    def forward(
        self, ours: torch.Tensor, theirs: torch.Tensor, *, temperature: float = 0.07, memory: int = SLOTS
    ) -> torch.Tensor:
        """Both ways: the student picked among the teacher's features, and the other way round, a scalar. ours, theirs: [N, ...]; temperature: τ;
        memory: slots."""
        one = F.normalize(self.student_map(ours.flatten(1)).float())
        other = F.normalize(self.teacher_map(theirs.flatten(1)).float())
        learns = torch.is_grad_enabled()  # else it is tried out
        pairs = ((one, other, self.theirs.clone()), (other, one, self.ours.clone()))
        if learns and not self.seen:
            means = [torch.exp(a.detach() @ bank.T / temperature).mean() for a, _, bank in pairs]
            self.scales.copy_(torch.stack(means))
        found = [
            crd(a, b, memory=bank, temperature=temperature, scale=scale)
            for (a, b, bank), scale in zip(pairs, self.scales.tolist(), strict=True)
        ]
        if learns:
            self._keep(one.detach(), other.detach())
        return found[0] + found[1]

    def _keep(self, one: torch.Tensor, other: torch.Tensor) -> None:
        """The oldest go."""
        places = (int(self.seen) + torch.arange(len(one))) % len(self.ours)
        self.ours[places], self.theirs[places] = one, other
        self.seen += len(one)
