"""Terms by name: `distill.terms` of a recipe, and `distill.hidden`, which are `features-mse`. To add one: a function in a file of this folder, and a row of LOGITS or FEATURES."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from edgecomp.distill.losses import adaptive, of_features, of_logits
from edgecomp.distill.losses.attention import attention_maps
from edgecomp.distill.losses.crd import Memory
from edgecomp.distill.losses.hidden_states import HiddenStates, Hint
from edgecomp.distill.losses.of_outputs import Noise, OfLogits, OfOutputs
from edgecomp.distill.losses.own.of_itself import OfItself
from edgecomp.distill.losses.soft_and_hard_labels import hard_labels, soft_labels
from edgecomp.errors import RecipeError, nearest
from edgecomp.tasks import DEFAULT, Task
from edgecomp.training.schedules import at

LOGITS: dict[str, OfLogits] = {
    "soft-cross-entropy": of_logits.soft_cross_entropy,
    "dkd": of_logits.decoupled_kd,
    "dist": of_logits.dist,
    "logits-mse": of_logits.logits_mse,
    "wsld": adaptive.weighted_soft_labels,
    "standardised-soft-labels": adaptive.standardised_soft_labels,
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
    "crd": OfFeatures(Memory.forward, False),
    "attention-maps": OfFeatures(attention_maps, True, masked=True),
    "token-relations": OfFeatures(of_features.token_relations, projects=False, masked=True),
}
"""Of a hidden state and the teacher's."""


OF_A_TASK: dict[str, OfLogits] = {"soft-labels": soft_labels, "hard-labels": hard_labels}
"""Of the outputs of any task."""

NAMED = {**OF_A_TASK, **LOGITS, **{name: row.function for name, row in FEATURES.items()}}
DIVERGENCES = ("soft-labels", "dkd", "dist", "wsld", "standardised-soft-labels")
"""That are nothing where the student says what the teacher does."""

TEACHER = "teacher"  # whose outputs a term is of, where nothing is said
NOT_SET = ("task", "mask", "weights", "token_weights")  # of a function's arguments: they come from elsewhere


def weighs_examples(name: str) -> bool:
    """Whether the loss of that `name` may count some examples more than others: one that compares them with each other cannot."""
    return "weights" in inspect.signature(NAMED[name]).parameters


def weighs(name: str, key: str) -> bool:
    """Whether the loss of that `name` takes notice of what `key` of a recipe's `distill`, `balance` or `keywords`, counts."""
    return weighs_examples(name) or (
        key == "keywords" and "token_weights" in inspect.signature(NAMED[name]).parameters
    )


def named(
    settings: Mapping[str, Any], task: Task, teacher: Callable[[], nn.Module]
) -> list[OfOutputs | OfItself | HiddenStates]:
    """The terms of `distill.terms` and `distill.hidden`; those of hidden states share the teacher's forward pass.

    settings: the recipe's `distill`; task: what labels and outputs mean; teacher: loads the network, where a hidden state is asked for. Raises
    RecipeError with everything that cannot be.
    """
    asked = settings.get("terms", ())
    problems = [f"terms[{place}]: {said}" for place, one in enumerate(asked) for said in _wrong(one, task)]
    if asked and all(one.get("of") == "snapshot" for one in asked):
        problems.append(
            "all terms are of a snapshot, and until the first is taken there is nothing to learn: add hard-labels, or soft-labels of the teacher"
        )
    weighing = [key for key in ("balance", "keywords") if settings.get(key)]
    known = [one["loss"] for one in asked if one["loss"] in NAMED]
    if deaf := [key for key in weighing if asked and not any(weighs(name, key) for name in known)]:
        able = ", ".join(name for name in NAMED if any(weighs(name, key) for key in deaf))
        problems.append(f"{' and '.join(deaf)}: no term counts examples one by one; those that do are {able}")
    if problems:
        raise RecipeError("distill", problems)
    found: list[OfOutputs | OfItself | HiddenStates] = []
    hints = []
    plain = {"loss": "features-mse", "arguments": {}, "projection": "linear"}
    for one in (*asked, *(plain | hint for hint in settings["hidden"])):
        name, weight, arguments = one["loss"], one["weight"], one["arguments"]
        if name in FEATURES:
            function, projects, masked = FEATURES[name]
            how = function, projects, one["projection"], masked
            heads = (arguments["heads"], arguments["teacher_heads"]) if function is attention_maps else None
            hints.append(Hint(one["student"], one["teacher"], weight, *how, name, arguments, heads))
        else:
            function = partial(NAMED[name], task=task) if name in OF_A_TASK else NAMED[name]
            noise = Noise(**one["noise"]) if one.get("noise") else None
            term = OfOutputs(name, function, weight, arguments, weighs_examples(name), noise)
            of = one.get("of", TEACHER)
            found.append(
                term if of == TEACHER else OfItself(term, of, one.get("every", 1), one.get("decay", 0.0))
            )
    return [*found, *([HiddenStates(hints, teacher())] if hints else [])]


def _wrong(one: Mapping[str, Any], task: Task) -> list[str]:
    """What is wrong with a term, in words."""
    name = one["loss"]
    if name not in NAMED:
        return [f"loss: there is no {name!r}{nearest(name, NAMED)}; there are {', '.join(NAMED)}"]
    found = []
    known = {
        key: parameter
        for key, parameter in inspect.signature(NAMED[name]).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and key not in NOT_SET
    }
    for key, parameter in known.items():
        if parameter.default is parameter.empty and key not in one["arguments"]:
            found.append(f"{name} needs its argument {key!r}")
    if not any(at(one["weight"], done) > 0 for done in (0, 1)):
        found.append(f"{name}: its weight is never above 0: take the term out")
    for key, given in one["arguments"].items():
        if key not in known:
            found.append(
                f"{name} has no argument {key!r}{nearest(key, known)}; it has {', '.join(known) or 'none'}"
            )
        elif not all(value > 0 for value in (at(given, 0), at(given, 1))):
            found.append(f"{name}: {key} is {given!r}, and it is a number above 0")
        elif known[key].annotation is int and not isinstance(given, int):
            found.append(f"{name}: {key} is {given!r}, and it is a whole number that stays")
    if name in LOGITS and task.name != DEFAULT:
        found.append(
            f"{name} is of a classifier's logits, and the task is {task.name}: take soft-labels, which is every task's"
        )
    if name == "hard-labels" and not task.label_axes:
        found.append(f"hard-labels: nothing is labelled for the task {task.name}: take it out")
    of_a_teacher = name not in FEATURES and name != "hard-labels"
    if not of_a_teacher and one.get("of", TEACHER) != TEACHER:
        found.append(
            f"{name}: of: {one['of']} is of terms of a teacher's outputs: soft-labels, dkd, dist, ..."
        )
    if not of_a_teacher and one.get("noise"):
        found.append(f"{name}: noise is of terms of a teacher's outputs: soft-labels, dkd, dist, ...")
    layers = [key for key in ("student", "teacher") if one[key] is not None]
    if name in FEATURES and len(layers) < 2:
        found.append(f"{name} is of hidden states: name the module of each network, student and teacher")
    if name not in FEATURES and layers:
        found.append(
            f"{name} is of outputs, and {' and '.join(layers)} would name hidden states: take that out"
        )
    return found
