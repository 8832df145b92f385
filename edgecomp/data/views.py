"""A split as a network sees it: each epoch another view of the training examples, all others as they are."""

from dataclasses import dataclass

from edgecomp.data.augmentation import Augmentation
from edgecomp.data.preprocessing import Preprocessing
from edgecomp.data.splits import Split
from edgecomp.training.loop import Examples


@dataclass(frozen=True)
class Views:
    train: Split
    validation: Split
    preprocessing: Preprocessing
    augmentation: Augmentation | None  # None: nothing varies, and every view is the same

    def view(self, index: int) -> Examples:
        """Of the training split; a pure function of the augmentation's seed and the index."""
        arrays = self.train.arrays
        if self.augmentation is not None:
            arrays = self.augmentation.view(arrays, self.train.labels, index)
        return Examples(arrays, self.train.labels, self.preprocessing.apply)

    def held_out(self) -> Examples:
        """The validation split."""
        return examples_of(self.validation, self.preprocessing)


def examples_of(split: Split, preprocessing: Preprocessing) -> Examples:
    """The examples of `split`, as they are, with what `preprocessing` makes of them for a network."""
    return Examples(split.arrays, split.labels, preprocessing.apply)
