"""A small Transformer encoder (Vaswani et al. 2017, arXiv:1706.03762) with normalisation before each part (Xiong et al.
2020, arXiv:2002.04745), that classifies token ids."""

import torch
import torch.nn.functional as F
from torch import nn

from edgecomp.errors import UsageError
from edgecomp.models.checks import positive

NEVER = -1e4  # e^-10000 is 0 in every precision, and the number is finite in all of them


class EncoderLayer(nn.Module):
    """[N, L, width] and what a token may look at, [N, 1, 1, L] of 0 or NEVER → [N, L, width]."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.gelu = nn.GELU()
        self.down = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, unseen: torch.Tensor) -> torch.Tensor:
        x = x + self.dropout(self._attention(self.norm1(x), unseen))
        y: torch.Tensor = x + self.dropout(self.down(self.gelu(self.up(self.norm2(x)))))
        return y

    def _attention(self, x: torch.Tensor, unseen: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=unseen)
        mixed: torch.Tensor = self.output(seen.transpose(1, 2).flatten(2))
        return mixed


class Transformer(nn.Module):
    """input_ids, attention_mask int64 [N, L] → logits [N, classes], from the mean over the tokens that are no padding.

    L is at most `max_length`.
    """

    def __init__(
        self,
        vocabulary: int,
        max_length: int,
        classes: int,
        layers: int = 2,
        width: int = 128,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        positive(
            vocabulary=vocabulary, max_length=max_length, classes=classes, layers=layers, width=width, heads=heads
        )  # fmt: skip
        if width % heads:
            raise UsageError(f"width {width} is no multiple of {heads} heads: each head takes an equal part")
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(max_length, width)
        for table in (self.tokens, self.positions):
            nn.init.normal_(table.weight, std=0.02)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(EncoderLayer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        seen, x = self._states(input_ids, attention_mask)
        weights = seen.unsqueeze(-1)
        mean = (x * weights).sum(1) / weights.sum(1).clamp(min=1)
        logits: torch.Tensor = self.head(mean)
        return logits

    def _states(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What is no padding, [N, L] of 0 and 1, and the last layer's states, [N, L, width]."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.dropout(self.tokens(input_ids) + self.positions(places))
        seen = attention_mask.to(x.dtype)
        unseen = (1 - seen)[:, None, None, :] * NEVER
        for layer in self.layers:
            x = layer(x, unseen)
        return seen, self.norm(x)


class Tagger(Transformer):
    """The same encoder, with a class for each token: input_ids, attention_mask int64 [N, L] → logits [N, L, classes]."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        _, x = self._states(input_ids, attention_mask)
        logits: torch.Tensor = self.head(x)
        return logits
