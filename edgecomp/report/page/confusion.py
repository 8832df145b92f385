"""Who takes which class for which: the confusion matrices of teacher and student, or their commonest confusions where classes are many."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgecomp.arms import TEACHER
from edgecomp.metrics.estimators import scores
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import NotMeasured

MOST_CLASSES = 20
"""Of a matrix that is shown; of more classes the commonest confusions are."""
WORST = 15
"""Confusions that are shown then."""


class Matrix(NamedTuple):
    """counts: examples of the class of the row that are answered with the class of the column, int64 [classes, classes]."""

    arm: str
    counts: npt.NDArray[np.int64]


class MatrixCell(NamedTuple):
    """examples: how many; share: of its row's, from 0 to 1; is_right: whether the answer is the class."""

    examples: int
    share: float
    is_right: bool


class Confusion(NamedTuple):
    """Of one target. names: of the classes; matrices: of the teacher and of the student."""

    names: tuple[str, ...]
    matrices: tuple[Matrix, ...]

    @property
    def is_small(self) -> bool:
        """Whether the matrices have room on a page."""
        return len(self.names) <= MOST_CLASSES

    def rows(self, of: Matrix) -> list[tuple[str, list[MatrixCell]]]:
        """The rows of one of the matrices, `of`, as a table has them: the class, and its cells."""
        found = []
        for row, (name, counts) in enumerate(zip(self.names, of.counts.tolist(), strict=True)):
            total = max(1, sum(counts))
            cells = [MatrixCell(count, count / total, row == place) for place, count in enumerate(counts)]
            found.append((name, cells))
        return found

    def worst(self, most: int = WORST) -> list[tuple[str, str, tuple[int, ...]]]:
        """The commonest confusions of all models together, `most` of them: class, answer, and how many examples of each model."""
        wrong = np.stack([one.counts for one in self.matrices])
        wrong[:, np.arange(len(self.names)), np.arange(len(self.names))] = 0
        total = wrong.sum(axis=0)
        order = np.argsort(-total, axis=None, kind="stable")[:most]
        cells = [divmod(int(place), len(self.names)) for place in order if total.flat[place]]
        return [
            (self.names[row], self.names[column], tuple(int(one[row, column]) for one in wrong))
            for row, column in cells
        ]


def confusion(measured: Measurements) -> Confusion | None:
    """The confusions of teacher and judged student; None where the task has no one class an example, or there are no answers.

    measured: of one target.
    """
    if measured.task.label_axes != (0,) or measured.task.are_numbers:
        return None
    try:
        answered = {arm: scores.answers(measured, arm) for arm in (TEACHER.name, measured.student)}
    except NotMeasured:
        return None
    labels = measured.labels
    if any(given.shape != labels.shape for given in answered.values()) or not np.issubdtype(
        labels.dtype, np.integer
    ):
        return None
    count = 1 + max(int(one.max()) for one in (labels, *answered.values()))
    count = max(count, len(measured.facts.get("classes", ())))
    matrices = []
    for arm, given in answered.items():
        counts = np.zeros((count, count), np.int64)
        np.add.at(counts, (labels, given), 1)
        matrices.append(Matrix(arm, counts))
    return Confusion(tuple(scores.class_name(measured, place) for place in range(count)), tuple(matrices))
