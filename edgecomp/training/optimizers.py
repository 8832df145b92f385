"""Optimisers by name. To add one: a row of OPTIMIZERS."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn


def adamw(groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
    """AdamW over parameter `groups`, in one pass over memory (Loshchilov & Hutter 2019, arXiv:1711.05101).

    With an embedding table, several passes take longer than the gradients.
    """
    return torch.optim.AdamW(groups, fused=True)


def sgd(groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
    """Stochastic gradient descent over parameter `groups` with Nesterov's momentum of 0.9 (Sutskever et al. 2013)."""
    return torch.optim.SGD(groups, momentum=0.9, nesterov=True, fused=True)


def nadam(groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
    """Adam with Nesterov's momentum over parameter `groups`, weights decayed as AdamW's are (Dozat 2016)."""
    return torch.optim.NAdam(groups, decoupled_weight_decay=True)


def radam(groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
    """Adam that needs no warm-up over parameter `groups`, weights decayed as AdamW's are (Liu et al. 2020, arXiv:1908.03265)."""
    return torch.optim.RAdam(groups, decoupled_weight_decay=True)


OPTIMIZERS: dict[str, Callable[[Iterable[dict[str, Any]]], torch.optim.Optimizer]] = {
    "adamw": adamw,
    "sgd": sgd,
    "nadam": nadam,
    "radam": radam,
}
"""By the name that a recipe has (`optimizer`): takes parameter groups, each with its learning rate and weight decay."""


def parameter_groups(
    parameters: Sequence[tuple[str, nn.Parameter]], learning_rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels; none for biases, norms and other vectors.

    parameters: by name; learning_rate: of all; weight_decay: of what has two axes at least.
    """
    decayed = [parameter for _, parameter in parameters if parameter.ndim >= 2]
    free = [parameter for _, parameter in parameters if parameter.ndim < 2]
    return [
        {"params": decayed, "lr": learning_rate, "weight_decay": weight_decay},
        {"params": free, "lr": learning_rate, "weight_decay": 0.0},
    ]
