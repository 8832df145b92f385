"""Of texts that are given, what a language model says of the token that comes: its loss, its perplexity over the teacher's, and how often both say the same.

Estimators are (measured, arm_name, confidence) → Figure; bounds by resampling whole texts, of which tokens are no independent samples.
"""

import math
from typing import Any

import numpy as np

from edgecomp.metrics.comparison import BASELINE
from edgecomp.metrics.estimators.common import arm_of, of_bounds
from edgecomp.metrics.estimators.numbers import Score
from edgecomp.metrics.estimators.scores import SEED, TEACHER
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import NotFinite, NotMeasured
from edgecomp.stats import resampling
from edgecomp.stats.figure import Figure
from edgecomp.stats.intervals import Values
from edgecomp.tasks.base import IGNORED
from edgecomp.tasks.language.causal_lm import LIKELIEST, LOG_PROBABILITY

FAR = 0.1
"""Nats beside its own mean loss that an unseen text may have, or twice that loss."""


def _kept(measured: Measurements, arm_name: str) -> Any:
    """float32 [N, length, 2], as edgecomp.tasks.language.causal_lm has them. Raises NotMeasured."""
    outputs = arm_of(measured, arm_name).logits
    if said := measured.task.misfit(outputs, measured.labels):
        raise NotMeasured(said)
    return outputs


def _other(measured: Measurements) -> str:
    """The arm that a ratio is over: the baseline of a comparison, or else the teacher."""
    return BASELINE if BASELINE in measured.arms else TEACHER


def _loss_parts(measured: Measurements, arm_name: str) -> Values:
    """The tokens' surprise, summed, and how many there are: [texts, 2]. Raises NotFinite."""
    judged = measured.labels != IGNORED
    surprise = np.where(judged, -_kept(measured, arm_name)[..., LOG_PROBABILITY].astype(np.float64), 0.0)
    if not np.isfinite(surprise).all():
        raise NotFinite(f"{arm_name} gives a token that came no probability")
    return np.stack([surprise.sum(axis=1), judged.sum(axis=1)], axis=1).astype(np.float64)


def _mean(sums: Values) -> Values:
    return np.asarray(sums[..., 0] / sums[..., 1])


def _worst(parts: Values) -> Values:
    nats, count = parts.mean(axis=0)
    return np.asarray([2 * nats + FAR * count, count])


def _best(parts: Values) -> Values:
    return np.asarray([0.0, parts[:, 1].mean()])


_LOSS = Score(_loss_parts, _mean, _worst, _best, "nats", 1.0)


def token_loss(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """Cross-entropy by token, nats. measured: of one target; arm_name: which arm; confidence: of each bound. Raises NotMeasured, NotFinite."""
    found = _LOSS.estimator(measured, arm_name, confidence)
    assert found.estimate is not None
    return found.model_copy(update={"note": f"perplexity {math.exp(found.estimate):.4g}"})


def perplexity_ratio(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """Its perplexity over the teacher's, in a comparison the baseline's, on the same texts, a multiple: the exponential of the losses' difference. measured, arm_name, confidence: as in
    `token_loss`. Raises NotMeasured, NotFinite."""
    ours, theirs = (_loss_parts(measured, name) for name in (arm_name, _other(measured)))
    both = np.vstack([ours, theirs])
    subtract: Any = np.subtract
    apart = resampling.paired_bounds(
        ours, theirs, _mean, subtract, _worst(both), _best(both), confidence=confidence, seed=SEED
    )
    point, low, high = (math.exp(value) for value in apart)
    return of_bounds((point, low, high), 1, "multiple", len(ours), confidence)


def _agreement_parts(measured: Measurements, arm_name: str) -> Values:
    """Places where the teacher, in a comparison the baseline, finds the same token likeliest, and all that are judged: [texts, 2]."""
    judged = measured.labels != IGNORED
    ours, theirs = (_kept(measured, name)[..., LIKELIEST] for name in (arm_name, _other(measured)))
    return np.stack([((ours == theirs) & judged).sum(axis=1), judged.sum(axis=1)], axis=1).astype(np.float64)


def _none(parts: Values) -> Values:
    return np.asarray([0.0, parts[:, 1].mean()])


def _all(parts: Values) -> Values:
    return np.asarray([parts[:, 1].mean(), parts[:, 1].mean()])


token_agreement = Score(_agreement_parts, _mean, _none, _all).estimator
