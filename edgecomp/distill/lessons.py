"""What a student learns from: views of the training split, and the teacher's stored soft labels for each."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import nn

from edgecomp.data.augment import shifted
from edgecomp.data.soft_labels import SoftLabels
from edgecomp.data.splits import Preprocessing, Split
from edgecomp.training import accuracy_pct


@dataclass(frozen=True)
class Lessons:
    train: Split
    validation: Split
    preprocessing: Preprocessing
    soft_labels: SoftLabels
    shift: int
    seed: int

    def inputs(self, epoch: int) -> npt.NDArray[np.float32]:
        """The very view of the images that the teacher labelled: [N, channels, height, width]."""
        view = epoch % self.soft_labels.views
        return self.preprocessing.apply(
            shifted(self.train.images, pixels=self.shift, seed=self.seed, view=view)
        )

    def epoch(
        self, epoch: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Inputs, labels and soft labels of one epoch."""
        return self.inputs(epoch), self.train.labels, self.soft_labels.view(epoch)

    def calibration(self, epoch: int, size: int, count: int) -> list[tuple[npt.NDArray[np.float32]]]:
        """Up to `count` batches of the network's one input; the split's order is by index, and stratified splits are mixed."""
        inputs = self.inputs(epoch)
        return [(inputs[start : start + size],) for start in range(0, min(len(inputs), size * count), size)]

    def accuracy(self, network: nn.Module) -> float:
        """On the validation split, in per cent."""
        return accuracy_pct(network, self.preprocessing.apply(self.validation.images), self.validation.labels)
