"""Optimisers by name. To add one: a row of OPTIMIZERS."""

from collections.abc import Callable, Iterable, Iterator, Sequence
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


class Muon(torch.optim.Optimizer):
    """Muon for matrices and kernels, AdamW for all else (Jordan et al. 2024; Liu et al. 2025, arXiv:2502.16982): torch's own Muon, which takes matrices
    alone, is given each kernel [out, in, height, width] as one of [out, in · height · width].

    An update is as large as AdamW's would be, so that a learning rate and a weight decay that were found for AdamW hold (`match_rms_adamw`).
    """

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 1e-3, "weight_decay": 0.0})
        matrices: list[dict[str, Any]] = []
        others: list[dict[str, Any]] = []
        self._flat: list[tuple[nn.Parameter, nn.Parameter]] = []
        # By place, for groups are other objects once a state is loaded.
        self._inner: list[tuple[int, dict[str, Any]]] = []
        for place, group in enumerate(self.param_groups):
            pairs = [
                (one, nn.Parameter(one.detach().flatten(1).clone()))
                for one in group["params"]
                if one.ndim >= 2
            ]
            free = [one for one in group["params"] if one.ndim < 2]
            self._flat += pairs
            for found, into in (([flat for _, flat in pairs], matrices), (free, others)):
                if found:
                    into.append({"params": found, "lr": group["lr"], "weight_decay": group["weight_decay"]})
                    self._inner.append((place, into[-1]))
        self._muon: torch.optim.Optimizer | None = None
        self._adamw: torch.optim.Optimizer | None = None
        if matrices:
            self._muon = torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw")
        if others:
            self._adamw = torch.optim.AdamW(others, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # of the two kinds, the one that is used here
        """One step. closure: not taken."""
        for place, inner in self._inner:
            group = self.param_groups[place]
            inner["lr"], inner["weight_decay"] = group["lr"], group["weight_decay"]
        # A parameter's memory may have been moved since: to another layout, or device.
        for parameter, flat in self._flat:
            flat.data = parameter.flatten(1)
            flat.grad = None if parameter.grad is None else parameter.grad.flatten(1)
        for optimizer in (self._muon, self._adamw):
            if optimizer is not None:
                optimizer.step()
        for parameter, flat in self._flat:
            parameter.copy_(flat.view(parameter.shape))
            flat.grad = None
        self._keep()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """state_dict: as `state_dict` gave it."""
        super().load_state_dict(state_dict)
        for optimizer, parameter, own in self._owned():
            if parameter in self.state:
                optimizer.state[own] = self.state[parameter]

    def _keep(self) -> None:
        """What both know of each parameter is what this knows of it: it goes into checkpoints."""
        for optimizer, parameter, own in self._owned():
            if own in optimizer.state:
                self.state[parameter] = optimizer.state[own]

    def _owned(self) -> Iterator[tuple[torch.optim.Optimizer, nn.Parameter, nn.Parameter]]:
        """Of each parameter, which of the two has it, and what it calls it."""
        if self._muon is not None:
            yield from ((self._muon, parameter, flat) for parameter, flat in self._flat)
        if self._adamw is not None:
            for group in self._adamw.param_groups:
                yield from ((self._adamw, one, one) for one in group["params"])


OPTIMIZERS: dict[str, Callable[[Iterable[dict[str, Any]]], torch.optim.Optimizer]] = {
    "adamw": adamw,
    "sgd": sgd,
    "nadam": nadam,
    "radam": radam,
    "muon": Muon,
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
