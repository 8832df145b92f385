"""Whether a classifier answers every slice alike."""

from collections.abc import Iterator
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecomp.metrics.estimators.common import of_bounds
from edgecomp.metrics.estimators.scores import answers, class_name, len_of_classes
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.stats import intervals as stats
from edgecomp.stats.figure import Figure


class Rate(NamedTuple):
    """Of the examples of a slice, how many of `among` are given the answer."""

    slice: str
    hits: int
    among: int


def demographic_parity(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """The largest difference between two slices in how often an answer is given, in points: fairlearn's demographic_parity_difference, of every class.

    measured: of one target, its examples in slices; arm_name: which arm; confidence: of each bound. Raises NotMeasured, Impossible, NotFinite.
    """
    given = answers(measured, arm_name)
    everybody = np.ones(len(given), bool)
    return _widest(measured, arm_name, [("", everybody)], confidence)


def equalised_odds(measured: Measurements, arm_name: str, confidence: float) -> Figure:
    """The largest difference between two slices in how often an answer is given to those of one label, in points: of two classes fairlearn's
    equalized_odds_difference (Hardt, Price & Srebro 2016, arXiv:1610.02413).

    measured: of one target, its examples in slices; arm_name: which arm; confidence: of each bound. Raises NotMeasured, Impossible, NotFinite.
    """
    labels = measured.labels
    among = [
        (f" to label {class_name(measured, int(label))}", labels == label) for label in np.unique(labels)
    ]
    return _widest(measured, arm_name, among, confidence)


def _widest(
    measured: Measurements, arm_name: str, among: list[tuple[str, npt.NDArray[np.bool_]]], confidence: float
) -> Figure:
    """The widest gap of all, with bounds made of Clopper and Pearson's of each rate (Zou & Donner 2008, Statistics in Medicine 27:1693).

    That some gap is wide must not be said because there are many, so that the lower bound is of all of them at once, by Bonferroni's correction; the
    upper one is the largest of theirs, which covers the widest one as its own does.
    """
    if measured.slices is None or len(np.unique(measured.slices)) < 2:
        raise NotMeasured("the examples are of one slice: data.slice names a column of two or more")
    pairs = [
        (said, one, other)
        for said, rates in _rates(measured, arm_name, among)
        for one, other in permutations([rate for rate in rates if rate.among], 2)
    ]
    if not pairs:
        raise NotMeasured("no two slices have examples of one label")
    each = 1 - (1 - confidence) / len(pairs)
    gaps = [(_gap(one, other, confidence, each), said, one, other) for said, one, other in pairs]
    (middle, _, _), said, one, other = max(gaps, key=lambda gap: gap[0][0])
    lower, upper = max(0.0, *(gap[1] for gap, *_ in gaps)), max(gap[2] for gap, *_ in gaps)
    whole = of_bounds((middle, min(lower, middle), upper), 100, "points", len(measured.labels), confidence)
    told = f"{said}: {one.hits} of {one.among} in slice {one.slice}, {other.hits} of {other.among} in slice {other.slice}"
    return whole.model_copy(update={"note": told})


def _rates(
    measured: Measurements, arm_name: str, among: list[tuple[str, npt.NDArray[np.bool_]]]
) -> Iterator[tuple[str, list[Rate]]]:
    """By answer and those that may be given it, the rate of each slice."""
    given: npt.NDArray[Any] = answers(measured, arm_name)
    slices = measured.slices
    assert slices is not None
    for answer in range(len_of_classes(measured, arm_name)):
        for said, those in among:
            yield (
                f"answer {class_name(measured, answer)}{said}",
                [
                    Rate(
                        str(one),
                        int((given == answer)[those & (slices == one)].sum()),
                        int((those & (slices == one)).sum()),
                    )
                    for one in np.unique(slices)
                ],
            )


def _gap(one: Rate, other: Rate, confidence: float, lower_confidence: float) -> stats.Bounds:
    """How much higher the rate of `one` is than the `other`'s, with one-sided bounds."""

    def reach(rate: Rate, level: float) -> tuple[float, float]:
        low, high = stats.proportion_bounds(rate.hits, rate.among, level)
        return rate.hits / rate.among - low, high - rate.hits / rate.among

    gap = one.hits / one.among - other.hits / other.among
    lower = gap - float(np.hypot(reach(one, lower_confidence)[0], reach(other, lower_confidence)[1]))
    upper = gap + float(np.hypot(reach(one, confidence)[1], reach(other, confidence)[0]))
    return gap, lower, upper
