"""Two models' answers to the same labelled examples: by class, by slice, and example by example."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.gate.document import ChangedExample, ChangedPair, Changes, GroupDifference
from edgecomp.metrics.estimators import scores
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.stats import intervals as stats

CONFIDENCE = 0.95
MOST_LISTED = 1000  # changed examples, and pairs of answers; the rest are counted


def differences(measured: Measurements, arm: str, reference: str) -> Changes | None:
    """What changed from `reference` to `arm`; None where the two have no answers to the same examples.

    measured: labels, and the outputs of both arms; None as well where its task has no classes.

    `classes` and `slices`: of each group how many examples, right answers of both, and the difference in points, each with one-sided
    bounds of its own at CONFIDENCE (not corrected for there being several groups, as the worst class and the worst slice are).
    `answers`: the confusion matrix of changes by its cells, the commonest first. `changes`: the examples, those that are lost first.
    """
    if measured.task.strata(measured.labels) is None:
        return None  # it has no classes
    try:
        given, wanted = scores.answers(measured, arm), scores.answers(measured, reference)
    except NotMeasured:
        return None
    labels, slices = measured.labels, measured.slices
    names = [
        scores.class_name(measured, index)
        for index in range(1 + max(labels.max(), given.max(), wanted.max()))
    ]
    right, was_right = given == labels, wanted == labels
    changed = np.flatnonzero(given != wanted)
    lost, gained = was_right & ~right, right & ~was_right
    order = changed[np.lexsort((changed, ~lost[changed]))]
    return Changes(
        reference=reference,
        arm=arm,
        confidence=CONFIDENCE,
        examples=len(labels),
        changed=len(changed),
        lost=int(lost.sum()),
        gained=int(gained.sum()),
        classes=_by_group(labels, right, was_right, dict(enumerate(names))),
        slices=() if slices is None else _by_group(slices, right, was_right, {}),
        answers=_cells(labels[changed], wanted[changed], given[changed], names),
        changes=tuple(
            ChangedExample(
                example=int(place),
                label=names[labels[place]],
                slice=None if slices is None else str(slices[place]),
                reference=names[wanted[place]],
                answer=names[given[place]],
            )
            for place in order[:MOST_LISTED]
        ),
    )


def _by_group(
    groups: npt.NDArray[Any],
    right: npt.NDArray[np.bool_],
    was_right: npt.NDArray[np.bool_],
    names: dict[int, str],
) -> tuple[GroupDifference, ...]:
    """One for each group, the one that loses most first."""
    found = []
    for value in np.unique(groups):
        of = groups == value
        count, now, before = int(of.sum()), right[of], was_right[of]
        middle, lower, upper = stats.difference_bounds(
            int((now & ~before).sum()), int((~now & before).sum()), count, CONFIDENCE
        )
        found.append(
            GroupDifference(
                name=names.get(value, str(value)),
                examples=count,
                reference_right=int(before.sum()),
                right=int(now.sum()),
                difference_pt=(100 * middle, 100 * lower, 100 * upper),
            )
        )
    return tuple(sorted(found, key=lambda one: one.difference_pt[0]))


def _cells(
    labels: stats.Labels, wanted: stats.Labels, given: stats.Labels, names: Sequence[str]
) -> tuple[ChangedPair, ...]:
    """The confusion matrix of changes, the commonest first. labels, wanted, given: of the changed examples, int64 [changed]."""
    pairs, of, counts = np.unique(
        np.stack([wanted, given], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    of = of.reshape(-1)
    lost, gained = (
        np.bincount(of, weights=labels == answers, minlength=len(pairs)) for answers in (wanted, given)
    )
    order = np.argsort(-counts, kind="stable")[:MOST_LISTED]
    return tuple(
        ChangedPair(
            reference=names[pairs[place, 0]],
            answer=names[pairs[place, 1]],
            examples=int(counts[place]),
            lost=int(lost[place]),
            gained=int(gained[place]),
        )
        for place in order
    )
