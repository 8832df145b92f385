"""One class of several for each pixel of an image."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgecomp.errors import DataError
from edgecomp.tasks.base import IGNORED, Labels, Outputs, Spread

if TYPE_CHECKING:
    import torch

ALIKE = 0.99  # of an image's pixels, with which two answers are the same
UNLABELLED = 255  # what masks write for a pixel that is not judged


class Segmentation:
    """Logits [N, classes, height, width]; labels int64 [N, height, width], classes or IGNORED."""

    name = "segmentation"
    headline = "mean_iou_pct"
    score = "mean_iou_pct"
    label_axes: tuple[int, ...] = (2,)
    of_each: Literal["example", "token", "pixel"] = "pixel"
    are_numbers = False

    def encode(
        self, found: Mapping[str, Sequence[object]], names: tuple[str, ...] | None, where: str
    ) -> tuple[dict[str, Labels], tuple[str, ...]]:
        """Labels are masks of whole numbers from 0; 255 is no class. Raises DataError."""
        masks = {split: _masks(rows, f"{where}, {split} split") for split, rows in found.items()}
        count = 1 + max(int(mask.max()) for mask in masks.values())
        names = names or tuple(f"class {place}" for place in range(count))
        if count > len(names):
            raise DataError(
                f"{where}: a mask has class {count - 1}, and the data name {len(names)}, 0 to {len(names) - 1}"
            )
        if len(names) < 2:
            raise DataError(f"{where}: the masks have one class, 0: there is nothing to tell apart")
        missing = sorted(set(range(len(names))) - set(np.unique(masks["train"]).tolist()))
        if missing:
            raise DataError(f"{where}: no training mask has class {names[missing[0]]!r} ({missing[0]}): number classes from 0 without "
                            "gaps, 255 for pixels that are of none")  # fmt: skip
        return dict(masks), names

    def width(self, names: Sequence[str]) -> int | None:
        return len(names)

    def strata(self, labels: Labels) -> npt.NDArray[np.int64] | None:
        return None

    def answers(self, outputs: Outputs) -> npt.NDArray[Any]:
        return np.asarray(outputs.argmax(axis=1), np.int64)

    def misfit(self, outputs: Outputs, labels: Labels) -> str:
        if outputs.ndim != 4 or labels.ndim != 3 or outputs.shape[2:] != labels.shape[1:]:
            return f"outputs of shape {list(outputs.shape[1:])} do not fit masks of {list(labels.shape[1:])} pixels"
        if labels.max() >= outputs.shape[1]:
            return f"a mask has class {labels.max()}, and outputs are of {outputs.shape[1]} classes"
        return ""

    def agreeing(self, outputs: Outputs, reference: Outputs) -> npt.NDArray[np.bool_]:
        """At least 99 of 100 pixels alike."""
        same = self.answers(outputs) == self.answers(reference)
        return np.asarray(same.mean(axis=(1, 2)) >= ALIKE)

    def spread(self, reference: Outputs) -> Spread:
        """Of pixels."""
        shares = np.bincount(self.answers(reference).ravel(), minlength=reference.shape[1]).astype(np.float64)
        shares /= shares.sum()
        return Spread(int((shares > 0).sum()), reference.shape[1], float(shares.max()))

    def validation_score(self, outputs: Outputs, labels: Labels) -> float:
        """Mean intersection over union."""
        parts = intersections_and_unions(self.answers(outputs), labels, outputs.shape[1])
        return float(100 * mean_iou(parts.sum(axis=0)))

    def hard_label_loss(self, outputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """Cross-entropy, mean over the pixels that have a label."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, labels, ignore_index=IGNORED)

    def soft_label_loss(
        self, outputs: "torch.Tensor", teacher: "torch.Tensor", temperature: float
    ) -> "torch.Tensor":
        """T²·KL(teacher ‖ student) at temperature T, mean over pixels (Liu et al. 2019, arXiv:1903.04197)."""
        from torch.nn.functional import kl_div, log_softmax

        ours, theirs = (log_softmax(one / temperature, dim=1) for one in (outputs, teacher))
        pixels = outputs.numel() / outputs.shape[1]
        return kl_div(ours, theirs, reduction="sum", log_target=True) / pixels * temperature**2


def judged_pixels(masks: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The masks [N, height, width] with IGNORED where a pixel is of no class: 255, or -1."""
    found = masks.astype(np.int64)
    found[(found == UNLABELLED) | (found == -1)] = IGNORED
    return found


def intersections_and_unions(
    answers: npt.NDArray[np.int64], labels: Labels, classes: int
) -> npt.NDArray[np.float64]:
    """Of each image, by class, pixels in both and pixels in either, [N, 2 · classes]. answers, labels: [N, height, width]."""
    judged = labels != IGNORED
    both, either = [], []
    for one in range(classes):
        given, wanted = (answers == one) & judged, labels == one
        both.append((given & wanted).sum(axis=(1, 2)))
        either.append((given | wanted).sum(axis=(1, 2)))
    return np.stack([*both, *either], axis=1).astype(np.float64)


def mean_iou(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean over the classes that are there at all. sums: [..., 2 · classes], of `intersections_and_unions`; [...]."""
    width = sums.shape[-1] // 2
    both, either = sums[..., :width], sums[..., width:]
    share = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return np.asarray(share.sum(axis=-1) / np.maximum((either > 0).sum(axis=-1), 1))


def _masks(rows: Sequence[object], where: str) -> npt.NDArray[np.int64]:
    try:
        masks = np.asarray(rows)
    except ValueError as error:  # ragged
        raise DataError(
            f"{where}: the masks are of different sizes: bring them to that of the images"
        ) from error
    if masks.ndim != 3 or masks.dtype.kind not in "iub":
        raise DataError(f"{where}: labels of task segmentation are masks of whole numbers [N, height, width], and these are "
                        f"{masks.dtype} of shape {list(masks.shape)}")  # fmt: skip
    masks = judged_pixels(masks)
    if (wrong := masks[(masks < 0) & (masks != IGNORED)]).size:
        raise DataError(f"{where}: a mask holds {wrong[0]}: classes count from 0, and 255 is a pixel of none")
    if (masks == IGNORED).all():
        raise DataError(f"{where}: every pixel is {UNLABELLED}, which is no class")
    return masks
