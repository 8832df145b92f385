"""A term of the student's outputs and the teacher's, whoever that is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from edgecomp.training.loop import Batch
from edgecomp.training.schedules import Scheduled, all_at, at

OfLogits = Callable[..., torch.Tensor]


class Noise(NamedTuple):
    """On the teacher's outputs: each number of a share of the examples is multiplied by 1 + ξ, ξ normal with deviation `sigma` (Sau & Balasubramanian
    2016, arXiv:1610.09650, equation 3)."""

    sigma: Scheduled
    share: float


@dataclass(frozen=True)
class OfOutputs:
    """A term: weight · function(student's outputs, the teacher's, labels, arguments). weighs: whether the function takes what each example counts;
    noise: on the teacher's outputs."""

    name: str
    function: OfLogits
    weight: Scheduled
    arguments: Mapping[str, Scheduled]
    weighs: bool = False
    noise: Noise | None = None

    def bind(self, student: nn.Module, example: Sequence[torch.Tensor]) -> "BoundToOutputs":
        return BoundToOutputs(self)


class BoundToOutputs(nn.Module):
    def __init__(self, term: OfOutputs) -> None:
        super().__init__()
        self._term, self.name = term, term.name

    def forward(self, logits: torch.Tensor, batch: Batch) -> list[tuple[str, torch.Tensor]]:
        assert batch.soft_labels is not None
        term = self._term
        arguments: dict[str, Any] = all_at(term.arguments, batch.done)
        if term.weighs and batch.weights is not None:
            arguments["weights"] = batch.weights
        said = batch.soft_labels
        if term.noise is not None:
            said = noisy(said, at(term.noise.sigma, batch.done), term.noise.share)
        value = term.function(logits, said, batch.labels, **arguments)
        return [(term.name, at(term.weight, batch.done) * value)]


def noisy(outputs: torch.Tensor, sigma: float, share: float) -> torch.Tensor:
    """The `outputs` [N, ...], numbers of a `share` of the examples multiplied by 1 + ξ, ξ normal with deviation `sigma`: drawn by torch's generator,
    which each epoch of training sets."""
    chosen = torch.rand(len(outputs), *[1] * (outputs.ndim - 1), device=outputs.device) < share
    return outputs * (1 + sigma * torch.randn_like(outputs) * chosen)
