"""Scores of answers that are sequences, masks, vectors or orders: of one model, or of two on the same examples.

Estimators and comparators are those of `edgecomp.metrics.estimators.numbers.Score`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from edgecomp.metrics.estimators.common import of_bounds, proportion
from edgecomp.metrics.estimators.numbers import Score, all_right, all_wrong, halves, micro, of_answers
from edgecomp.metrics.estimators.scores import SEED, TEACHER, answers, class_name, outputs
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.stats import resampling
from edgecomp.stats.figure import Figure
from edgecomp.stats.intervals import Values
from edgecomp.tasks.base import IGNORED
from edgecomp.tasks.embedding import cosines_and_scores, found_among_nearest
from edgecomp.tasks.outputs import are_probabilities, errors_and_variances, likeliest_alike
from edgecomp.tasks.ranking import SHOWN, auc, ndcg, recall
from edgecomp.tasks.segmentation import intersections_and_unions, mean_iou
from edgecomp.tasks.token_classification import entities


def _entity_parts(measured: Measurements, arm_name: str) -> Values:
    """Twice the entities that are right, and those that are given and wanted: [examples, 2]."""
    given, labels = answers(measured, arm_name), measured.labels
    names = [class_name(measured, place) for place in range(1 + int(max(labels.max(), given.max())))]
    found = np.empty((len(labels), 2))
    for place, (row, wanted) in enumerate(zip(given, labels, strict=True)):
        judged = wanted != IGNORED
        ours, theirs = (entities([names[tag] for tag in tags[judged]]) for tags in (row, wanted))
        found[place] = 2 * len(ours & theirs), len(ours) + len(theirs)
    return found


@of_answers
def _token_parts(answers: Any, labels: Any) -> Values:
    """Words whose tag is right, and words: [examples, 2]."""
    judged = labels != IGNORED
    return np.stack([((answers == labels) & judged).sum(axis=1), judged.sum(axis=1)], axis=1).astype(
        np.float64
    )


def _overlap_parts(measured: Measurements, arm_name: str) -> Values:
    classes = outputs(measured, arm_name).shape[1]
    return intersections_and_unions(answers(measured, arm_name), measured.labels, classes)


@of_answers
def _pixel_parts(answers: Any, labels: Any) -> Values:
    """Pixels that are right, and pixels: [examples, 2]."""
    judged = labels != IGNORED
    right = ((answers == labels) & judged).sum(axis=(1, 2))
    return np.stack([right, judged.sum(axis=(1, 2))], axis=1).astype(np.float64)


def _each(score: Callable[[Any, Any], Any]) -> Callable[[Measurements, str], Values]:
    """Of a score in [0, 1] that every example has, its value and 1: [examples, 2]."""

    @of_answers
    def parts(answers: Any, labels: Any) -> Values:
        values = np.asarray(score(answers, labels), np.float64)
        return np.stack([values, np.ones(len(values))], axis=1)

    return parts


def _fidelity_parts(measured: Measurements, arm_name: str) -> Values:
    """Squared errors and squared deviations, of the teacher's outputs: [examples, 2]. Raises NotMeasured."""
    ours, theirs = (outputs(measured, name) for name in (arm_name, TEACHER))
    if ours.shape != theirs.shape:
        raise NotMeasured(
            f"outputs of shape {list(ours.shape[1:])} are not held against the teacher's, {list(theirs.shape[1:])}"
        )
    return np.stack(errors_and_variances(ours, theirs), axis=1)


def _error_parts(measured: Measurements, arm_name: str) -> Values:
    """Of each example the mean absolute error and the mean squared deviation of the teacher's outputs, and 1: [examples, 3]."""
    ours, theirs = (
        outputs(measured, name).astype(np.float64).reshape(len(measured.labels), -1)
        for name in (arm_name, TEACHER)
    )
    if ours.shape != theirs.shape:
        raise NotMeasured(
            f"outputs of {ours.shape[1]} numbers are not held against the teacher's {theirs.shape[1]}"
        )
    deviations = ((theirs - theirs.mean(axis=0)) ** 2).mean(axis=1)
    return np.stack([np.abs(ours - theirs).mean(axis=1), deviations, np.ones(len(ours))], axis=1)


def _relative_error(sums: Values) -> Values:
    deviation = np.sqrt(sums[..., 1] / sums[..., 2])
    return np.asarray(sums[..., 0] / sums[..., 2] / np.maximum(deviation, np.finfo(np.float64).tiny))


def _twice_as_far(parts: Values) -> Values:
    errors, deviations, one = parts.mean(axis=0)
    return np.asarray([2 * errors, deviations, one])


def _not_at_all(parts: Values) -> Values:
    _, deviations, one = parts.mean(axis=0)
    return np.asarray([0.0, deviations, one])


