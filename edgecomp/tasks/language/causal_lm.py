"""What comes next in a text: a causal language model.

A network gives logits by token [N, length, vocabulary]. Of what a runtime says of a text no more is kept than two numbers a place, float32 [N, length, 2]:
the log-probability of the token that came, and the token that was most probable.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError
from edgecomp.tasks.base import IGNORED, Labels, Outputs, Spread

if TYPE_CHECKING:
    import torch

LOG_PROBABILITY, LIKELIEST = 0, 1


class CausalLm:
    """Labels int64 [N, length], the token that comes after each place, or IGNORED where none is judged."""

    name = "causal-lm"
    headline = "next_token_pct"
    score = "next_token_pct"
    label_axes: tuple[int, ...] = (1,)
    of_each: Literal["example", "token", "pixel"] = "token"
    are_numbers = False

    def encode(
        self, found: Mapping[str, Sequence[object]], names: tuple[str, ...] | None, where: str
    ) -> tuple[dict[str, Labels], tuple[str, ...]]:
        """A text is its own label. Raises DataError: whoever reads labels has another task."""
        raise DataError(
            f"{where}: a language model's texts have no labels to read: `edgecomp run` makes their tokens (docs/how-to/language.md)"
        )

    def width(self, names: Sequence[str]) -> int | None:
        return None

    def strata(self, labels: Labels) -> npt.NDArray[np.int64] | None:
        return None

    def answers(self, outputs: Outputs) -> npt.NDArray[Any]:
        """The likeliest token at each place, [N, length]. outputs: as they are kept."""
        return np.asarray(outputs[..., LIKELIEST], np.int64)

    def misfit(self, outputs: Outputs, labels: Labels) -> str:
        if outputs.ndim == 3 and outputs.shape == (*labels.shape, 2):
            return ""
        return f"outputs of shape {list(outputs.shape)} are not two numbers for each of {list(labels.shape)} places"

    def agreeing(self, outputs: Outputs, reference: Outputs) -> npt.NDArray[np.bool_]:
        """The same token is likeliest at every place of a text."""
        return np.asarray((self.answers(outputs) == self.answers(reference)).all(axis=1))

    def spread(self, reference: Outputs) -> Spread:
        """Of the likeliest tokens: how many there are, of as many as there are places."""
        tokens = self.answers(reference).ravel()
        counts = np.unique(tokens, return_counts=True)[1]
        return Spread(len(counts), len(tokens), float(counts.max() / len(tokens)))

    def validation_score(self, outputs: Outputs, labels: Labels) -> float:
        """The share of tokens that were most probable before they came."""
        judged = labels != IGNORED
        return float(100 * (self.answers(outputs) == labels)[judged].mean()) if judged.any() else 0.0

    def hard_label_loss(self, outputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """Cross-entropy in nats, mean over places that are judged. outputs: logits [N, length, vocabulary]."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(
            outputs.flatten(0, 1), labels[:, : outputs.shape[1]].flatten(), ignore_index=IGNORED
        )

    def soft_label_loss(
        self, outputs: "torch.Tensor", teacher: "torch.Tensor", temperature: float
    ) -> "torch.Tensor":
        """T²·KL(teacher ‖ student) at temperature T, mean over all places. outputs, teacher: logits [N, length, vocabulary]."""
        from torch.nn.functional import kl_div, log_softmax

        ours, theirs = (log_softmax(one.flatten(0, 1) / temperature, dim=1) for one in (outputs, teacher))
        return kl_div(ours, theirs, reduction="batchmean", log_target=True) * temperature**2
