"""One class of several for each example, by logits or by their probabilities; and of two, by one number."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError
from edgecomp.tasks.base import Labels, Outputs, Spread, bernoulli_divergence
from edgecomp.tasks.labels import encode_classes

if TYPE_CHECKING:
    import torch


class Classification:
    """Logits [N, classes]; labels int64 [N], indices of classes."""

    name = "classification"
    headline = "macro_f1_pct"
    score = "accuracy_pct"
    label_axes: tuple[int, ...] = (0,)
    of_each: Literal["example", "token", "pixel"] = "example"
    are_numbers = False

    def encode(
        self, found: Mapping[str, Sequence[object]], names: tuple[str, ...] | None, where: str
    ) -> tuple[dict[str, Labels], tuple[str, ...]]:
        encoded, classes = encode_classes(found, names, where)
        return dict(encoded), classes

    def width(self, names: Sequence[str]) -> int | None:
        return len(names)

    def strata(self, labels: Labels) -> npt.NDArray[np.int64] | None:
        return labels

    def answers(self, outputs: Outputs) -> npt.NDArray[Any]:
        return np.asarray(outputs.argmax(axis=1), np.int64)

    def misfit(self, outputs: Outputs, labels: Labels) -> str:
        return _misfit(outputs, labels, outputs.shape[-1])

    def agreeing(self, outputs: Outputs, reference: Outputs) -> npt.NDArray[np.bool_]:
        return np.asarray(self.answers(outputs) == self.answers(reference))

    def spread(self, reference: Outputs) -> Spread:
        given, possible = self.answers(reference), max(2, reference.shape[1])
        shares = np.bincount(given, minlength=possible) / len(given)
        return Spread(int((shares > 0).sum()), possible, float(shares.max()))

    def validation_score(self, outputs: Outputs, labels: Labels) -> float:
        """Accuracy."""
        return float((self.answers(outputs) == labels).mean() * 100)

    def hard_label_loss(self, outputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """Cross-entropy."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, labels)

    def soft_label_loss(
        self, outputs: "torch.Tensor", teacher: "torch.Tensor", temperature: float
    ) -> "torch.Tensor":
        """T²·KL(teacher ‖ student) at temperature T (Hinton et al. 2015, arXiv:1503.02531); T² keeps the gradient's size."""
        from torch.nn.functional import kl_div, log_softmax

        divergence = kl_div(
            log_softmax(outputs / temperature, dim=1),
            log_softmax(teacher / temperature, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        return divergence * temperature**2


class Probabilities(Classification):
    """Probabilities [N, classes], as a softmax gives them; labels int64 [N]. Their logarithms are logits, and are learnt from and with."""

    name = "probabilities"

    def hard_label_loss(self, outputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """-log of the probability of the label."""
        return super().hard_label_loss(_logarithms(outputs), labels)

    def soft_label_loss(
        self, outputs: "torch.Tensor", teacher: "torch.Tensor", temperature: float
    ) -> "torch.Tensor":
        """T²·KL(teacher ‖ student) of their logarithms at temperature T."""
        return super().soft_label_loss(_logarithms(outputs), _logarithms(teacher), temperature)


LEAST = 1e-7
"""Probability: what float16, in which a teacher's are stored, tells from 0."""


def _logarithms(probabilities: "torch.Tensor") -> "torch.Tensor":
    return probabilities.clamp_min(LEAST).log()


class Binary(Classification):
    """One logit [N, 1], positive for the second class; labels int64 [N], 0 or 1."""

    name = "binary"

    def encode(
        self, found: Mapping[str, Sequence[object]], names: tuple[str, ...] | None, where: str
    ) -> tuple[dict[str, Labels], tuple[str, ...]]:
        encoded, classes = super().encode(found, names, where)
        if len(classes) != 2:
            raise DataError(f"{where}: task binary has two classes, and the labels have {len(classes)}: {', '.join(classes[:5])}; "
                            "task: classification takes any number")  # fmt: skip
        return encoded, classes

    def width(self, names: Sequence[str]) -> int | None:
        return 1

    def answers(self, outputs: Outputs) -> npt.NDArray[Any]:
        return np.asarray(outputs[:, 0] > 0, np.int64)

    def misfit(self, outputs: Outputs, labels: Labels) -> str:
        return _misfit(outputs, labels, 2 if outputs.shape[-1] == 1 else 0)

    def hard_label_loss(self, outputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """Binary cross-entropy."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(outputs[:, 0], labels.to(outputs.dtype))

    def soft_label_loss(
        self, outputs: "torch.Tensor", teacher: "torch.Tensor", temperature: float
    ) -> "torch.Tensor":
        """T²·KL of Bernoulli distributions at temperature T."""
        return bernoulli_divergence(outputs, teacher, temperature)


def _misfit(outputs: Outputs, labels: Labels, classes: int) -> str:
    """Why outputs for so many classes do not fit the labels; empty where they do."""
    if outputs.ndim != 2 or classes < 2:
        return f"logits of shape {list(outputs.shape[1:])} an example are no answers to one question"
    if labels.ndim != 1 or labels.dtype.kind != "i" or labels.min() < 0 or labels.max() >= classes:
        return f"the labels are not one class of {classes} for each example"
    return ""
