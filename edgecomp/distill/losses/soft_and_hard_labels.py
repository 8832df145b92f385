"""Soft and hard labels: the task says how each is learnt, and their weights are the recipe's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import nn

from edgecomp.distill.losses.of_logits import hard_cross_entropy, soft_target_kl
from edgecomp.tasks import DEFAULT, TASKS, Task
from edgecomp.training.loop import Batch


def soft_label_loss(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """T²·KL(teacher ‖ student) of a classifier at temperature T. student, teacher: logits [N, classes]."""
    return TASKS[DEFAULT].soft_label_loss(student, teacher, temperature)


def distillation_loss(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    *,
    temperature: float,
    hard_label_weight: float,
    task: Task = TASKS[DEFAULT],
) -> torch.Tensor:
    """hard_label_weight · hard-label loss + (1 - hard_label_weight) · soft-label loss, a scalar.

    student, teacher: outputs [N, ...]; labels: as the task has them; temperature: of the soft labels.
    """
    summands = weighed(
        student,
        teacher,
        labels,
        temperature=temperature,
        hard_label_weight=hard_label_weight,
        task=task,
    )
    return reduce(torch.add, summands.values())


def weighed(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    *,
    temperature: float,
    hard_label_weight: float,
    task: Task,
    weights: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """The two summands of `distillation_loss`, of the same student, teacher, labels, temperature, hard_label_weight and task. weights: of a
    classifier's examples, float [N]; None: all 1."""
    soft = soft_labels(student, teacher, labels, task=task, temperature=temperature, weights=weights)
    if hard_label_weight == 0:
        return {"soft-labels": soft}
    return {
        "hard-labels": hard_label_weight * hard_labels(student, teacher, labels, task=task, weights=weights),
        "soft-labels": (1 - hard_label_weight) * soft,
    }


def soft_labels(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    *,
    task: Task,
    temperature: float = 4.0,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """The task's own loss of its teacher's outputs. student, teacher: outputs [N, ...]; labels: not read; task: whose; temperature: of those that
    have one; weights: of a classifier's examples, float [N]; None: all 1."""
    if weights is None:
        return task.soft_label_loss(student, teacher, temperature)
    return soft_target_kl(student, teacher, labels, temperature=temperature, weights=weights)


def hard_labels(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    *,
    task: Task,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """The task's own loss of labels. student: outputs [N, ...]; teacher: not read; labels: as the task has them; task: whose; weights: of a
    classifier's examples, float [N]; None: all 1."""
    if weights is None:
        return task.hard_label_loss(student, labels)
    return hard_cross_entropy(student, teacher, labels, weights=weights)


@dataclass(frozen=True)
class SoftAndHardLabels:
    """A term: `distillation_loss` of the student's outputs, the teacher's stored ones and the labels."""

    task: Task
    temperature: float
    hard_label_weight: float

    def bind(self, student: nn.Module, example: Sequence[torch.Tensor]) -> "Bound":
        return Bound(self)


class Bound(nn.Module):
    def __init__(self, term: SoftAndHardLabels) -> None:
        super().__init__()
        self._term = term

    def forward(self, logits: torch.Tensor, batch: Batch) -> list[tuple[str, torch.Tensor]]:
        assert batch.soft_labels is not None
        terms = weighed(
            logits,
            batch.soft_labels,
            batch.labels,
            temperature=self._term.temperature,
            hard_label_weight=self._term.hard_label_weight,
            task=self._term.task,
            weights=batch.weights,
        )
        return list(terms.items())


def soft_and_hard_labels(
    settings: Mapping[str, Any], task: Task, teacher: Callable[[], nn.Module]
) -> list[SoftAndHardLabels]:
    """The term of `distill.temperature` and `distill.hard_label_weight`, which is 0 where
    nothing is labelled; none where `distill.terms` says what there is instead.

    settings: the recipe's `distill`; task: how labels are learnt; teacher: not loaded, for its soft labels
    are stored.
    """
    if settings.get("terms"):
        return []
    weight = settings["hard_label_weight"] if task.label_axes else 0.0
    return [SoftAndHardLabels(task, settings["temperature"], weight)]