def top_agreement(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """The share of examples whose largest output is at the same place as the teacher's, with exact bounds; of outputs [N, 2 or more], or of
    several rows of probabilities, [N, ..., 2 or more], where all of an example's have to be.

    arm_name: of `measured`; confidence: one-sided. Raises NotMeasured where outputs are not a row of numbers.
    """
    ours, theirs = (outputs(measured, name) for name in (arm_name, TEACHER))
    if ours.shape != theirs.shape or not (
        (theirs.ndim == 2 and theirs.shape[1] > 1) or are_probabilities(theirs)
    ):
        raise NotMeasured(
            f"outputs of shape {list(ours.shape[1:])} an example have no largest that is an answer"
        )
    same = likeliest_alike(ours, theirs)
    return proportion(int(same.sum()), len(same), confidence)


def rank_correlation(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """Spearman's rank correlation of the pairs' cosines with their scores, in per cent, with bounds by resampling pairs. measured: of one
    target; arm_name: which arm; confidence: of each bound. Raises NotMeasured, Impossible, NotFinite."""
    cosines, scores = cosines_and_scores(outputs(measured, arm_name), measured.labels)
    bounds = resampling.rank_correlation_bounds(cosines, scores, confidence=confidence, seed=SEED)
    return of_bounds(bounds, 100, "percent", len(scores), confidence)


def rank_correlation_against(
    measured: Measurements, arm_name: str, reference: str, kind: str, confidence: float
) -> Figure:
    """That correlation held against another arm's on the same pairs. measured: of one target; arm_name, reference: the arm and the other;
    kind: `points` or `multiple`; confidence: of each bound. Raises NotMeasured, Impossible, NotFinite."""
    ours, scores = cosines_and_scores(outputs(measured, arm_name), measured.labels)
    theirs, _ = cosines_and_scores(outputs(measured, reference), measured.labels)
    compare: Any = np.subtract if kind == "points" else np.divide
    bounds = resampling.paired_rank_correlation_bounds(
        ours, theirs, scores, compare, confidence=confidence, seed=SEED
    )
    return of_bounds(bounds, 100 if kind == "points" else 1, kind, len(scores), confidence)


def _share(sums: Values) -> Values:
    return sums[..., 0] / np.maximum(sums[..., 1], np.finfo(np.float64).tiny)


def _explained(sums: Values) -> Values:
    return 1 - _share(sums)


def _none(parts: Values) -> Values:
    """An average example, all of it wrong."""
    return np.asarray([0.0, parts[:, 1].mean()])


def _all(parts: Values) -> Values:
    """An average example, all of it right."""
    return np.asarray([parts[:, 1].mean(), parts[:, 1].mean()])


def _apart(parts: Values) -> Values:
    """Of every class as many pixels as an image has on average, none of them found."""
    both, either = halves(parts)
    return np.concatenate([np.zeros(both.shape[1]), either.mean(axis=0)])


def _same(parts: Values) -> Values:
    _, either = halves(parts)
    return np.concatenate([either.mean(axis=0), either.mean(axis=0)])


def _as_far_as_the_mean(parts: Values) -> Values:
    """An average example, with the error that the teacher's mean output has, or twice one's own mean error, if that is more."""
    errors, variances = parts.mean(axis=0)
    return np.asarray([max(variances, 2 * errors), variances])


def _no_error(parts: Values) -> Values:
    return np.asarray([0.0, parts[:, 1].mean()])


_ENTITY_F1 = Score(_entity_parts, micro, all_wrong, all_right)
_TOKENS = Score(_token_parts, _share, _none, _all)
_IOU = Score(_overlap_parts, mean_iou, _apart, _same)
_PIXELS = Score(_pixel_parts, _share, _none, _all)
_RECALL_1, _RECALL_5 = (
    Score(_each(partial(found_among_nearest, most=most)), _share, _none, _all) for most in (1, 5)
)
_NDCG, _RECALL = (Score(_each(partial(score, most=SHOWN)), _share, _none, _all) for score in (ndcg, recall))
_AUC = Score(_each(auc), _share, _none, _all)
_ERROR = Score(_error_parts, _relative_error, _twice_as_far, _not_at_all)
_FIDELITY = Score(_fidelity_parts, _explained, _as_far_as_the_mean, _no_error)

entity_f1, entity_f1_against = _ENTITY_F1.estimator, _ENTITY_F1.comparator
token_accuracy, token_accuracy_against = _TOKENS.estimator, _TOKENS.comparator
iou, iou_against = _IOU.estimator, _IOU.comparator
pixel_accuracy, pixel_accuracy_against = _PIXELS.estimator, _PIXELS.comparator
recall_at_1, recall_at_1_against = _RECALL_1.estimator, _RECALL_1.comparator
recall_at_5, recall_at_5_against = _RECALL_5.estimator, _RECALL_5.comparator
ndcg_at_10, ndcg_at_10_against = _NDCG.estimator, _NDCG.comparator
recall_at_10, recall_at_10_against = _RECALL.estimator, _RECALL.comparator
auc_of_users, auc_of_users_against = _AUC.estimator, _AUC.comparator
teacher_error = _ERROR.estimator
fidelity, fidelity_against = _FIDELITY.estimator, _FIDELITY.comparator
