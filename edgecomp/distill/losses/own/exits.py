"""Early exits: classifiers on what shallow layers give, which the student's own end teaches (be your own teacher, Zhang et al. 2019, arXiv:1905.08094)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from edgecomp.distill.losses.of_features import pooled
from edgecomp.distill.losses.of_logits import soft_target_kl
from edgecomp.distill.losses.own.early_exits import FILE, WEIGHTS, classifier, keep, write
from edgecomp.distill.losses.taps import tap, taps
from edgecomp.errors import CaptureError
from edgecomp.files.json_files import read_mapping
from edgecomp.inputs import MASK, Inputs
from edgecomp.outputs import as_one
from edgecomp.quantization.capture import duplicate
from edgecomp.tasks import Task
from edgecomp.training.loop import Batch, load_weights, network_inputs

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


def keep_in_integers(
    student: fx.GraphModule,
    kept_in_float: Path,
    data: "DistillationData",
    batches: Sequence[Inputs],
    folder: Path,
) -> None:
    """Writes exits.json and exits.safetensors of a quantised student into `folder`, where its fp32 self has exits.

    The classifiers are those of the fp32 student, standardised anew over what their layers give now; the validation split chooses the threshold
    again. student: trained through fake-quant, which stays as it is; kept_in_float: the folder that `finish` wrote into; data: whose validation
    split chooses; batches: of its inputs, for the standardisation.
    """
    if not (kept_in_float / FILE).is_file():
        return
    told = read_mapping(kept_in_float / FILE, "exits", "max_drop_pt", "macs")
    layers, costs = [[one[key] for one in told["exits"]] for key in ("layer", "cost")]
    listens = duplicate(student).eval()
    term = Exits(tuple(layers[:-1]), 1.0, 0.0, 1.0, told["max_drop_pt"])
    bound = term.bind(listens, network_inputs(batches[0]))
    weights = load_weights(kept_in_float / WEIGHTS)
    for layer, head in zip(term.layers, bound.heads, strict=True):
        head.load_state_dict({name: weights[f"{layer}/{name}"] for name in head.state_dict()})
    standardise_anew(listens, bound, batches)
    write(bound, listens, data, term.layers, told["max_drop_pt"], costs, told["macs"], folder)


@torch.no_grad()
def standardise_anew(student: nn.Module, bound: Bound, batches: Sequence[Inputs]) -> None:
    """Makes the statistics of the exits' inputs those over `batches`, inputs of the `student` that `bound` listens to; the student keeps its own."""
    norms = [part for part in bound.heads.modules() if isinstance(part, nn.BatchNorm1d)]
    student.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average
        norm.train()
    for batch in batches:
        student(*network_inputs(batch))
        bound.answers(torch.from_numpy(np.asarray(batch[MASK])) if MASK in batch else None)
    bound.eval()


def exits(settings: Mapping[str, Any], task: Task, teacher: Callable[[], nn.Module]) -> list[Exits]:
    """The term of `distill.exits`; none where there are none.

    settings: the recipe's `distill`; task: a classifier's; teacher: not loaded.
    """
    asked = settings.get("exits")
    if not asked:
        return []
    how = ("weight", "hard_label_weight", "temperature", "max_drop_pt")
    return [Exits(tuple(asked["layers"]), *(asked[key] for key in how))]
