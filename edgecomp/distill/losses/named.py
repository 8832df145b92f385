"""Terms by name: `distill.terms` of a recipe, and `distill.hidden`, which are `features-mse`. To add one: a function in a file of this folder, and a row of LOGITS or FEATURES."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from edgecomp.distill.losses import adaptive, of_features, of_logits
from edgecomp.distill.losses.hidden_states import HiddenStates, Hint
from edgecomp.errors import RecipeError, nearest
from edgecomp.tasks import DEFAULT, Task
from edgecomp.training.loop import Batch
from edgecomp.training.schedules import Scheduled, all_at, at

OfLogits = Callable[..., torch.Tensor]

LOGITS: dict[str, OfLogits] = {
    "soft-cross-entropy": of_logits.soft_cross_entropy,
    "dkd": of_logits.decoupled_kd,
    "dist": of_logits.dist,
    "logits-mse": of_logits.logits_mse,
    "wsld": adaptive.weighted_soft_labels,
}
"""Of a classifier's logits, its teacher's and the labels."""


class OfFeatures(NamedTuple):
    """function: of two hidden states; projects: whether it takes equal widths, so that a projection stands between; masked: whether it takes the mask of texts."""

    function: Callable[..., torch.Tensor]
    projects: bool
    masked: bool = False


FEATURES: dict[str, OfFeatures] = {
    "features-mse": OfFeatures(of_features.mean_squared, True),
    "features-cosine": OfFeatures(of_features.cosine, True),
    "contrastive": OfFeatures(of_features.contrastive, True),
    "attention-transfer": OfFeatures(of_features.attention_transfer, False),
    "relational-distance": OfFeatures(of_features.relational_distance, False),
    "relational-angle": OfFeatures(of_features.relational_angle, False),
    "similarity": OfFeatures(of_features.similarity_preserving, False),
    "token-relations": OfFeatures(of_features.token_relations, projects=False, masked=True),
}
"""Of a hidden state and the teacher's."""


def soft_labels(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    *,
    task: Task,
    temperature: float = 4.0,
) -> torch.Tensor:
    """The task's own loss of its teacher's outputs. student, teacher: outputs [N, ...]; labels: not read; task: whose; temperature: of those that
    have one."""
    return task.soft_label_loss(student, teacher, temperature)


def hard_labels(
    student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, *, task: Task
) -> torch.Tensor:
    """The task's own loss of labels. student: outputs [N, ...]; teacher: not read; labels: as the task has them; task: whose."""
    return task.hard_label_loss(student, labels)


OF_A_TASK: dict[str, OfLogits] = {"soft-labels": soft_labels, "hard-labels": hard_labels}
"""Of the outputs of any task."""

NAMED = {**OF_A_TASK, **LOGITS, **{name: row.function for name, row in FEATURES.items()}}
DIVERGENCES = ("soft-labels", "dkd", "dist", "wsld")
"""That are nothing where the student says what the teacher does."""

NOT_SET = ("task", "mask")  # of a function's arguments: they come from elsewhere


@dataclass(frozen=True)
class OfOutputs:
    """A term: weight · function(student's outputs, the teacher's, labels, arguments)."""

    name: str
    function: OfLogits
    weight: Scheduled
    arguments: Mapping[str, Scheduled]

    def bind(self, student: nn.Module, example: Sequence[torch.Tensor]) -> "Bound":
        return Bound(self)


class Bound(nn.Module):
    def __init__(self, term: OfOutputs) -> None:
        super().__init__()
        self._term = term

    def forward(self, logits: torch.Tensor, batch: Batch) -> list[tuple[str, torch.Tensor]]:
        assert batch.soft_labels is not None
        term, arguments = self._term, all_at(self._term.arguments, batch.done)
        value = term.function(logits, batch.soft_labels, batch.labels, **arguments)
        return [(term.name, at(term.weight, batch.done) * value)]


def named(
    settings: Mapping[str, Any], task: Task, teacher: Callable[[], nn.Module]
) -> list[OfOutputs | HiddenStates]:
    """The terms of `distill.terms` and `distill.hidden`; those of hidden states share the teacher's forward pass.

    settings: the recipe's `distill`; task: what labels and outputs mean; teacher: loads the network, where a hidden state is asked for. Raises
    RecipeError with everything that cannot be.
    """
    asked = settings.get("terms", ())
    problems = [f"terms[{place}]: {said}" for place, one in enumerate(asked) for said in _wrong(one, task)]
    if problems:
        raise RecipeError("distill", problems)
    found: list[OfOutputs | HiddenStates] = []
    hints = []
    plain = {"loss": "features-mse", "arguments": {}, "projection": "linear"}
    for one in (*asked, *(plain | hint for hint in settings["hidden"])):
        name, weight, arguments = one["loss"], one["weight"], one["arguments"]
        if name in FEATURES:
            function, projects, masked = FEATURES[name]
            how = function, projects, one["projection"], masked
            hints.append(Hint(one["student"], one["teacher"], weight, *how, name, arguments))
        else:
            function = partial(NAMED[name], task=task) if name in OF_A_TASK else NAMED[name]
            found.append(OfOutputs(name, function, weight, arguments))
    return [*found, *([HiddenStates(hints, teacher())] if hints else [])]


def _wrong(one: Mapping[str, Any], task: Task) -> list[str]:
    """What is wrong with a term, in words."""
    name = one["loss"]
    if name not in NAMED:
        return [f"loss: there is no {name!r}{nearest(name, NAMED)}; there are {', '.join(NAMED)}"]
    found = []
    known = [
        key
        for key, parameter in inspect.signature(NAMED[name]).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and key not in NOT_SET
    ]
    if not any(at(one["weight"], done) > 0 for done in (0, 1)):
        found.append(f"{name}: its weight is never above 0: take the term out")
    for key, given in one["arguments"].items():
        if key not in known:
            found.append(
                f"{name} has no argument {key!r}{nearest(key, known)}; it has {', '.join(known) or 'none'}"
            )
        elif not all(value > 0 for value in (at(given, 0), at(given, 1))):
            found.append(f"{name}: {key} is {given!r}, and it is a number above 0")
    if name in LOGITS and task.name != DEFAULT:
        found.append(
            f"{name} is of a classifier's logits, and the task is {task.name}: take soft-labels, which is every task's"
        )
    if name == "hard-labels" and not task.label_axes:
        found.append(f"hard-labels: nothing is labelled for the task {task.name}: take it out")
    layers = [key for key in ("student", "teacher") if one[key] is not None]
    if name in FEATURES and len(layers) < 2:
        found.append(f"{name} is of hidden states: name the module of each network, student and teacher")
    if name not in FEATURES and layers:
        found.append(
            f"{name} is of outputs, and {' and '.join(layers)} would name hidden states: take that out"
        )
    return found
