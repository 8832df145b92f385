"""Losses of a language model that learns from another's most probable tokens: pure functions of logits [M, V] at M places of texts.

What a teacher says of a place is its top k log-probabilities and the mass of all other tokens together: k + 1 categories, which sum to one, of which the
divergences here are. They are lower bounds of those over all V tokens, and equal to them where k = V - 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy, log_softmax

from edgecomp.tasks.base import IGNORED


@dataclass(frozen=True)
class Top:
    """What the teacher says of M places. tokens: int64 [M, k]; log_probs: [M, k], at the temperature that it was asked at; rest: [M], the logarithm of the
    other tokens' mass."""

    tokens: torch.Tensor
    log_probs: torch.Tensor
    rest: torch.Tensor

    @property
    def categories(self) -> torch.Tensor:
        """Log-probabilities [M, k + 1], the rest last."""
        return torch.cat((self.log_probs, self.rest[:, None]), dim=1)


Divergence = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Of the student's and the teacher's log-probabilities [M, C], by place: [M]."""


def categories(logits: torch.Tensor, tokens: torch.Tensor, temperature: float) -> torch.Tensor:
    """Log-probabilities [M, k + 1] of `tokens`, [M, k], and of all others together. logits: [M, V]; temperature: that they are divided by."""
    scaled = logits / temperature
    whole = scaled.logsumexp(dim=1, keepdim=True)
    others = scaled.scatter(1, tokens, float("-inf")).logsumexp(dim=1, keepdim=True)
    return torch.cat((scaled.gather(1, tokens), others), dim=1) - whole


def forward_kl(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """KL(teacher ‖ student), [M] (Hinton et al. 2015, arXiv:1503.02531). student, teacher: as Divergence has them."""
    return (teacher.exp() * (teacher - student)).sum(dim=1)


def reverse_kl(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """KL(student ‖ teacher), [M]: a student that cannot say everything says what the teacher is sure of (Gu et al. 2024, MiniLLM, arXiv:2306.08543).
    student, teacher: as Divergence has them."""
    return forward_kl(teacher, student)


def jensen_shannon(beta: float) -> Divergence:
    """β·KL(teacher ‖ m) + (1 - β)·KL(student ‖ m) with m = β·teacher + (1 - β)·student (Agarwal et al. 2024, GKD, arXiv:2306.13649, equation 1).
    beta: in (0, 1); towards 0 it becomes forward KL over β, towards 1 reverse KL over 1 - β."""

    def divergence(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        ln = torch.tensor([beta, 1 - beta], dtype=student.dtype, device=student.device).log()
        mixed = torch.logaddexp(teacher + ln[0], student + ln[1])
        return beta * forward_kl(mixed, teacher) + (1 - beta) * forward_kl(mixed, student)

    return divergence


def named(name: str, beta: float) -> Divergence:
    """The divergence that a recipe calls `name`: `kl`, `reverse-kl` or `jsd`, the last with its `beta`."""
    return {"kl": forward_kl, "reverse-kl": reverse_kl, "jsd": jensen_shannon(beta)}[name]


def soft(logits: torch.Tensor, top: Top, divergence: Divergence, temperature: float) -> torch.Tensor:
    """T²·divergence at temperature T, mean over places, a scalar. logits: the student's [M, V]; top: the teacher's at the same temperature."""
    found = divergence(categories(logits, top.tokens, temperature), top.categories)
    return found.mean() * temperature**2


def hard(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the tokens that came, mean over places that count, in nats, a scalar. logits: [..., V]; labels: int64 [...], IGNORED where none counts."""
    return cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED)


def top_of(logits: torch.Tensor, k: int, temperature: float) -> Top:
    """The k most probable tokens of logits [M, V], and the others' mass, at a temperature."""
    log_probs, tokens = log_softmax(logits / temperature, dim=1).topk(k, dim=1)
    return Top(tokens, log_probs, categories(logits, tokens, temperature)[:, -1])
