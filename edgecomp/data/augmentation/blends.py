"""Two examples as one: mixup (Zhang et al. 2018, arXiv:1710.09412) and CutMix (Yun et al. 2019, arXiv:1905.04899).

Within a class the hard label stays what it was. Across classes it would be a blend as well; here the teacher is asked about the blended
example instead, and nothing learns its hard label.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.tasks import Labels

PARTNERS = 2**29  # what the seed of its draws begins with
AT_ONCE = 4096  # examples, in float32


@dataclass(frozen=True)
class Blend:
    """mixup, cutmix: the α of the Beta(α, α) that a share is drawn from, 0 for neither; with both, each example has one of them at random.
    within_class: the other example has the same label."""

    mixup: float
    cutmix: float
    within_class: bool
    seed: int

    def of(self, values: npt.NDArray[Any], labels: Labels, view: int) -> npt.NDArray[Any]:
        """View number `view` of examples, `values` [N, ...], each blended with another of them, of which it keeps at least half; labels: [N]."""
        random = np.random.default_rng([self.seed, PARTNERS, view])
        others = partners(_codes(labels) if self.within_class else np.zeros(len(values), np.int64), random)
        chance = 0.5 if self.mixup and self.cutmix else float(self.cutmix > 0)
        cut = random.random(len(values)) < chance
        alpha = np.where(cut, self.cutmix, self.mixup)
        share = random.beta(alpha, alpha)
        share = np.maximum(share, 1 - share).astype(np.float32)
        found = np.empty_like(values)
        for start in range(0, len(values), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            kept = share[some].reshape(-1, *(1 for _ in values.shape[1:]))
            blended = values[some] * kept + values[others[some]] * (1 - kept)
            found[some] = np.rint(blended) if values.dtype == np.uint8 else blended
        for place in np.flatnonzero(cut):
            box = _box(values.shape[2:], float(share[place]), random)
            found[place] = values[place]
            found[place][:, *box] = values[others[place]][:, *box]
        return found


def partners(labels: npt.NDArray[Any], random: np.random.Generator) -> npt.NDArray[np.int64]:
    """For each of `labels` [N] the place of another example that has the same, drawn by `random`; itself where there is none."""
    order = np.lexsort((random.random(len(labels)), labels))
    found = np.empty(len(labels), np.int64)
    _, firsts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    for first, count in zip(firsts, counts, strict=True):
        group = order[first : first + count]
        found[group] = np.roll(group, 1)
    return found


def _codes(labels: Labels) -> npt.NDArray[np.int64]:
    """Labels of a class, [N] or [N, 1], as numbers [N]."""
    return np.unique(labels.reshape(len(labels), -1), axis=0, return_inverse=True)[1].ravel()


def _box(size: tuple[int, ...], kept: float, random: np.random.Generator) -> tuple[slice, slice]:
    """A rectangle of an image of that `size` (rows, columns), of the size's proportions, that covers 1 - kept of it where it lies inside."""
    side = np.sqrt(1 - kept)
    found = []
    for length in size:
        half = side * length / 2
        middle = random.uniform(0, length)
        found.append(slice(round(max(0.0, middle - half)), round(min(float(length), middle + half))))
    return found[0], found[1]
