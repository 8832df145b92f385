"""Convolutions over the bytes of a text, the strongest answer of each kept (Kim 2014, arXiv:1408.5882; over characters: Zhang, Zhao and
LeCun 2015, arXiv:1509.01626)."""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from edgecomp.errors import UsageError
from edgecomp.models.checks import positive

STRIDE = 2  # of each convolution


class ConvText(nn.Module):
    """bytes int64 [N, max_bytes], 0 behind a text's end → logits [N, classes].

    Images of one row: what runtimes do fastest for images serves texts as well.
    """

    def __init__(
        self,
        max_bytes: int,
        classes: int,
        width: int = 16,
        filters: int = 64,
        kernel: int = 5,
        layers: int = 2,
    ) -> None:
        """width: of a byte's embedding; filters, kernel: of each convolution, whose stride is 2; layers: how many there are."""
        super().__init__()
        positive(
            max_bytes=max_bytes, classes=classes, width=width, filters=filters, kernel=kernel, layers=layers
        )
        if max_bytes < STRIDE**layers:
            raise UsageError(
                f"layers {layers}: each halves a text, and {max_bytes} bytes are too few for that"
            )
        self.table = nn.Embedding(256, width, padding_idx=0)
        widths = [width, *[filters] * layers]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, (1, kernel), (1, STRIDE), (0, kernel // 2), bias=False)
            for before, after in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(filters) for _ in range(layers))
        self.head = nn.Linear(filters, classes)

    def forward(self, bytes: torch.Tensor) -> torch.Tensor:
        x = self.table(bytes).transpose(1, 2).unsqueeze(2)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.relu(norm(convolution(x)))
        logits: torch.Tensor = self.head(F.max_pool2d(x, (1, x.shape[3])).flatten(1))
        return logits
