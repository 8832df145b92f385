"""One or several numbers for each example."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError
from edgecomp.tasks.base import Labels, Outputs, Spread, misfit_of_columns, spread_of_numbers

if TYPE_CHECKING:
    import torch

ALIKE = 0.05  # of an output's standard deviation, within which two answers are the same


class Regression:
    """Values [N, targets]; labels float32 [N, targets], in the labels' own unit."""

    name = "regression"
    headline = "r2_pct"
    score = "r2_pct"
    label_axes: tuple[int, ...] = (0, 1)
    of_each: Literal["example", "token", "pixel"] = "example"
    are_numbers = True

    def encode(
        self, found: Mapping[str, Sequence[object]], names: tuple[str, ...] | None, where: str
    ) -> tuple[dict[str, Labels], tuple[str, ...]]:
        """Labels are numbers, or rows of them. Raises DataError."""
        encoded = {split: _numbers(rows, f"{where}, {split} split") for split, rows in found.items()}
        widths = {array.shape[1] for array in encoded.values()}
        if len(widths) > 1:
            raise DataError(
                f"{where}: the splits have {' and '.join(map(str, sorted(widths)))} numbers an example: they must be of one data set"
            )
        width = widths.pop()
        names = (
            names
            if names is not None and len(names) == width
            else tuple(f"target {place}" if width > 1 else "target" for place in range(width))
        )
        for place, name in enumerate(names):
            if encoded["train"][:, place].std() == 0:
                raise DataError(
                    f"{where}: {name} is {encoded['train'][0, place]:g} in every training example: there is nothing to learn"
                )
        return dict(encoded), names

    def width(self, names: Sequence[str]) -> int | None:
        return len(names)

    def strata(self, labels: Labels) -> npt.NDArray[np.int64] | None:
        return None

    def answers(self, outputs: Outputs) -> npt.NDArray[Any]:
        return outputs

    def misfit(self, outputs: Outputs, labels: Labels) -> str:
        return misfit_of_columns(outputs, labels)

    def agreeing(self, outputs: Outputs, reference: Outputs) -> npt.NDArray[np.bool_]:
        """Every number within a twentieth of the reference's standard deviation."""
        most = ALIKE * reference.std(axis=0, dtype=np.float64)
        return np.asarray((np.abs(outputs - reference) <= most).all(axis=1))

    def spread(self, reference: Outputs) -> Spread:
        """Of the first number, in sixteen equal parts of its range."""
        return spread_of_numbers(reference[:, 0])

    def validation_score(self, outputs: Outputs, labels: Labels) -> float:
        """R², in per cent, mean over targets; under 0 where the labels' mean would do better."""
        error = ((outputs - labels).astype(np.float64) ** 2).mean(axis=0)
        variance = labels.astype(np.float64).var(axis=0)
        return float(100 * (1 - error / np.maximum(variance, np.finfo(np.float64).tiny)).mean())

    def hard_label_loss(self, outputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """Huber's loss of the error over the batch's spread (Huber 1964): outliers do not lead."""
        return scaled_huber(outputs, labels.to(outputs.dtype))

    def soft_label_loss(
        self, outputs: "torch.Tensor", teacher: "torch.Tensor", temperature: float
    ) -> "torch.Tensor":
        """The same against the teacher's numbers; a temperature means nothing here."""
        return scaled_huber(outputs, teacher)


def scaled_huber(outputs: "torch.Tensor", wanted: "torch.Tensor") -> "torch.Tensor":
    """Huber's loss with δ = 1 of (outputs - wanted) over the standard deviation of `wanted` in the batch, by target."""
    from torch.nn.functional import huber_loss

    scale = wanted.std(dim=0, keepdim=True, unbiased=False).clamp_min(1e-6)
    return huber_loss(outputs / scale, wanted / scale)


def _numbers(rows: Sequence[object], where: str) -> npt.NDArray[np.float32]:
    """[N, targets]. Raises DataError where a label is no finite number, or rows differ in length."""
    table: list[list[float]] = []
    for place, row in enumerate(rows):
        values = list(row) if isinstance(row, list | tuple | np.ndarray) else [row]
        table.append([_number(one, f"{where}: the label of example {place} (from 0)") for one in values])
        if len(values) != len(table[0]):
            raise DataError(
                f"{where}: example {place} (from 0) has {len(values)} numbers, and example 0 has {len(table[0])}"
            )
    return np.asarray(table, np.float32)


def _number(value: object, what: str) -> float:
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number):
            return number
    raise DataError(f"{what} is {value!r}, and task regression takes finite numbers: label it or take it out")
