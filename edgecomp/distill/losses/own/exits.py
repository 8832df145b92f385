"""Early exits: classifiers on what shallow layers give, which the student's own end teaches (be your own teacher, Zhang et al. 2019, arXiv:1905.08094)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from edgecomp.distill.losses.of_features import pooled
from edgecomp.distill.losses.of_logits import soft_target_kl
from edgecomp.distill.losses.own.early_exits import classifier, keep
from edgecomp.distill.losses.taps import tap, taps
from edgecomp.errors import CaptureError
from edgecomp.outputs import as_one
from edgecomp.tasks import Task
from edgecomp.training.loop import Batch

if TYPE_CHECKING:
    from edgecomp.distill.data import DistillationData


@dataclass(frozen=True)
class Exits:
    """A term: for each exit, weight · ((1 - α) · T² KL(end ‖ exit) + α · cross-entropy), equation 6 of the paper without its hint of features.

    layers: module paths of the student, in the order that they are computed; hard_label_weight: α; temperature: T; max_drop_pt: what an
    early answer may cost on the validation split, in points of accuracy; None: the exits are not kept. The end learns nothing from its exits, but the
    layers that they share do.
    """

    layers: Sequence[str]
    weight: float
    hard_label_weight: float
    temperature: float
    max_drop_pt: float | None

    def bind(self, student: nn.Module, example: Sequence[torch.Tensor]) -> "Bound":
        """Raises CaptureError where the student has no such layer, or a layer's output cannot be pooled."""
        return Bound(self, student, example)


class Bound(nn.Module):
    """The exits, with a classifier each, which belong to no exported file."""

    def __init__(self, term: Exits, student: nn.Module, example: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self._settings, self._example = term, tuple(example)
        self._taps = taps([partial(tap, student, layer) for layer in term.layers])
        with torch.no_grad():
            classes = as_one(student.eval()(*example)).shape[1]
        wrong, widths = [], []
        for layer, read in zip(term.layers, self._taps, strict=True):
            shape = list(read().shape)
            if len(shape) not in (2, 3, 4):
                wrong.append(
                    f"distill: exits: {layer} gives {shape}, and an exit reads [N, width], [N, tokens, width] or [N, channels, height, width]"
                )
            else:
                widths.append(pooled(read(), None).shape[1])
        if wrong:
            raise CaptureError("; ".join(wrong))
        self.heads = nn.ModuleList(classifier(width, classes) for width in widths)

    def answers(self, mask: torch.Tensor | None) -> list[torch.Tensor]:
        """What each exit answers, logits [N, classes], after a forward pass of the student. mask: of texts, 1 where a token is one, [N, tokens]."""
        return [head(pooled(read().float(), mask)) for head, read in zip(self.heads, self._taps, strict=True)]

    def forward(self, logits: torch.Tensor, batch: Batch) -> list[tuple[str, torch.Tensor]]:
        """After a forward pass of the student on the batch's inputs; nothing once the student is trained on through its integers, or beside that."""
        if batch.done >= 1:
            return []
        named = zip(self._settings.layers, self.answers(batch.mask), strict=True)
        return [
            (f"exit at {layer}", self._settings.weight * self.loss(said, logits.detach(), batch.labels))
            for layer, said in named
        ]

    def loss(self, exit_logits: torch.Tensor, end: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Of one exit, a scalar. exit_logits, end: logits [N, classes] of the exit and of the student; labels: int64 [N]."""
        hard = self._settings.hard_label_weight
        soft = soft_target_kl(exit_logits, end, labels, temperature=self._settings.temperature)
        return hard * F.cross_entropy(exit_logits, labels) + (1 - hard) * soft

    def finish(self, student: nn.Module, data: "DistillationData", folder: Path) -> None:
        """After training: writes exits.json, the threshold that the validation split chooses and what answers cost with it, and the exits' weights.

        student: trained; data: whose validation split chooses; folder: of both files.
        """
        if self._settings.max_drop_pt is not None:
            keep(self, student, data, self._settings.layers, self._settings.max_drop_pt, folder)


def exits(settings: Mapping[str, Any], task: Task, teacher: Callable[[], nn.Module]) -> list[Exits]:
    """The term of `distill.exits`; none where there are none.

    settings: the recipe's `distill`; task: a classifier's; teacher: not loaded.
    """
    asked = settings.get("exits")
    if not asked:
        return []
    how = ("weight", "hard_label_weight", "temperature", "max_drop_pt")
    return [Exits(tuple(asked["layers"]), *(asked[key] for key in how))]
