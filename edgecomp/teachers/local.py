"""A teacher trained on the spot, and the soft labels it gives, stored once."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from edgecomp.artifacts import sha256, write_json
from edgecomp.data import soft_labels
from edgecomp.data.augment import shifted
from edgecomp.data.splits import Preprocessing, Split
from edgecomp.progress import Track
from edgecomp.training import Batch, accuracy_pct, logits_of, one_cycle, parameter_groups, save_weights, train


def train_teacher(
    network: nn.Module,
    *,
    train_split: Split,
    validation: Split,
    preprocessing: Preprocessing,
    shift: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    seed: int,
    bf16: bool,
    folder: Path,
    checkpoints: Path,
    track: Track,
) -> None:
    """Trains `network` on hard labels; writes teacher.safetensors and history.json into `folder`."""
    held_out = preprocessing.apply(validation.images)
    groups = parameter_groups(list(network.named_parameters()), learning_rate, weight_decay)
    history = train(
        network,
        torch.optim.AdamW(groups),
        examples=lambda epoch: (
            preprocessing.apply(shifted(train_split.images, pixels=shift, seed=seed, view=epoch)),
            train_split.labels,
            None,
        ),
        loss=hard_label_loss,
        schedule=one_cycle(),
        evaluate=lambda network: accuracy_pct(network, held_out, validation.labels),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        bf16=bf16,
        checkpoint=checkpoints / "teacher.pt",
        track=track,
        what="teacher",
    )
    save_weights(network, folder / "teacher.safetensors")
    write_json(folder / "history.json", {"teacher": history})


def hard_label_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    return F.cross_entropy(logits, batch.labels)


def store_soft_labels(
    network: nn.Module,
    teacher_file: Path,
    *,
    train_split: Split,
    validation: Split,
    preprocessing: Preprocessing,
    shift: int,
    views: int,
    seed: int,
    folder: Path,
    track: Track,
) -> None:
    """The teacher's logits for every view of every training image and for the validation split, in soft_labels.h5."""
    logits = (
        logits_of(
            network, preprocessing.apply(shifted(train_split.images, pixels=shift, seed=seed, view=view))
        )
        for view in range(views)
    )
    soft_labels.write(
        folder / "soft_labels.h5",
        track(logits, "soft labels", views),
        logits_of(network, preprocessing.apply(validation.images)),
        count=views,
        teacher_sha256=sha256(teacher_file),
    )
