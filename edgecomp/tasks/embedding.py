"""A direction in space for each example: what is alike lies near (search, recognition, deduplication)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgecomp.tasks.base import Labels, Outputs, Spread, spread_of_numbers
from edgecomp.tasks.labels import encode_classes

if TYPE_CHECKING:
    import torch

ALIKE = 0.99  # the cosine with which two embeddings of an example are the same
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
