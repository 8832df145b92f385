"""Trains a small network in float64, in as many processes as there are; each writes its weights: `python trained_in_double.py FOLDER`."""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from edgecomp.config.recipe import Distill
from edgecomp.distill.losses import build
from edgecomp.distill.stages import entering, of_recipe
from edgecomp.progress import silent
from edgecomp.tasks import TASKS
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


def distilled(folder: Path) -> dict[str, torch.Tensor]:
    """In stages, of hidden states through a least-squares map: some parameters and terms take no part at first."""
    settings = Distill.model_validate(
        {
            "epochs": 2,
            "terms": [
                {"loss": "features-mse", "student": "0", "teacher": "0", "projection": "least-squares"},
                {"loss": "hard-labels"},
            ],
            "stages": [{"epochs": 1, "terms": [0], "frozen": ["2"]}, {"epochs": 1}],
        }
    ).model_dump()
    torch.manual_seed(0)
    student, teacher = (
        nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width), nn.Linear(width, 2)) for width in (4, 8)
    )
    learner = build(settings, TASKS["classification"], lambda: teacher).bind(student, (torch.randn(4, 6),))
    soft = np.zeros((len(LABELS), 2), np.float32)
    train(
        learner,
        torch.optim.AdamW(learner.parameters(), lr=0.01),
        examples=lambda epoch: Examples({"input": INPUTS.astype(np.float32)}, LABELS, dict, soft),
        loss=learner.loss,
        schedule=lambda done: 1.0,
        evaluate=lambda network: {"validation_score_pct": 0.0},
        epochs=2,
        batch_size=40,
        seed=0,
        checkpoint=folder / "distilled.safetensors",
        track=silent,
        what="distilled",
        before_epoch=entering(of_recipe(settings), learner),
        watched=learner.watched,
        after_epoch=learner.likeness,
    )
    return {
        f"distilled {name}": value for name, value in learner.state_dict().items() if "running" not in name
    }


if __name__ == "__main__":
    import os

    folder = Path(sys.argv[1])
    weights, history = trained(folder, Practice(folder=folder))
    weights |= {name: value.contiguous() for name, value in distilled(folder).items()}
    save_file(weights, folder / f"rank-{os.environ['RANK']}.safetensors")
    (folder / f"rank-{os.environ['RANK']}.txt").write_text(
        f"{os.environ['WORLD_SIZE']} {history[-1]['loss']!r}"
    )
