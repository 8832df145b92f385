"""A score of the user's own, one number an example: its mean, and the difference from another model's on the same examples.

Where every score is 0 or 1 it is a share, and has a share's exact bounds: an accuracy written so is judged as ours is.
"""

from collections.abc import Sequence

import numpy as np

from edgecomp.metrics.estimators.common import arm_of, check_finite, of_bounds
from edgecomp.metrics.estimators.scores import SEED
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import Impossible, NotFinite, NotMeasured, Untelling
from edgecomp.metrics.units import DIFFERENCE
from edgecomp.stats import intervals as stats
from edgecomp.stats import resampling
from edgecomp.stats.figure import Figure
from edgecomp.stats.intervals import Values


def mean(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """Mean of an arm's scores over examples, in the score's own unit. measured: of one target; arm_name:
    which arm; confidence: of each bound. Raises NotMeasured, NotFinite, Impossible."""
    found = _of(measured, arm_name)
    return of_bounds(bounds_of_mean(found, confidence), 1, "score", len(found), confidence)


def bounds_of_mean(
    values: Values, confidence: float, ends: tuple[float, float] | None = None
) -> stats.Bounds:
    """The mean of examples' `values`, [examples], and one-sided bounds; exact ones where each is 0 or 1. confidence: of each bound; ends: the least and
    the most that one can be, where more is known of them than what these show."""
    if _is_share(values):
        hits = int(values.sum())
        return hits / len(values), *stats.proportion_bounds(hits, len(values), confidence)
    worst, best = _ends(values, ends)
    return resampling.bounds(_parts(values), _mean, worst, best, confidence=confidence, seed=SEED)


def mean_against(
    measured: Measurements, arm_name: str, reference: str, kind: str, confidence: float
) -> Figure:
    """The difference of an arm's mean from that of the `reference`, example by example, in the score's own
    unit. measured: of one target; arm_name: which arm; kind: `points`, for nothing is a multiple of a score;
    confidence: of each bound. Raises NotMeasured, NotFinite, Impossible."""
    if kind != "points":
        raise NotMeasured("nothing is a multiple of a score: it is compared by its difference")
    ours, theirs = _of(measured, arm_name), _of(measured, reference)
    if len(ours) != len(theirs):
        raise NotMeasured(
            f"{arm_name} has {len(ours)} scores, {reference} {len(theirs)}: they are not paired"
        )
    return of_bounds(bounds_of_difference(ours, theirs, confidence), 1, DIFFERENCE, len(ours), confidence)


def bounds_of_difference(
    ours: Values, theirs: Values, confidence: float, ends: tuple[float, float] | None = None
) -> stats.Bounds:
    """The difference of the means of `ours` and `theirs`, [examples] each of the same examples, and one-sided bounds. confidence, ends: as in
    `bounds_of_mean`."""
    both = np.concatenate([ours, theirs])
    if _is_share(both):
        wins, losses = int((ours > theirs).sum()), int((ours < theirs).sum())
        return stats.difference_bounds(wins, losses, len(ours), confidence)
    worst, best = _ends(both, ends)
    return resampling.paired_bounds(
        _parts(ours), _parts(theirs), _mean, np.subtract, worst, best, confidence=confidence, seed=SEED
    )


def check_margin(measured: Measurements, arms: Sequence[str | None], margin: float) -> None:
    """Raises Untelling where no answers could differ by more than the margin allows, as far as these show.
    measured: of one target; arms: whose scores, None for one that there is not; margin: in the score's own
    unit."""
    found = np.concatenate([_of(measured, arm) for arm in arms if arm is not None])
    low, high = (0.0, 1.0) if _is_share(found) else (float(found.min()), float(found.max()))
    if margin >= high - low:
        raise Untelling(
            f"scores from {low:.4g} to {high:.4g} cannot differ by more than the margin of {margin:g}: write one in the score's own unit"
        )


def _of(measured: Measurements, arm_name: str) -> Values:
    """[examples]. Raises NotMeasured, NotFinite, Impossible."""
    check_finite(measured.facts)
    found = arm_of(measured, arm_name).scores
    if found is None or len(found) == 0:
        raise NotMeasured("no score function was named (`score` in a recipe, --score of a comparison)")
    if found.ndim != 1 or len(measured.labels) not in (0, len(found)):
        raise Impossible(
            f"scores of shape {list(found.shape)} of {arm_name} are not one of each of {len(measured.labels)} examples"
        )
    if not np.isfinite(found).all():
        raise NotFinite(f"a score of {arm_name} is not finite")
    return np.asarray(found, np.float64)


def _is_share(values: Values) -> bool:
    return bool(((values == 0) | (values == 1)).all())


def _parts(values: Values) -> Values:
    """Scores, and 1: [examples, 2]."""
    return np.stack([values, np.ones_like(values)], axis=1)


def _mean(sums: Values) -> Values:
    return sums[..., 0] / sums[..., 1]


def _ends(values: Values, ends: tuple[float, float] | None) -> tuple[Values, Values]:
    """The parts of an example that is answered as badly, and as well, as any."""
    low, high = ends or (float(values.min()), float(values.max()))
    return np.array([low, 1.0]), np.array([high, 1.0])
