"""Scores of answers that are several labels or numbers: of one model, or of two on the same examples.

Estimators are (measured, arm_name, confidence) → Figure; comparators are (measured, arm_name, reference, kind, confidence) → Figure,
with kind `points` (a difference) or `multiple`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecomp.metrics.estimators.common import of_bounds
from edgecomp.metrics.estimators.scores import SEED, answers
from edgecomp.metrics.measurements import Measurements
from edgecomp.stats import resampling
from edgecomp.stats.figure import Figure
from edgecomp.stats.intervals import Values


@dataclass(frozen=True)
class Score:
    """A score by sums over examples.

    parts: (measured, arm_name) → [examples, parts]; value: sums [draws, parts] → [draws]; worst, best: parts → [parts], of an example that
    is answered as badly, and as well, as any. dimension: of the figure, which is `factor` times the value; in_units: the value is in
    units of the labels' deviation, and is told in the labels' own.
    """

    parts: Callable[[Measurements, str], Values]
    value: Callable[[Values], Values]
    worst: Callable[[Values], Values]
    best: Callable[[Values], Values]
    dimension: str = "percent"
    factor: float = 100.0
    in_units: bool = False

    def scale(self, measured: Measurements) -> float:
        """What the value is multiplied by to be the figure. measured: tells the deviation of the labels."""
        return self.factor * (
            float(np.mean(measured.facts.get("target_std", [1.0]))) if self.in_units else 1.0
        )

    def estimator(self, measured: Measurements, arm_name: str, confidence: float) -> Figure:
        """The score of an arm, with bounds by resampling. measured: of one target; arm_name: which arm;
        confidence: of each bound. Raises NotMeasured, Impossible, NotFinite."""
        parts = self.parts(measured, arm_name)
        bounds = resampling.bounds(
            parts, self.value, self.worst(parts), self.best(parts), confidence=confidence, seed=SEED
        )
        return of_bounds(bounds, self.scale(measured), self.dimension, len(parts), confidence)

    def comparator(
        self, measured: Measurements, arm_name: str, reference: str, kind: str, confidence: float
    ) -> Figure:
        """The score of an arm held against another's, example by example, with bounds by resampling.
        measured: of one target; arm_name, reference: the arm and the other; kind: `points` or `multiple`;
        confidence: of each bound. Raises NotMeasured, Impossible, NotFinite."""
        ours, theirs = (self.parts(measured, name) for name in (arm_name, reference))
        both = np.vstack([ours, theirs])
        compare: Any = np.subtract if kind == "points" else np.divide
        bounds = resampling.paired_bounds(
            ours,
            theirs,
            self.value,
            compare,
            self.worst(both),
            self.best(both),
            confidence=confidence,
            seed=SEED,
        )
        return of_bounds(bounds, self.factor if kind == "points" else 1, kind, len(ours), confidence)


def of_answers(parts: Callable[[Any, Any], Values]) -> Callable[[Measurements, str], Values]:
    """`Score.parts` by a function (answers, labels) → [examples, parts]."""
    return lambda measured, arm_name: parts(answers(measured, arm_name), measured.labels)


@of_answers
def _f1_parts(answers: Any, labels: Any) -> Values:
    """Twice what is right, and what is given and wanted, by label: [examples, 2 · labels]."""
    right, total = 2.0 * (answers & labels), (answers + labels).astype(np.float64)
    return np.concatenate([right, total], axis=1)


def halves(sums: Values) -> tuple[Values, Values]:
    """The first and the second half of `sums`, [..., 2 × labels], along the last axis: each [..., labels]."""
    width = sums.shape[-1] // 2
    return sums[..., :width], sums[..., width:]


def micro(sums: Values) -> Values:
    """Of `sums`, [..., 2 × labels], what is right of all and then all there is, the share over all labels
    together, [...]; 0 where there is nothing."""
    right, total = (one.sum(axis=-1) for one in halves(sums))
    return np.divide(right, total, out=np.zeros_like(right), where=total > 0)  # type: ignore[no-any-return]  # numpy's stubs


def _macro(sums: Values) -> Values:
    right, total = halves(sums)
    return np.divide(right, total, out=np.zeros_like(right), where=total > 0).mean(axis=-1)  # type: ignore[no-any-return]  # numpy's stubs


def all_wrong(parts: Values) -> Values:
    """As many labels as an example has on average, and none of them right: [parts], of `parts` [examples,
    parts]."""
    _, total = halves(parts.mean(axis=0))
    return np.concatenate([np.zeros_like(total), total])


def all_right(parts: Values) -> Values:
    """As many labels as an example has on average, and all of them right: [parts], of `parts` [examples,
    parts]."""
    _, total = halves(parts.mean(axis=0))
    return np.concatenate([total, total])


@of_answers
def _error_parts(answers: Any, labels: Any) -> Values:
    """Squared and absolute errors, labels, their squares, and 1: [examples, 4 · targets + 1]."""
    error, wanted = (answers - labels).astype(np.float64), labels.astype(np.float64)
    columns = (error**2, np.abs(error), wanted, wanted**2, np.ones((len(wanted), 1)))
    return np.concatenate(columns, axis=1)


def _quarters(sums: Values) -> tuple[Values, Values, Values, Values, Values]:
    width = (sums.shape[-1] - 1) // 4
    squared, absolute, labels, squares = (
        sums[..., place * width : (place + 1) * width] for place in range(4)
    )
    return squared, absolute, labels, squares, sums[..., -1:]


def _r2(sums: Values) -> Values:
    squared, _, labels, squares, count = _quarters(sums)
    variance = squares / count - (labels / count) ** 2
    return (1 - squared / count / np.maximum(variance, np.finfo(np.float64).tiny)).mean(axis=-1)  # type: ignore[no-any-return]  # numpy's stubs


def _mae(sums: Values) -> Values:
    _, absolute, _, _, count = _quarters(sums)
    return (absolute / count).mean(axis=-1)  # type: ignore[no-any-return]  # numpy's stubs


def _rmse(sums: Values) -> Values:
    squared, _, _, _, count = _quarters(sums)
    return np.sqrt(squared / count).mean(axis=-1)  # type: ignore[no-any-return]  # numpy's stubs


def _furthest(parts: Values) -> Values:
    """An example of an average label, with twice the mean error."""
    squared, absolute, labels, squares, one = _quarters(parts)
    return np.concatenate(
        [
            2 * squared.mean(axis=0),
            2 * absolute.mean(axis=0),
            labels.mean(axis=0),
            squares.mean(axis=0),
            one[0],
        ]
    )


def _nearest(parts: Values) -> Values:
    """An example of an average label, without an error."""
    squared, absolute, labels, squares, one = _quarters(parts)
    return np.concatenate(
        [0 * squared[0], 0 * absolute[0], labels.mean(axis=0), squares.mean(axis=0), one[0]]
    )


_MICRO = Score(_f1_parts, micro, all_wrong, all_right)
_MACRO = Score(_f1_parts, _macro, all_wrong, all_right)
_R2 = Score(_error_parts, _r2, _furthest, _nearest)
_MAE = Score(_error_parts, _mae, _furthest, _nearest, "label", 1.0, in_units=True)
_RMSE = Score(_error_parts, _rmse, _furthest, _nearest, "label", 1.0, in_units=True)

micro_f1, micro_f1_against = _MICRO.estimator, _MICRO.comparator
macro_f1, macro_f1_against = _MACRO.estimator, _MACRO.comparator
r2, r2_against = _R2.estimator, _R2.comparator
mae, mae_against = _MAE.estimator, _MAE.comparator
rmse, rmse_against = _RMSE.estimator, _RMSE.comparator
