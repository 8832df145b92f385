"""What a network's outputs are called, and in which unit its numbers are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgecomp.tasks import Labels, Meant, SeveralOutputs
from edgecomp.tasks.several import Output

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Head:
    """What a network answers: the task, the names of its classes, labels or targets, and of numbers that are learnt in units of their
    deviation (`(y - mean) / std`), mean and std by target."""

    task: Meant
    names: tuple[str, ...]
    target_mean: tuple[float, ...] = ()
    target_std: tuple[float, ...] = ()

    def standardised(self, labels: Labels) -> Labels:
        """`labels` in units of their deviation, float32 of the same shape, where they are numbers that are
        learnt so; else as they are."""
        if not self.target_std:
            return labels
        return np.asarray((labels - np.asarray(self.target_mean)) / np.asarray(self.target_std), np.float32)

    @property
    def more(self) -> dict[str, Any]:
        """As fields of a preprocessing."""
        return {"task": self.task, "target_mean": self.target_mean, "target_std": self.target_std}


class OfNumbers(Protocol):
    """What answers numbers in units of their deviation from the mean, by target; with neither, as they are."""

    @property
    def target_mean(self) -> tuple[float, ...]: ...

    @property
    def target_std(self) -> tuple[float, ...]: ...


def in_own_unit(values: Any, of: OfNumbers) -> Any:
    """Numbers that a network answers, or is held against, in the data's unit. values: [N, targets]; of: whose they are."""
    if not of.target_std:
        return values
    return np.asarray(values * np.asarray(of.target_std) + np.asarray(of.target_mean), np.float32)


def of_output(one: Output, of: OfNumbers) -> Head:
    """What `one` of several outputs answers. of: the mean and deviation by label of all of them."""
    if not (one.task.are_numbers and of.target_std):
        return Head(one.task.name, one.names)
    return Head(one.task.name, one.names, of.target_mean[one.labels], of.target_std[one.labels])


def outputs_in_own_unit(
    several: SeveralOutputs, answers: Mapping[str, Any], labels: Labels | None, of: OfNumbers
) -> tuple[dict[str, Array], dict[str, Labels] | None]:
    """By output, what a network answers and what it is held against, in the data's unit.

    several: the outputs; answers: by name, or, of a file that has lost the names, in their order; labels: of all outputs beside each other; of: the mean and
    deviation by label.
    """
    named = (
        answers
        if set(answers) >= set(several.widths)
        else dict(zip(several.widths, answers.values(), strict=True))
    )
    heads = {one.name: of_output(one, of) for one in several.outputs}
    given = {name: in_own_unit(named[name], head) for name, head in heads.items()}
    if labels is None:
        return given, None
    own = {one.name: one.own_labels(labels) for one in several.outputs}
    return given, {name: in_own_unit(own[name], head) for name, head in heads.items()}
