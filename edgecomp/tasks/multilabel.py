"""Any of several labels for each example."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError
from edgecomp.tasks.base import Labels, Outputs, Spread, bernoulli_divergence, misfit_of_columns

if TYPE_CHECKING:
    import torch


class Multilabel:
    """Logits [N, labels], positive where a label is given; labels int64 [N, labels], 0 or 1."""

    name = "multilabel"
    headline = "micro_f1_pct"
    score = "micro_f1_pct"
    label_axes: tuple[int, ...] = (0, 1)
    of_each: Literal["example", "token", "pixel"] = "example"
    are_numbers = False

    def encode(
        self, found: Mapping[str, Sequence[object]], names: tuple[str, ...] | None, where: str
    ) -> tuple[dict[str, Labels], tuple[str, ...]]:
        """Labels are rows of 0 and 1 (or of false and true), or lists of names. Raises DataError."""
        if all(
            isinstance(row, list | tuple) and all(isinstance(one, str) for one in row)
            for rows in found.values()
            for row in rows
        ):
            known = tuple(
                sorted({str(one) for rows in found.values() for row in rows for one in _items(row)})
            )
            found = {
                split: [[int(name in _items(row)) for name in known] for row in rows]
                for split, rows in found.items()
            }
            names = known
        encoded = {
            split: as_table(rows, f"{where}, {split} split", self.name) for split, rows in found.items()
        }
        widths = {array.shape[1] for array in encoded.values()}
        if len(widths) > 1:
            raise DataError(
                f"{where}: the splits have {' and '.join(map(str, sorted(widths)))} labels: they must be of one data set"
            )
        names = names or tuple(f"label {place}" for place in range(widths.pop()))
        for place, name in enumerate(names):
            if not 0 < encoded["train"][:, place].mean() < 1:
                always = "every" if encoded["train"][:, place].all() else "no"
                raise DataError(
                    f"{where}: {always} training example has the label {name!r}: nothing can be learnt of it; leave it out"
                )
        return dict(encoded), names

    def width(self, names: Sequence[str]) -> int | None:
        return len(names)

    def strata(self, labels: Labels) -> npt.NDArray[np.int64] | None:
        return None

    def answers(self, outputs: Outputs) -> npt.NDArray[Any]:
        return np.asarray(outputs > 0, np.int64)

    def misfit(self, outputs: Outputs, labels: Labels) -> str:
        if labels.dtype.kind != "i" or not ((labels == 0) | (labels == 1)).all():
            return "labels of task multilabel are 0 or 1, one of each that an example may have"
        return misfit_of_columns(outputs, labels)

    def agreeing(self, outputs: Outputs, reference: Outputs) -> npt.NDArray[np.bool_]:
        """Every label alike."""
        return np.asarray((self.answers(outputs) == self.answers(reference)).all(axis=1))

    def spread(self, reference: Outputs) -> Spread:
        kinds, counts = np.unique(self.answers(reference), axis=0, return_counts=True)
        return Spread(len(kinds), 2 ** min(reference.shape[1], 16), float(counts.max() / counts.sum()))

    def validation_score(self, outputs: Outputs, labels: Labels) -> float:
        """Micro F1; 0 where no label is given and none is answered."""
        given, wanted = self.answers(outputs) == 1, labels == 1
        total = given.sum() + wanted.sum()
        return float(200 * (given & wanted).sum() / total) if total else 0.0

    def hard_label_loss(self, outputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """Binary cross-entropy, summed over labels, mean over the batch."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        return (
            binary_cross_entropy_with_logits(outputs, labels.to(outputs.dtype), reduction="none")
            .sum(dim=1)
            .mean()
        )

    def soft_label_loss(
        self, outputs: "torch.Tensor", teacher: "torch.Tensor", temperature: float
    ) -> "torch.Tensor":
        """T²·KL of Bernoulli distributions at temperature T, summed over labels."""
        return bernoulli_divergence(outputs, teacher, temperature)


def _items(row: object) -> tuple[str, ...]:
    return tuple(map(str, row)) if isinstance(row, list | tuple) else ()


def as_table(rows: Sequence[object], where: str, task: str) -> npt.NDArray[np.int64]:
    """The rows, of 0 and 1 each, as [N, labels]; where, task: as messages name the data and the task. Raises
    DataError where a row is of another length, or holds something else."""
    width, or_names = None, ", or lists of names" if task == Multilabel.name else ""
    for place, row in enumerate(rows):
        values = list(row) if isinstance(row, list | tuple | np.ndarray) else [row]
        width = len(values) if width is None else width
        if len(values) != width:
            raise DataError(f"{where}: example {place} (from 0) has {len(values)} labels, and example 0 has {width}: each has the same "
                            f"labels, 0 or 1{or_names}")  # fmt: skip
        for one in values:
            if one not in (0, 1):
                raise DataError(
                    f"{where}: a label of example {place} (from 0) is {one!r}, and those of task {task} are 0 or 1{or_names}"
                )
    return np.asarray(
        [list(row) if isinstance(row, list | tuple | np.ndarray) else [row] for row in rows], np.int64
    )
