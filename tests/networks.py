"""A small transformer, and sentences to train it on, for tests of several rooms."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Transformer(nn.Module):
    """[N, S] → logits [N, 4]: two tables, one block of attention, the mean over what is not padding."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.words, self.kinds = nn.Embedding(64, width), nn.Embedding(2, width)
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.head = nn.Linear(width, 4)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.norms[0](self.words(ids) + self.kinds(ids % 2))
        scores = self.q(x) @ self.k(x).transpose(1, 2) / x.shape[-1] ** 0.5
        scores = scores + (1 - mask[:, None]) * -1e4
        x = self.norms[1](x + self.out(torch.softmax(scores, -1) @ self.v(x)))
        x = self.norms[2](x + self.down(F.gelu(self.up(x))))
        logits: torch.Tensor = self.head((x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))
        return logits


def sentences(count: int, length: int, seed: int) -> tuple[dict[str, np.ndarray], torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 64, (count, length), generator=generator)
    lengths = torch.randint(length // 2, length + 1, (count, 1), generator=generator)
    mask = (torch.arange(length) < lengths).float()
    labels = torch.stack([((ids // 16 == kind) * mask).sum(1) for kind in range(4)], 1).argmax(1)
    return {"ids": (ids * mask.long()).numpy(), "mask": mask.numpy()}, labels
