"""Several outputs of one network, each with a task and a weight of its own.

Wherever one output goes, several go beside each other: flat, in the order of their names, [N, numbers of all]; labels alike, float32
[N, labels of all]. Names of classes, labels and targets are `OUTPUT: NAME`. So the order that a network, a file or a recipe has its
outputs in changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgecomp.tasks.base import Labels, Outputs, Spread, Task

if TYPE_CHECKING:
    import torch

OF = ": "  # between an output and what one of its numbers is called


@dataclass(frozen=True)
class Output:
    """One of several outputs. weight: of its loss; names: of its classes, labels or targets; columns: of all outputs beside each other, the
    places of its own numbers; labels: likewise, of its labels."""

    name: str
    task: Task
    weight: float
    names: tuple[str, ...]
    columns: slice
    labels: slice

    @property
    def width(self) -> int:
        return int(self.columns.stop - self.columns.start)

    def own(self, outputs: Any) -> Any:
        """Its own of all `outputs`, an array or tensor [N, numbers of all]."""
        return outputs[:, self.columns]

    def own_labels(self, labels: Any) -> Any:
        """Its own of all `labels`, an array or tensor [N, labels of all], as its task has them."""
        found = labels[:, self.labels]
        if not self.task.are_numbers and self.task.label_axes:
            found = found.astype(np.int64) if isinstance(found, np.ndarray) else found.long()
        return found[:, 0] if self.task.label_axes == (0,) else found


class SeveralOutputs:
    """Numbers [N, numbers of all outputs]; labels float32 [N, labels of all]."""

    name = "several outputs"
    headline = ""
    score = ""
    of_each: Literal["example", "token", "pixel"] = "example"
    are_numbers = False

    def __init__(
        self, meant: Mapping[str, Mapping[str, Any]], tasks: Mapping[str, Task], names: Sequence[str] = ()
    ) -> None:
        """meant: output → its `task`, `weight`, and where the task does not tell it the `width`; tasks: by name; names: of what the outputs'
        numbers are, `OUTPUT: NAME` each, as `encode` gives them: without them the outputs have no places yet."""
        self.meant, self.names = meant, tuple(names)
        self.outputs: tuple[Output, ...] = ()
        column = label = 0
        for name in sorted(meant):
            task, known = tasks[meant[name]["task"]], names_of(name, names)
            width = meant[name].get("width") or task.width(known) or 0
            labels = {(): 0, (0,): 1}.get(task.label_axes, len(known))
            self.outputs += (
                Output(
                    name,
                    task,
                    float(meant[name]["weight"]),
                    known,
                    slice(column, column + width),
                    slice(label, label + labels),
                ),
            )
            column, label = column + width, label + labels
        self._columns, self._labels = column, label
        self.label_axes: tuple[int, ...] = (1,) if any(one.task.label_axes for one in self.outputs) else ()

    @property
    def widths(self) -> dict[str, int]:
        """By output, how many numbers it is."""
        return {one.name: one.width for one in self.outputs}

    def of(self, name: str) -> Output:
        """The output called `name`. Raises KeyError."""
        return {one.name: one for one in self.outputs}[name]

    def encode(
        self, found: Mapping[str, Sequence[object]], names: tuple[str, ...] | None, where: str
    ) -> tuple[dict[str, Labels], tuple[str, ...]]:
        """found: a row an example, of a label of each output that has labels, in the outputs' order. Raises DataError."""
        told: list[str] = []
        parts: dict[str, list[Labels]] = {split: [] for split in found}
        place = 0
        for one in self.outputs:
            is_labelled = bool(one.task.label_axes)
            own = {
                split: [row[place] if is_labelled and isinstance(row, list | tuple) else None for row in rows]
                for split, rows in found.items()
            }
            encoded, called = one.task.encode(own, None, f"{where}, output {one.name}")
            told += [f"{one.name}{OF}{name}" for name in called]
            for split, labels in encoded.items():
                flat = labels.reshape(len(labels), -1) if labels.size else np.zeros((len(labels), 0))
                parts[split].append(flat.astype(np.float32))
            place += is_labelled
        return {split: np.concatenate(labels, axis=1) for split, labels in parts.items()}, tuple(told)

    def width(self, names: Sequence[str]) -> int | None:
        """Of all outputs, whose places are known: `names` are those that they were made with."""
        return self._columns

    def strata(self, labels: Labels) -> npt.NDArray[np.int64] | None:
        return None

    def answers(self, outputs: Outputs) -> npt.NDArray[Any]:
        return outputs

    def misfit(self, outputs: Outputs, labels: Labels) -> str:
        if outputs.ndim != 2 or outputs.shape[1] != self._columns:
            return f"outputs of shape {list(outputs.shape[1:])} an example are not {self._columns} numbers, {self.widths}"
        if labels.ndim != 2 or labels.shape[1] != self._labels:
            return f"labels of shape {list(labels.shape[1:])} an example are not {self._labels} of {', '.join(self.widths)}"
        whys = ((one, one.task.misfit(one.own(outputs), one.own_labels(labels))) for one in self.outputs)
        return next((f"output {one.name}: {why}" for one, why in whys if why), "")

    def agreeing(self, outputs: Outputs, reference: Outputs) -> npt.NDArray[np.bool_]:
        """Every output alike."""
        each = [one.task.agreeing(one.own(outputs), one.own(reference)) for one in self.outputs]
        return np.asarray(np.all(each, axis=0))

    def spread(self, reference: Outputs) -> Spread:
        """Of the output whose answers vary least."""
        return max(
            (one.task.spread(one.own(reference)) for one in self.outputs), key=lambda found: found.prevailing
        )

    def validation_score(self, outputs: Outputs, labels: Labels) -> float:
        """The outputs' own scores, mean by weight: of those that have labels, or, where none has, of all beside the teacher's outputs."""
        judged = [one for one in self.outputs if one.task.label_axes] or self.outputs
        scores = [
            one.task.validation_score(
                one.own(outputs), one.own_labels(labels) if self.label_axes else one.own(labels)
            )
            for one in judged
        ]
        return float(np.average(scores, weights=[one.weight for one in judged]))

    def hard_label_loss(self, outputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """The outputs' own losses, summed by weight."""
        losses = (
            one.weight * one.task.hard_label_loss(one.own(outputs), one.own_labels(labels))
            for one in self.outputs
        )
        return sum(losses, outputs.new_zeros(()))

    def soft_label_loss(
        self, outputs: "torch.Tensor", teacher: "torch.Tensor", temperature: float
    ) -> "torch.Tensor":
        """The outputs' own losses, summed by weight."""
        losses = (
            one.weight * one.task.soft_label_loss(one.own(outputs), one.own(teacher), temperature)
            for one in self.outputs
        )
        return sum(losses, outputs.new_zeros(()))


def names_of(output: str, names: Sequence[str]) -> tuple[str, ...]:
    """What the numbers of one `output` are called. names: those of all, `OUTPUT: NAME` each."""
    before = f"{output}{OF}"
    return tuple(name.removeprefix(before) for name in names if name.startswith(before))
