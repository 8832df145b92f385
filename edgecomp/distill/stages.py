"""Stages of fp32 distillation: which terms are learnt, and which modules of the student stand still, for how many epochs."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import accumulate
from typing import Any

from torch import nn

from edgecomp.distill.losses.registry import Learner, numbered
from edgecomp.errors import nearest
from edgecomp.training.schedules import at


@dataclass(frozen=True)
class Stage:
    """epochs: how long; without: the terms that are not learnt, by the names that a history has; frozen: patterns of module paths of the
    student, `*` for any characters: neither their weights nor their batch statistics change."""

    epochs: int
    without: frozenset[str] = frozenset()
    frozen: tuple[str, ...] = ()


def of_recipe(settings: Mapping[str, Any]) -> list[Stage]:
    """The stages of `settings`, a recipe's `distill`."""
    known = labels(settings)
    return [
        Stage(
            one["epochs"],
            frozenset(known) - set(_chosen(one["terms"], known)) if one["terms"] else frozenset(),
            tuple(one["frozen"]),
        )
        for one in settings.get("stages", ())
    ]


def labels(settings: Mapping[str, Any]) -> list[str]:
    """What a history calls each term of `settings`, a recipe's `distill`: those of `terms` in their order, then those of `hidden`."""
    asked = [
        *settings.get("terms", ()),
        *({"loss": "features-mse", **hint} for hint in settings.get("hidden", ())),
    ]
    own = [
        one["loss"] if one.get("student") is None else f"{one['loss']} of {one['student']}" for one in asked
    ]
    return numbered(own if settings.get("terms") else ["soft-labels", "hard-labels", *own])


def _chosen(asked: Sequence[int | str], known: Sequence[str]) -> Iterator[str]:
    """The names of the terms that are `asked` for: by their place, by their name, or by their loss, of which there may be several."""
    for one in asked:
        if isinstance(one, int):
            yield from known[one : one + 1] if one >= 0 else ()
        else:
            yield from (name for name in known if _is_called(name, one))


def _is_called(name: str, asked: str) -> bool:
    return asked in (name, name.partition(" of ")[0], name.partition(" (")[0])


def problems(settings: Mapping[str, Any], student: nn.Module) -> list[str]:
    """What is wrong with the stages of `settings`, a recipe's `distill`, for that `student`, in words."""
    found, known = [], labels(settings)
    modules = [name for name, _ in student.named_modules() if name]
    begun = 0
    for place, (one, stage) in enumerate(zip(settings.get("stages", ()), of_recipe(settings), strict=True)):
        where = f"stages[{place}]"
        found += [
            f"{where}: terms: there is no {asked!r}{nearest(str(asked), known)}; there are {_listed(known)}"
            for asked in one["terms"]
            if not list(_chosen([asked], known))
        ]
        found += [
            f"{where}: frozen: no module is called {pattern!r}{nearest(pattern, modules)}; there are {', '.join(modules)}"
            for pattern in stage.frozen
            if not any(fnmatchcase(name, pattern) for name in modules)
        ]
        if not any(_learns(student, stage.frozen)):
            found.append(
                f"{where}: frozen: nothing of the student is left to learn: leave something out of {list(stage.frozen)}"
            )
        middle = (begun + stage.epochs / 2) / max(1, settings["epochs"])
        begun += stage.epochs
        left = {
            name: weight
            for name, weight in _weights(settings, known, middle).items()
            if name not in stage.without
        }
        if left and not sum(left.values()):
            found.append(
                f"{where}: the weights of its terms sum to nothing half-way: {', '.join(sorted(left))}"
            )
    return found


def _listed(known: Sequence[str]) -> str:
    return ", ".join(f"{place}: {name}" for place, name in enumerate(known))


def _weights(settings: Mapping[str, Any], known: Sequence[str], done: float) -> dict[str, float]:
    """Of each term, by its name, when a share of training, `done`, is over."""
    asked = [*settings.get("terms", ()), *settings.get("hidden", ())]
    hard = settings.get("hard_label_weight", 0.0)
    given = [at(one["weight"], done) for one in asked]
    return dict(zip(known, given if settings.get("terms") else [1 - hard, hard, *given], strict=True))


def _learns(student: nn.Module, frozen: Sequence[str]) -> Iterator[bool]:
    """Of each parameter of `student`, whether it learns where the modules that are called so are `frozen`."""
    still = {
        id(parameter)
        for name, module in student.named_modules()
        if any(fnmatchcase(name, pattern) for pattern in frozen) and name
        for parameter in module.parameters()
    }
    return (id(parameter) not in still for parameter in student.parameters() if parameter.requires_grad)


def entering(stages: Sequence[Stage], learner: Learner) -> Callable[[int], None]:
    """What is called before each epoch, from 0, so that `learner` learns as the one of `stages` says that it is of; the last goes on."""
    student = learner.student
    free = [parameter for parameter in student.parameters() if parameter.requires_grad]

    def enter(epoch: int) -> None:
        if not stages:
            return
        place = place_of(stages, epoch)
        stage = stages[place]
        learner.without, learner.stage = stage.without, place + 1
        for parameter in free:
            parameter.requires_grad_(True)
        for name, module in student.named_modules():
            if name and any(fnmatchcase(name, pattern) for pattern in stage.frozen):
                module.requires_grad_(False)
                for part in module.modules():
                    if isinstance(part, nn.modules.batchnorm._BatchNorm):
                        part.eval()

    return enter


def place_of(stages: Sequence[Stage], epoch: int) -> int:
    """The place, from 0, of the one of `stages` that an `epoch`, from 0, is of; the last, of epochs after it."""
    ends = list(accumulate(stage.epochs for stage in stages))
    return min(bisect_right(ends, epoch), len(stages) - 1)
