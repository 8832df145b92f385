"""Whether a stranger can tell what a classifier was trained on."""

import numpy as np

from edgecomp.metrics.estimators.common import of_bounds
from edgecomp.metrics.estimators.health.robustness import CLEAN, FEWEST_RIGHT, MEMBERS, given, health_of
from edgecomp.metrics.measurements import Logits, Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.stats import intervals as stats
from edgecomp.stats.figure import Figure
from edgecomp.tasks import Labels


def membership_advantage(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """How much oftener a training example than another is called one, by its loss being under a threshold, in points; 0 is chance, 100 is all (Yeom et
    al. 2018, arXiv:1709.01604).

    Every other example chooses the threshold, and the others are told by it, so that no advantage comes of choosing; the bounds are made of Clopper
    and Pearson's of each rate (Zou & Donner 2008). measured: of one target; arm_name: which arm; confidence: of each bound. Raises NotMeasured, NotFinite.
    """
    health = health_of(measured)
    if not len(health.member_labels):
        raise NotMeasured("health.membership was not asked")
    inside = _losses(measured, given(measured, arm_name, MEMBERS), health.member_labels)
    outside = _losses(measured, given(measured, arm_name, CLEAN), health.labels)
    threshold = _best_threshold(inside[::2], outside[::2])
    hits, alarms = (int((one[1::2] <= threshold).sum()) for one in (inside, outside))
    counts = len(inside[1::2]), len(outside[1::2])
    if min(counts) < FEWEST_RIGHT:
        raise NotMeasured(
            f"{min(counts)} examples do not tell who was trained on: it takes {2 * FEWEST_RIGHT}"
        )
    (low_hit, high_hit), (low_alarm, high_alarm) = (
        stats.proportion_bounds(found, count, confidence)
        for found, count in zip((hits, alarms), counts, strict=True)
    )
    rate, false = hits / counts[0], alarms / counts[1]
    lower = rate - false - float(np.hypot(rate - low_hit, high_alarm - false))
    upper = rate - false + float(np.hypot(high_hit - rate, false - low_alarm))
    told = f"{hits} of {counts[0]} training examples, and {alarms} of {counts[1]} others, are called one"
    found = of_bounds((rate - false, lower, upper), 100, "points", sum(counts), confidence)
    return found.model_copy(update={"note": told})


def _best_threshold(inside: stats.Values, outside: stats.Values) -> float:
    """The loss up to which most more of the first are than of the second; above none of them where no threshold is better than chance."""
    tried = np.unique(np.concatenate([inside, outside]))
    gains = [float((inside <= one).mean() - (outside <= one).mean()) for one in tried]
    best = int(np.argmax(gains))
    return float(tried[best]) if gains[best] > 0 else -np.inf


def _losses(measured: Measurements, outputs: Logits, labels: Labels) -> stats.Values:
    """Minus the logarithm of the probability of each label, [examples]."""
    given = outputs.astype(np.float64)
    places = np.arange(len(labels))
    if measured.task.name == "probabilities":
        return np.asarray(-np.log(np.clip(given[places, labels], 1e-12, 1)))
    if given.shape[1] == 1:  # one logit, for the second class
        return np.asarray(np.logaddexp(0, np.where(labels == 1, -given[:, 0], given[:, 0])))
    apart = given - given.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(apart).sum(axis=1)) - apart[places, labels])
