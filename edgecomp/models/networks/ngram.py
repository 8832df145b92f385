"""A bag of hashed n-grams of characters and words over the bytes of a text, and a small head (fastText: Joulin et al. 2016, arXiv:1607.01759, section 2.1;
Bojanowski et al. 2016, arXiv:1607.04606).

The hash is in the network: its file takes bytes, and needs no tokenizer beside it.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from edgecomp.errors import UsageError
from edgecomp.models.checks import positive

LARGEST = 2**31 - 1  # OpenVINO computes with int32 where a file says int64
DIGITS = slice(ord("0"), ord("9") + 1)
WORD = [
    *range(ord("0"), ord("9") + 1),
    *range(ord("A"), ord("Z") + 1),
    *range(ord("a"), ord("z") + 1),
    *range(128, 256),
]
PAIRS = 65_521  # a prime: a word's hash, the sum of its pairs', stays far below 2³¹
SEED = 0  # of the hash: it is the same in every network


class Ngram(nn.Module):
    """bytes int64 [N, max_bytes], 0 behind a text's end → logits [N, classes].

    An n-gram's bucket is (Σ aᵢ·byteᵢ) mod buckets, a prime, with random aᵢ (universal hashing: Carter and Wegman 1979); padding alone falls into
    bucket 0, whose row stays zero. One table serves all lengths of n-grams. LayerNorm takes the length of a text out of the mean.

    A word is a run of letters, digits and bytes above ASCII. Its hash is the sum of those of its pairs of neighbouring bytes, which a prefix sum
    gives for all words at once; an n-gram of words adds those of n words, whichever signs are between them.
    """

    same: torch.Tensor
    inside: torch.Tensor

    def __init__(
        self,
        max_bytes: int,
        classes: int,
        orders: Sequence[int] = (2, 3, 4, 5),
        buckets: int = 16_381,
        width: int = 32,
        hidden: int = 64,
        digits: bool = False,
        words: Sequence[int] = (),
    ) -> None:
        """orders: lengths of n-grams, in bytes; words: lengths of n-grams of words, none where it is empty; buckets: a prime; width: of the table's rows; hidden: of the head; digits: whether
        digits differ: without, 17 and 23 are the same number."""
        super().__init__()
        positive(max_bytes=max_bytes, classes=classes, width=width, hidden=hidden)
        if not orders or min(orders) < 1 or max(orders) > max_bytes:
            raise UsageError(f"orders {list(orders)}: lengths of n-grams from 1 to max_bytes, {max_bytes}")
        if not _is_prime(buckets):
            raise UsageError(
                f"buckets {buckets} is no prime: the hash is even over a prime, such as {_prime_below(buckets)}"
            )
        self.orders, self.buckets = tuple(orders), buckets
        random = torch.Generator().manual_seed(SEED)
        most = min(buckets, LARGEST // (256 * max(orders)))
        self.factors = [
            (1 + torch.randperm(most - 1, generator=random)[:order]).tolist() for order in self.orders
        ]
        if any(count not in (1, 2) for count in words):
            raise UsageError(f"words {list(words)}: n-grams of words are of 1 or 2")
        self.words = tuple(words)
        self.pair = (1 + torch.randperm(PAIRS - 1, generator=random)[:3]).tolist()
        self.register_buffer(
            "inside",
            torch.zeros(256, dtype=torch.int64).index_fill(0, torch.tensor(WORD), 1),
            persistent=False,
        )
        same = torch.arange(256)
        if not digits:
            same[DIGITS] = ord("0")
        self.register_buffer("same", same, persistent=False)
        self.table = nn.Embedding(buckets, width, padding_idx=0)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.head = nn.Linear(hidden, classes)

    def forward(self, bytes: torch.Tensor) -> torch.Tensor:
        x = self.table(self.buckets_of(bytes)).mean(1)
        logits: torch.Tensor = self.head(F.relu(self.up(self.norm(x))))
        return logits

    def buckets_of(self, bytes: torch.Tensor) -> torch.Tensor:
        """The bucket of every n-gram, int64 [N, n-grams]; 0 for those of padding alone. bytes: [N, L]."""
        x, length = self.same[bytes], bytes.shape[1]
        found = []
        for order, factors in zip(self.orders, self.factors, strict=True):
            hashed = x[:, : length - order + 1] * factors[0]
            for place in range(1, order):
                hashed = hashed + x[:, place : length - order + 1 + place] * factors[place]
            found.append(hashed % self.buckets)
        if self.words:
            found += self._words(x)
        return torch.cat(found, 1)

    def _words(self, x: torch.Tensor) -> list[torch.Tensor]:
        """By n, the bucket of n words at the last byte of the last, 0 at all other places, int64 [N, L]. x: bytes, [N, L]."""
        inside = self.inside[x]
        before, after = _shifted(x * inside, 1), F.pad(inside[:, 1:], (0, 1))
        first, second, third = self.pair
        sums = (((first * x + second * before + third) % PAIRS + 1) * inside).cumsum(1)
        word = sums - _largest_so_far(sums * (1 - inside))
        is_last = inside * (1 - after)
        found = [(word % (self.buckets - 1) + 1) * is_last] if 1 in self.words else []
        if 2 in self.words:
            of_two = sums - _largest_so_far(_shifted(_largest_so_far((sums - word) * is_last), 1))
            found.append((of_two % (self.buckets - 1) + 1) * is_last)
        return found


def _shifted(x: torch.Tensor, by: int) -> torch.Tensor:
    return F.pad(x[:, :-by], (by, 0))


def _largest_so_far(x: torch.Tensor) -> torch.Tensor:
    """Of each place, the largest up to it, in log₂ L steps, for cummax is in no runtime. x: [N, L], not negative."""
    by = 1
    while by < x.shape[1]:
        x = torch.maximum(x, _shifted(x, by))
        by *= 2
    return x


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % by for by in range(2, int(number**0.5) + 1))


def _prime_below(number: int) -> int:
    return next(one for one in range(max(number, 2), 1, -1) if _is_prime(one))
