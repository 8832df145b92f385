"""The distillation loss: a sum of terms, built once from a recipe's `distill` section. One file a family of terms.

A `Term` is a setting; bound to a student it becomes a module that computes one number for each batch, and that may have parameters of
its own (a projection between widths), which are trained with the student and belong to no file. To add a term: a class with `bind`
in a file of this folder, and a row of TERMS.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import torch
from torch import nn

from edgecomp.distill.losses import hidden_states
from edgecomp.distill.losses.named import DIVERGENCES, OfOutputs, named
from edgecomp.distill.losses.soft_and_hard_labels import SoftAndHardLabels, soft_and_hard_labels
from edgecomp.distill.similarity import likeness
from edgecomp.outputs import as_one
from edgecomp.tasks import Task
from edgecomp.training.alarms import STAGE
from edgecomp.training.loop import Batch

Teacher = Callable[[], nn.Module]
"""Loads the teacher, for terms that look inside it."""


class Term(Protocol):
    """One summand of the loss, not bound to a network yet."""

    def bind(self, student: nn.Module, example: Sequence[torch.Tensor]) -> nn.Module:
        """A module `(logits [N, classes], Batch) → weighted scalars, a name with each`. example: legal inputs of the student. Raises CaptureError."""
        ...


TERMS: dict[str, Callable[[Mapping[str, Any], Task, Teacher], Sequence[Term]]] = {
    "soft and hard labels": soft_and_hard_labels,
    "named": named,
}
"""By family: what makes its terms of the recipe's `distill`; none where that asks for none."""


@dataclass(frozen=True)
class Loss:
    """The sum of some terms."""

    terms: tuple[Term, ...]

    def bind(self, student: nn.Module, example: Sequence[torch.Tensor]) -> "Learner":
        """The student with its loss. example: legal inputs of the student, each [N, ...]. Raises CaptureError."""
        return Learner(student, [term.bind(student, example) for term in self.terms], self.divergences)

    @property
    def divergences(self) -> tuple[str, ...]:
        """Keys in a history of terms that diverge from the teacher's answers, with a weight that does not change."""
        named = [
            one for one in self.terms if isinstance(one, OfOutputs) and not isinstance(one.weight, Mapping)
        ]
        plain = any(isinstance(one, SoftAndHardLabels) for one in self.terms)
        return tuple(
            f"loss: {name}"
            for name in DIVERGENCES
            if name in [one.name for one in named] or (plain and name == "soft-labels")
        )


def build(settings: Mapping[str, Any], task: Task, teacher: Teacher) -> Loss:
    """The loss that `settings`, a recipe's `distill`, describe.

    task: what labels and outputs mean; teacher: called where a term needs the network itself.
    """
    return Loss(tuple(term for family in TERMS.values() for term in family(settings, task, teacher)))


class Learner(nn.Module):
    """A student that is trained: answers as the student does, and knows its loss."""

    def __init__(
        self, student: nn.Module, terms: Sequence[nn.Module], divergences: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.divergences = divergences
        self.student = student
        self.terms = nn.ModuleList(terms)
        self.values: list[tuple[str, torch.Tensor]] = []
        self.without: frozenset[str] = frozenset()  # the terms that a stage leaves out, by name
        self.stage = 0  # which stage it is, from 1; 0 where there are none

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return as_one(self.student(*inputs))

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The sum of all terms, a scalar, after a forward pass on the batch's inputs. logits: [N, classes]."""
        found = [named for term in self.terms for named in term(logits, batch)]
        names = numbered([name for name, _ in found])
        self.values = [
            (name, value) for name, (_, value) in zip(names, found, strict=True) if name not in self.without
        ]
        return reduce(torch.add, (value for _, value in self.values))

    def watched(self) -> dict[str, torch.Tensor]:
        """What each term came to in the last batch, weighted, by `loss: NAME`; of a name that comes again, `loss: NAME (2)`."""
        return {f"loss: {name}": value for name, value in self.values}

    def likeness(self) -> dict[str, float]:
        """How alike the hidden states that terms compare were in the last batch, by name (edgecomp.distill.similarity); and the stage, where there
        are several."""
        bound = [term for term in self.terms if isinstance(term, hidden_states.Bound)]
        stage = {STAGE: float(self.stage)} if self.stage else {}
        return stage | likeness(pair for term in bound for pair in term.compared())


def numbered(names: Sequence[str]) -> list[str]:
    """The `names` of terms, each once: one that comes again is `NAME (2)`."""
    return [
        f"{name} ({before + 1})" if (before := names[:place].count(name)) else name
        for place, name in enumerate(names)
    ]
