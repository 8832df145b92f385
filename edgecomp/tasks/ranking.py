"""A score for each item of a catalogue: what a user is recommended first."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError
from edgecomp.tasks.base import Labels, Outputs, Spread, misfit_of_columns
from edgecomp.tasks.multilabel import as_table

if TYPE_CHECKING:
    import torch

SHOWN = 10  # items, of NDCG and recall


class Ranking:
    """Scores [N, items], the higher the earlier; labels int64 [N, items], 1 of an item that is relevant."""

    name = "ranking"
    headline = "ndcg_at_10_pct"
    score = "ndcg_at_10_pct"
    label_axes: tuple[int, ...] = (1,)
    of_each: Literal["example", "token", "pixel"] = "example"
    are_numbers = False

    def encode(
        self, found: Mapping[str, Sequence[object]], names: tuple[str, ...] | None, where: str
    ) -> tuple[dict[str, Labels], tuple[str, ...]]:
        """Labels are rows of 0 and 1, an item each. Raises DataError."""
        encoded = {
            split: as_table(rows, f"{where}, {split} split", self.name) for split, rows in found.items()
        }
        widths = {array.shape[1] for array in encoded.values()}
        if len(widths) > 1:
            raise DataError(
                f"{where}: the splits have {' and '.join(map(str, sorted(widths)))} items: they must be of one catalogue"
            )
        for split, array in encoded.items():
            if (empty := np.flatnonzero(array.sum(axis=1) == 0)).size:
                raise DataError(f"{where}, {split} split: {len(empty)} of {len(array)} examples have no relevant item, the first at {empty[0]} "
                                "(from 0): no order is better than another; take them out")  # fmt: skip
        width = widths.pop()
        if width <= SHOWN:
            raise DataError(
                f"{where}: there are {width} items, and the first {SHOWN} are judged: it takes more"
            )
        return dict(encoded), names or tuple(f"item {place}" for place in range(width))

    def width(self, names: Sequence[str]) -> int | None:
        return len(names)

    def strata(self, labels: Labels) -> npt.NDArray[np.int64] | None:
        return None

    def answers(self, outputs: Outputs) -> npt.NDArray[Any]:
        return outputs

    def misfit(self, outputs: Outputs, labels: Labels) -> str:
        return misfit_of_columns(outputs, labels)

    def agreeing(self, outputs: Outputs, reference: Outputs) -> npt.NDArray[np.bool_]:
        """The same item first."""
        return np.asarray(outputs.argmax(axis=1) == reference.argmax(axis=1))

    def spread(self, reference: Outputs) -> Spread:
        """Of the items that come first."""
        shares = np.bincount(reference.argmax(axis=1), minlength=reference.shape[1]) / len(reference)
        return Spread(int((shares > 0).sum()), reference.shape[1], float(shares.max()))

    def validation_score(self, outputs: Outputs, labels: Labels) -> float:
        """NDCG at 10."""
        return float(100 * ndcg(outputs, labels, SHOWN).mean())

    def hard_label_loss(self, outputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """The multinomial likelihood of the relevant items (Liang et al. 2018, arXiv:1802.05814), over their number, mean over the batch."""
        from torch.nn.functional import log_softmax

        wanted = labels.to(outputs.dtype)
        likely = (wanted * log_softmax(outputs, dim=1)).sum(dim=1)
        return -(likely / wanted.sum(dim=1).clamp_min(1)).mean()

    def soft_label_loss(
        self, outputs: "torch.Tensor", teacher: "torch.Tensor", temperature: float
    ) -> "torch.Tensor":
        """Listwise: T²·KL of the two distributions over items at temperature T (ListNet's, Cao et al. 2007)."""
        from edgecomp.tasks.classification import Classification

        return Classification().soft_label_loss(outputs, teacher, temperature)


def ndcg(scores: Outputs, relevant: Labels, most: int) -> npt.NDArray[np.float64]:
    """Normalised discounted cumulative gain of the `most` first items (Järvelin & Kekäläinen 2002), [N]; items of one score share their gain.

    scores: [N, items]; relevant: 0 or 1, [N, items].
    """
    discount = 1 / np.log2(np.arange(most) + 2)
    gains = _expected(scores, relevant)[:, :most] @ discount
    at_best = np.cumsum(discount)[np.clip(relevant.sum(axis=1), 1, most) - 1]
    return np.asarray(gains / at_best)


def recall(scores: Outputs, relevant: Labels, most: int) -> npt.NDArray[np.float64]:
    """The share of relevant items that are among the `most` first, of as many as could be, [N]. scores: [N,
    items]; relevant: 0 or 1, [N, items]."""
    return np.asarray(
        _expected(scores, relevant)[:, :most].sum(axis=1) / np.clip(relevant.sum(axis=1), 1, most)
    )


def auc(scores: Outputs, relevant: Labels) -> npt.NDArray[np.float64]:
    """The share of pairs of a relevant and another item that are in order, equal scores for half; 1 where there is no pair. [N]."""
    from scipy.stats import rankdata

    ranks = rankdata(scores, axis=1)
    good = relevant.sum(axis=1).astype(np.float64)
    bad = relevant.shape[1] - good
    pairs = good * bad
    ahead = (ranks * relevant).sum(axis=1) - good * (good + 1) / 2
    return np.asarray(np.divide(ahead, pairs, out=np.ones_like(good), where=pairs > 0))


def _expected(scores: Outputs, relevant: Labels) -> npt.NDArray[np.float64]:
    """What is relevant by place, best first; of items with one score, in any order, the mean. [N, items]."""
    order = np.argsort(-scores, axis=1, kind="stable")
    ordered = np.take_along_axis(scores, order, axis=1)
    gains = np.take_along_axis(relevant, order, axis=1).astype(np.float64)
    for row in np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1)):
        _, of, counts = np.unique(-ordered[row], return_inverse=True, return_counts=True)
        gains[row] = (np.bincount(of.ravel(), weights=gains[row]) / counts)[of.ravel()]
    return gains
