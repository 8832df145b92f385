"""The small residual networks for 32×32 images of He et al. 2016 (arXiv:1512.03385, section 4.2)."""

import torch
from torch import nn

from edgecomp.models.checks import positive


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions around a shortcut; a 1×1 convolution on the shortcut where the shape changes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.relu2 = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        z: torch.Tensor = self.relu2(y + self.shortcut(x))
        return z


class ResNet(nn.Module):
    """[N, channels, H, W] → logits [N, classes]; 6·blocks + 2 layers: 1 block is ResNet-8, 3 are ResNet-20."""

    def __init__(self, channels: int, classes: int, blocks: int = 3, width: int = 16) -> None:
        super().__init__()
        positive(channels=channels, classes=classes, blocks=blocks, width=width)
        self.conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        layers: list[nn.Module] = []
        channels_in = width
        for stage, channels_out in enumerate((width, 2 * width, 4 * width)):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(ResidualBlock(channels_in, channels_out, stride))
                channels_in = channels_out
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels_in, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers(self.relu(self.bn(self.conv(x))))
        logits: torch.Tensor = self.head(torch.flatten(self.pool(x), 1))
        return logits
