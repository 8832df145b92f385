"""Distillation data: views of the training split, and the teacher's stored soft labels for each."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from torch import nn

from edgecomp.data.label_store import Labels as SoftLabels
from edgecomp.data.splits import Split
from edgecomp.data.views import Views, examples_of
from edgecomp.inputs import Inputs, some
from edgecomp.tasks import DEFAULT, Labels, Task
from edgecomp.training.alarms import AGREEMENT, SCORE
from edgecomp.training.loop import Examples, logits_of

AGREEMENT_ON_MISTAKES = "agreement_on_mistakes_pct"


@dataclass(frozen=True)
class DistillationData:
    """`seed` is that of the order of the examples; the views have their own, which is the teacher's. task: what labels and outputs mean;
    weights: float32 [N], what each training example counts; None: all the same; only: int64 [n], places of the training examples that are learnt
    from; None: all; token_weights: float32 [N, L], what each token of a text counts where attention is compared; None: all the same."""

    views: Views
    calibration_split: Split
    soft_labels: SoftLabels
    task: Task
    seed: int
    weights: npt.NDArray[np.float32] | None = None
    only: npt.NDArray[np.int64] | None = None
    token_weights: npt.NDArray[np.float32] | None = None

    def epoch(self, epoch: int) -> Examples:
        """The very view that the teacher labelled, with its soft labels.

        epoch: from 0; where the views are fewer, they are taken again in turn.
        """
        index = epoch % self.soft_labels.views
        soft_labels = self.soft_labels.view(index)
        examples = replace(
            self.views.view(index),
            soft_labels=soft_labels,
            weights=self.weights,
            token_weights=self.token_weights,
        )
        return examples if self.only is None else examples.chosen(self.only)

    def held_out(self) -> Examples:
        return self.views.held_out()

    def batches(self, epoch: int, size: int, count: int) -> list[Inputs]:
        """Up to `count` batches of `size` inputs of the network, of an epoch's view: for batch statistics."""
        return _batches(self.epoch(epoch), size, count)

    def calibration(self, size: int, count: int) -> list[Inputs]:
        """Up to `count` batches of `size` inputs from the calibration split, never trained on: for ranges."""
        return _batches(examples_of(self.calibration_split, self.views.preprocessing), size, count)

    def wanted(self) -> Labels:
        """What answers to the validation split are held against: its labels, or where nothing is labelled the teacher's outputs."""
        return self.views.validation.labels if self.task.label_axes else self.soft_labels.validation()

    def score(self, network: nn.Module) -> float:
        """The score of `network` on the validation split, in per cent, the higher the better."""
        return self.task.validation_score(logits_of(network, self.held_out()), self.wanted())

    def watch(self, network: nn.Module) -> dict[str, float]:
        """What is watched by epoch on the validation split, in per cent: the score of `network`, how many of its answers are the teacher's, and of
        those that a teacher gives wrong, where a class is asked for. There is no agreement with a teacher whose answers are of another width, as an
        embedding's may be, or of other examples, as those of a student of some classes are."""
        answers, taught = logits_of(network, self.held_out()), self.soft_labels.validation()
        found = {SCORE: self.task.validation_score(answers, self.wanted())}
        if answers.shape != taught.shape:
            return found
        agrees = self.task.agreeing(answers, taught)
        found[AGREEMENT] = 100 * float(np.mean(agrees))
        if self.task.name == DEFAULT:
            mistaken = taught.argmax(axis=1) != self.views.validation.labels
            if mistaken.any():
                found[AGREEMENT_ON_MISTAKES] = 100 * float(np.mean(agrees[mistaken]))
        return found


def _batches(examples: Examples, size: int, most: int) -> list[Inputs]:
    """The first so many examples: a split is in random order."""
    end = min(len(examples), size * most)
    return [
        examples.prepare(some(examples.arrays, slice(start, min(start + size, end))))
        for start in range(0, end, size)
    ]
