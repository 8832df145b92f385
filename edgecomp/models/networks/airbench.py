"""A wide, fast convolutional network for 32×32 images after airbench94 (Jordan 2024, arXiv:2404.00498): a teacher that
two CPU cores train in minutes."""

from collections.abc import Sequence

import torch
from torch import nn

from edgecomp.models.checks import positive


class Block(nn.Module):
    """[N, channels_in, H, W] → [N, channels_out, H/2, W/2]."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.gelu1 = nn.GELU()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.gelu2 = nn.GELU()
        for conv in (self.conv1, self.conv2):  # it begins as the identity on as many channels as it reads
            nn.init.dirac_(conv.weight.data[: conv.in_channels])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.gelu1(self.bn1(self.pool(self.conv1(x))))
        y: torch.Tensor = self.gelu2(self.bn2(self.conv2(x)))
        return y


class Airbench(nn.Module):
    """[N, channels, H, W] → logits [N, classes]; H and W ≥ 16.

    The paper whitens patches of the training images with its first convolution; here that is learnt.
    """

    def __init__(
        self, channels: int, classes: int, widths: Sequence[int] = (64, 256, 256), scaling: float = 1 / 9
    ) -> None:
        super().__init__()
        positive(channels=channels, classes=classes, widths=widths)
        self.conv = nn.Conv2d(channels, 24, 2)
        self.gelu = nn.GELU()
        reads = (24, *widths[:-1])
        self.layers = nn.Sequential(*(Block(*pair) for pair in zip(reads, widths, strict=True)))
        self.head = nn.Linear(widths[-1], classes, bias=False)
        self.scaling = scaling

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers(self.gelu(self.conv(x)))
        logits: torch.Tensor = self.head(x.amax((2, 3))) * self.scaling
        return logits
