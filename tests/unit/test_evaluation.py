"""Evaluation, batch by batch."""

import numpy as np
import torch
from torch import nn

from edgecomp.inputs import trimmed
from edgecomp.training.loop import Examples, logits_of


class Sum(nn.Module):
    """Two logits of a text: its ids' sum, and how long the batch was padded to."""

    def __init__(self) -> None:
        super().__init__()
        self.widths: list[int] = []

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        self.widths.append(ids.shape[1])
        total = (ids * mask).sum(1).float()
        return torch.stack([total, -total], 1)


def test_texts_are_evaluated_beside_their_like_and_answers_keep_their_places() -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(1, 33, 100)
    mask = (np.arange(32) < lengths[:, None]).astype(np.int64)
    ids = random.integers(1, 100, (100, 32)) * mask
    network = Sum()
    examples = Examples({"input_ids": ids, "attention_mask": mask}, np.zeros(100, np.int64), trimmed)
    logits = logits_of(network, examples, batch_size=10)
    np.testing.assert_array_equal(logits[:, 0], ids.sum(1))
    assert network.widths == [int(np.sort(lengths)[end - 1]) for end in range(10, 101, 10)]


def test_what_has_no_mask_is_taken_as_it_comes() -> None:
    values = np.arange(20, dtype=np.float32).reshape(10, 2)
    examples = Examples({"input": values}, np.zeros(10, np.int64), dict)
    np.testing.assert_array_equal(logits_of(nn.Identity(), examples, batch_size=3), values)
