"""A small U-Net (Ronneberger et al. 2015, arXiv:1505.04597) that classifies every pixel: batch normalisation, strides for pooling, and
nearest neighbours for its transposed convolutions, which no runtime has in integers: an image that grows so keeps its scale."""

from itertools import pairwise

import torch
from torch import nn

from edgecomp.errors import UsageError
from edgecomp.models.checks import positive


def _convolution(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


class Segmenter(nn.Module):
    """[N, channels, H, W] → logits [N, classes, H, W]; H and W are multiples of 2^depth."""

    def __init__(self, channels: int, classes: int, width: int = 16, depth: int = 2) -> None:
        super().__init__()
        positive(channels=channels, classes=classes, width=width, depth=depth)
        widths = [width * 2**level for level in range(depth + 1)]
        self.stem = _convolution(channels, width)
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(narrow, wide, stride=2), _convolution(wide, wide))
            for narrow, wide in pairwise(widths)
        )
        self.up = nn.ModuleList(
            _convolution(wide + narrow, narrow)
            for narrow, wide in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.grow = nn.Upsample(scale_factor=2, mode="nearest")
        self.head = nn.Conv2d(width, classes, 1)
        self.multiple = 2**depth

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if any(int(size) % self.multiple for size in x.shape[2:]):
            raise UsageError(
                f"images of {list(x.shape[2:])} pixels: a segmenter of this depth takes multiples of {self.multiple}"
            )
        seen = [self.stem(x)]
        for part in self.down:
            seen.append(part(seen[-1]))
        y = seen.pop()
        for part in self.up:
            y = part(torch.cat([self.grow(y), seen.pop()], dim=1))
        logits: torch.Tensor = self.head(y)
        return logits
