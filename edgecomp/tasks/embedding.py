"""A direction in space for each example: what is alike lies near (search, recognition, deduplication)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError
from edgecomp.tasks.base import Labels, Outputs, Spread, spread_of_numbers
from edgecomp.tasks.labels import encode_classes

if TYPE_CHECKING:
    import torch

ALIKE = 0.99  # the cosine with which two embeddings of an example are the same
FEWEST_PAIRS = 10  # that a rank correlation is of
TEMPERATURE = 0.1  # of the supervised contrastive loss


class Embedding:
    """Vectors [N, width], of which the direction counts; labels int64 [N]: examples of one class are to lie near each other."""

    name = "embedding"
    headline = "recall_at_1_pct"
    score = "recall_at_1_pct"
    label_axes: tuple[int, ...] = (0,)
    of_each: Literal["example", "token", "pixel"] = "example"
    are_numbers = False

    def encode(
        self, found: Mapping[str, Sequence[object]], names: tuple[str, ...] | None, where: str
    ) -> tuple[dict[str, Labels], tuple[str, ...]]:
        encoded, classes = encode_classes(found, names, where)
        return dict(encoded), classes

    def width(self, names: Sequence[str]) -> int | None:
        return None

    def strata(self, labels: Labels) -> npt.NDArray[np.int64] | None:
        return None

    def answers(self, outputs: Outputs) -> npt.NDArray[Any]:
        return outputs

    def misfit(self, outputs: Outputs, labels: Labels) -> str:
        if outputs.ndim == 2 and labels.ndim == 1 and labels.dtype.kind == "i":
            return ""
        return f"outputs of shape {list(outputs.shape[1:])} an example are no vectors, or the labels are not one class an example"

    def agreeing(self, outputs: Outputs, reference: Outputs) -> npt.NDArray[np.bool_]:
        """A cosine of at least 0.99."""
        return np.asarray((directions(outputs) * directions(reference)).sum(axis=1) >= ALIKE)

    def spread(self, reference: Outputs) -> Spread:
        """Of the number that varies most."""
        along = directions(reference)
        return spread_of_numbers(along[:, along.std(axis=0).argmax()])

    def validation_score(self, outputs: Outputs, labels: Labels) -> float:
        """Recall at 1: the share of examples whose nearest other is of their class."""
        return float(100 * found_among_nearest(outputs, labels, 1).mean())

    def hard_label_loss(self, outputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """The supervised contrastive loss, at temperature 0.1 (Khosla et al. 2020, arXiv:2004.11362), over examples that have another
        of their class in the batch."""
        import torch
        from torch.nn.functional import normalize

        vectors = normalize(outputs, dim=1)
        itself = torch.eye(len(vectors), dtype=torch.bool)
        near = (vectors @ vectors.T / TEMPERATURE).masked_fill(itself, -torch.inf)
        likely = near - near.logsumexp(dim=1, keepdim=True)
        alike = (labels[:, None] == labels[None, :]) & ~itself
        have = alike.any(dim=1)
        mean = likely.masked_fill(~alike, 0).sum(dim=1) / alike.sum(dim=1).clamp_min(1)
        return -(mean * have).sum() / have.sum().clamp_min(1)

    def soft_label_loss(
        self, outputs: "torch.Tensor", teacher: "torch.Tensor", temperature: float
    ) -> "torch.Tensor":
        """How far cosines between a batch's examples are from the teacher's (mean square; Tung & Mori 2019, arXiv:1907.09682), and where both
        are as wide, 1 - cosine of the two vectors of an example. A temperature means nothing here."""
        from torch.nn.functional import mse_loss, normalize

        ours, theirs = normalize(outputs, dim=1), normalize(teacher, dim=1)
        relational = mse_loss(ours @ ours.T, theirs @ theirs.T)
        return (
            relational + (1 - (ours * theirs).sum(dim=1)).mean() if ours.shape == theirs.shape else relational
        )


class Similarity(Embedding):
    """Vectors [N, width]; labels float32 [N, 2]: the number of the pair that an example is of, and how alike the two are, for both the same.

    Learnt of the teacher alone, whose examples a batch holds without their partners.
    """

    name = "similarity"
    headline = "spearman_pct"
    score = "spearman_pct"
    label_axes: tuple[int, ...] = (1,)

    def encode(
        self, found: Mapping[str, Sequence[object]], names: tuple[str, ...] | None, where: str
    ) -> tuple[dict[str, Labels], tuple[str, ...]]:
        """Labels are rows of a pair's name or number, and its score. Raises DataError."""
        known: dict[object, int] = {}
        encoded: dict[str, Labels] = {}
        for split, rows in found.items():
            of = f"{where}, {split} split"
            table = np.empty((len(rows), 2), np.float32)
            for place, row in enumerate(rows):
                if not isinstance(row, list | tuple | np.ndarray) or len(row) != 2 or not _is_number(row[1]):
                    raise DataError(f"{of}: the label of example {place} (from 0) is {row!r}: task similarity takes the pair that an example is of, "
                                    "and the pair's score, label: [pair, score]")  # fmt: skip
                table[place] = known.setdefault(row[0], len(known)), float(row[1])
            pairs, counts = np.unique(table[:, 0], return_counts=True)
            if (odd := np.flatnonzero(counts != 2)).size:
                name = next(name for name, number in known.items() if number == pairs[odd[0]])
                raise DataError(f"{of}: pair {name!r} has {counts[odd[0]]} examples, and a pair two, in one split ({len(odd)} of {len(pairs)} pairs "
                                "have not)")  # fmt: skip
            first, second, _ = pairs_of(table)
            if (differ := np.flatnonzero(table[first, 1] != table[second, 1])).size:
                scores = table[first[differ[0]], 1], table[second[differ[0]], 1]
                raise DataError(
                    f"{of}: the examples of a pair have the scores {scores[0]:g} and {scores[1]:g}: write the pair's with both"
                )
            encoded[split] = table
        if len(np.unique(encoded["train"][:, 1])) < 2:
            raise DataError(f"{where}: every pair has the same score: there is no order to find")
        return encoded, ()

    def misfit(self, outputs: Outputs, labels: Labels) -> str:
        if outputs.ndim != 2 or labels.ndim != 2 or labels.shape[1] != 2:
            return f"outputs of shape {list(outputs.shape[1:])} an example are no vectors, or the labels are not a pair and its score"
        if len(pairs_of(labels)[0]) < FEWEST_PAIRS:
            return f"there are {len(pairs_of(labels)[0])} whole pairs, and a rank correlation takes {FEWEST_PAIRS} at least"
        return ""

    def validation_score(self, outputs: Outputs, labels: Labels) -> float:
        """Spearman's rank correlation of the pairs' cosines with their scores."""
        from scipy.stats import spearmanr

        cosines, scores = cosines_and_scores(outputs, labels)
        return float(np.nan_to_num(100 * spearmanr(cosines, scores).statistic))

    def hard_label_loss(self, outputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """0: a pair's other example is in another batch."""
        return outputs.sum() * 0


def pairs_of(
    labels: Labels,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The places of both examples of every whole pair, [pairs] each, and the pairs' scores. labels: [N, 2], as Similarity has them."""
    order = np.argsort(labels[:, 0], kind="stable")
    number = labels[order, 0]
    starts = np.flatnonzero(number[:-1] == number[1:])
    return order[starts], order[starts + 1], labels[order[starts], 1].astype(np.float64)


def cosines_and_scores(
    outputs: Outputs, labels: Labels
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of every whole pair the cosine of its two vectors, and its score, [pairs] each. outputs: [N, width]; labels: [N, 2]."""
    first, second, scores = pairs_of(labels)
    along = directions(outputs)
    return np.asarray((along[first] * along[second]).sum(axis=1)), scores


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and bool(np.isfinite(float(value)))


def directions(outputs: Outputs) -> npt.NDArray[np.float64]:
    """The outputs, [N, width], as vectors of length 1; [N, width]."""
    wide = outputs.astype(np.float64)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12))


def found_among_nearest(outputs: Outputs, labels: Labels, most: int) -> npt.NDArray[np.bool_]:
    """Whether one of the `most` others that lie nearest to an example, by cosine, is of its class, [N].
    outputs: [N, width]; labels: classes, int64 [N]."""
    vectors = directions(outputs)
    near = vectors @ vectors.T
    np.fill_diagonal(near, -np.inf)
    first = np.argsort(-near, axis=1, kind="stable")[:, : min(most, len(near) - 1)]
    return np.asarray((labels[first] == labels[:, None]).any(axis=1))
