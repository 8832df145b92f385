"""The teacher of the cells on CIFAR-10, with the weights that `python benchmarks/methods teacher` has kept."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from edgecomp.models.networks.airbench import Airbench

WEIGHTS = Path(__file__).parents[2] / "reports" / "methods" / "cifar10-teacher.safetensors"
WIDTHS = (32, 128, 128)


class PooledAirbench(Airbench):
    """The same function, with a module whose output is what its head reads: terms of hidden states can name it, `pool`."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes, WIDTHS)
        self.pool = nn.AdaptiveMaxPool2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers(self.gelu(self.conv(x)))
        logits: torch.Tensor = self.head(torch.flatten(self.pool(x), 1)) * self.scaling
        return logits


def trained(channels: int, classes: int) -> nn.Module:
    """channels: of an image; classes: how many."""
    network = PooledAirbench(channels, classes)
    if not WEIGHTS.is_file():
        raise FileNotFoundError(f"{WEIGHTS}: run `python benchmarks/methods teacher` first")
    network.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    return network
