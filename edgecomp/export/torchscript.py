"""TorchScript, for those who still deploy it. torch.jit is deprecated; its warning is caught here and nowhere else."""

import warnings
from pathlib import Path

import torch
from torch import nn


@torch.no_grad()
def save(network: nn.Module, example: torch.Tensor, path: Path) -> None:
    """Writes the traced network: any batch size, no control flow."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        traced = torch.jit.trace(network.eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, path)
