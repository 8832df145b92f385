"""A perceptron with hidden layers (Rumelhart, Hinton and Williams 1986, Nature 323, 533–536) for rows of numbers."""

import torch
from torch import nn

from edgecomp.models.checks import positive


class Mlp(nn.Module):
    """[N, features], or [N, ...] with as many numbers in a row, → logits [N, classes]."""

    def __init__(self, features: int, classes: int, layers: int = 2, width: int = 128) -> None:
        super().__init__()
        positive(features=features, classes=classes, layers=layers, width=width)
        reads = [features] + [width] * (layers - 1)
        self.layers = nn.Sequential(*(nn.Sequential(nn.Linear(n, width), nn.ReLU()) for n in reads))
        self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.layers(torch.flatten(x, 1)))
        return logits
