"""A teacher trained on the spot, and the soft labels it gives, stored once.

A teacher of another kind begins in pipeline/stages/learning.py, which calls these two.
"""

from pathlib import Path

import torch
from torch import nn

from edgecomp.arms import TEACHER
from edgecomp.data import soft_labels
from edgecomp.data.views import Views
from edgecomp.files.writing import sha256, write_json
from edgecomp.progress import Track
from edgecomp.tasks import Task
from edgecomp.training.alarms import SCORE
from edgecomp.training.checkpoints import History
from edgecomp.training.loop import logits_of, save_weights, train
from edgecomp.training.optimizers import parameter_groups
from edgecomp.training.practice import Practice


def train_teacher(
    network: nn.Module,
    views: Views,
    task: Task,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    seed: int,
    practice: Practice,
    folder: Path,
    checkpoints: Path,
    track: Track,
) -> None:
    """Trains `network` on hard labels, as the task says; writes teacher.safetensors and history.json into `folder`.

    views: of the training split, one an epoch, and the validation split; epochs: with none, `network` is a
    teacher already, and its weights are kept as they are; batch_size: in examples; learning_rate: the schedule's
    peak; weight_decay: of matrices and kernels; seed: of the examples' order and of dropout; practice: how steps are taken;
    folder: of both files; checkpoints: the folder of what training goes on from; track: shows
    progress. Raises EdgecompError.
    """
    held_out = views.held_out()

    def score(network: nn.Module) -> dict[str, float]:
        answers = logits_of(network, held_out)
        return {SCORE: task.validation_score(answers, held_out.labels if task.label_axes else answers)}

    if epochs == 0:
        history: History = [score(network)]
    else:
        groups = parameter_groups(list(network.named_parameters()), learning_rate, weight_decay)
        history = train(
            network,
            practice.optimiser(groups),
            examples=views.view,
            loss=lambda outputs, batch: task.hard_label_loss(outputs, batch.labels),
            schedule=practice.factor,
            evaluate=score,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            practice=practice,
            checkpoint=checkpoints / "teacher.safetensors",
            track=track,
            what="teacher",
        )
    save_weights(network, folder / "teacher.safetensors")
    write_json(folder / "history.json", {TEACHER.name: history})


def store_soft_labels(
    network: nn.Module,
    teacher_file: Path,
    views: Views,
    *,
    count: int,
    bf16: bool,
    exact: bool,
    folder: Path,
    track: Track,
) -> None:
    """The teacher's logits for `count` views of every training example and for the validation split, in soft_labels.h5.

    network: the teacher; teacher_file: its weights, whose sha256 is stored too; views: of the training split,
    and the validation split; without augmentation there is one view; bf16: forward passes under autocast; exact: stored in float32;
    folder: of soft_labels.h5; track: shows progress.
    """
    if views.augmentation is None:
        count = 1
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = (logits_of(network, views.view(index)) for index in range(count))
        soft_labels.write(
            folder / "soft_labels.h5",
            track(logits, "soft labels, passes", count),
            logits_of(network, views.held_out()),
            count=count,
            teacher_sha256=sha256(teacher_file),
            exact=exact,
        )
