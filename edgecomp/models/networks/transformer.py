"""A small Transformer encoder (Vaswani et al. 2017, arXiv:1706.03762) with normalisation before each part (Xiong et al.
2020, arXiv:2002.04745), that classifies token ids, or bytes."""

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


class Encoder(nn.Module):
    """What reads embedded symbols, [N, L, width], and its head; L is at most `places`."""

    def __init__(
        self, symbols: int, places: int, classes: int, layers: int, width: int, heads: int, dropout: float
    ) -> None:
        super().__init__()
        positive(classes=classes, layers=layers, width=width, heads=heads)
        if width % heads:
            raise UsageError(f"width {width} is no multiple of {heads} heads: each head takes an equal part")
        self.tokens = nn.Embedding(symbols, width)
        self.positions = nn.Embedding(places, width)
        for table in (self.tokens, self.positions):
            nn.init.normal_(table.weight, std=0.02)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(EncoderLayer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def states(self, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What is no padding, [N, L] of 0 and 1, and the last layer's states, [N, L, width]. x: [N, L, width]; mask: [N, L]."""
        places = torch.arange(x.shape[1], device=x.device)
        x = self.dropout(x + self.positions(places))
        seen = mask.to(x.dtype)
        unseen = (1 - seen)[:, None, None, :] * NEVER
        for layer in self.layers:
            x = layer(x, unseen)
        return seen, self.norm(x)

    def classified(self, seen: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Logits [N, classes] of the mean over what is no padding. seen, x: as `states` gives them."""
        weights = seen.unsqueeze(-1)
        mean = (x * weights).sum(1) / weights.sum(1).clamp(min=1)
        logits: torch.Tensor = self.head(mean)
        return logits


class Transformer(Encoder):
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
        positive(vocabulary=vocabulary, max_length=max_length)
        super().__init__(vocabulary, max_length, classes, layers, width, heads, dropout)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.classified(*self.states(self.tokens(input_ids), attention_mask))


class ByteTransformer(Encoder):
    """bytes int64 [N, max_bytes], 0 behind a text's end → logits [N, classes].

    The same encoder. A strided convolution over the bytes, as wide as two of its strides, makes its places: `patch` times fewer than there are bytes
    (CANINE: Clark et al. 2022, arXiv:2103.06874, section 3.2).
    """

    def __init__(
        self,
        max_bytes: int,
        classes: int,
        layers: int = 2,
        width: int = 128,
        heads: int = 4,
        dropout: float = 0.1,
        patch: int = 4,
    ) -> None:
        """patch: bytes that a place is made of, an even number that divides max_bytes."""
        positive(max_bytes=max_bytes, patch=patch)
        if patch % 2 or max_bytes % patch:
            raise UsageError(
                f"patch {patch}: an even number of bytes that divides max_bytes, {max_bytes}, is a place"
            )
        super().__init__(256, max_bytes // patch, classes, layers, width, heads, dropout)
        self.patch = patch
        self.join = nn.Conv2d(width, width, (1, 2 * patch), (1, patch), (0, patch // 2))

    def forward(self, bytes: torch.Tensor) -> torch.Tensor:
        x = self.join(self.tokens(bytes).transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)
        filled = (bytes != 0).to(x.dtype)
        seen = F.max_pool2d(filled[:, None, None], (1, self.patch))[:, 0, 0]
        return self.classified(*self.states(x, seen))


class Tagger(Transformer):
    """The same encoder, with a class for each token: input_ids, attention_mask int64 [N, L] → logits [N, L, classes]."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        _, x = self.states(self.tokens(input_ids), attention_mask)
        logits: torch.Tensor = self.head(x)
        return logits
