"""Trains a small network in float64, in as many processes as there are; each writes its weights: `python trained_in_double.py FOLDER`."""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from edgecomp.progress import silent
from edgecomp.training.checkpoints import History
from edgecomp.training.loop import Examples, train
from edgecomp.training.optimizers import parameter_groups
from edgecomp.training.practice import Practice

INPUTS = np.random.default_rng(0).normal(size=(200, 6))
LABELS = (INPUTS[:, 0] * INPUTS[:, 1] > 0).astype(np.int64)


def trained(folder: Path, practice: Practice) -> tuple[dict[str, torch.Tensor], History]:
    """50 steps of 8 examples, without batch statistics or dropout."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2)).double()
    history = train(
        network,
        practice.optimiser(parameter_groups(list(network.named_parameters()), 0.01, 0.1)),
        examples=lambda epoch: Examples({"input": INPUTS}, LABELS, dict),
        loss=lambda logits, batch: F.cross_entropy(logits, batch.labels),
        schedule=practice.factor,
        evaluate=lambda network: {"validation_score_pct": 0.0},
        epochs=2,
        batch_size=8,
        seed=0,
        practice=practice,
        checkpoint=folder / "checkpoint.safetensors",
        track=silent,
        what="test",
    )
    return dict(network.state_dict()), history


if __name__ == "__main__":
    import os

    folder = Path(sys.argv[1])
    weights, history = trained(folder, Practice(folder=folder))
    save_file(weights, folder / f"rank-{os.environ['RANK']}.safetensors")
    (folder / f"rank-{os.environ['RANK']}.txt").write_text(
        f"{os.environ['WORLD_SIZE']} {history[-1]['loss']!r}"
    )
