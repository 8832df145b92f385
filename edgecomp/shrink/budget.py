"""What a target's budget allows a candidate, held against what it was measured to take: before it is trained."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from edgecomp.config.policy import Threshold
from edgecomp.metrics.registry import FILE_SIZE, METRICS, PARAMETERS
from edgecomp.metrics.samples import STREAM_WALL
from edgecomp.metrics.units import format_value

Figures = Mapping[str, Mapping[str, float]]
"""By target, by metric: the median over restarts, in the metric's base unit."""


class Limit(NamedTuple):
    """A limit of a target's latency, memory, throughput or size. value: in the metric's base unit; text: as it is written, `≤ 20 ms`."""

    target: str
    metric: str
    kind: Literal["max", "min"]
    value: float
    text: str

    def excess(self, found: float) -> float:
        """By how much `found` is over the limit, as a share of it; nothing, or less, where it is kept."""
        if found <= 0:
            return math.inf if self.kind == "min" else -1.0
        return found / self.value - 1 if self.kind == "max" else self.value / found - 1


SIZES = (FILE_SIZE, PARAMETERS)
"""Metrics that are exact, and known before anything is measured."""


def limits_of(rows: Mapping[str, Mapping[str, Threshold]], teacher_bytes: int) -> list[Limit]:
    """The limits among a job's checks that an untrained network can be held to. rows: by target, by name: the policy's, the budget's and the
    recipe's together, all of which hold; teacher_bytes: what the teacher's parameters take, which a policy may want a student to be a share of. All
    else that is held against another model is for the run to judge, as is what an answer is worth."""
    absolute = [
        Limit(target, row.metric, "max" if row.max else "min", row.limit.value, row.text)
        for target, named in rows.items()
        for row in named.values()
        if row.against is None
        and row.kind != "margin"
        and row.severity == "block"
        and is_measured(row.metric)
    ]
    of_teacher = [
        Limit(target, PARAMETERS, "max", row.limit.value * teacher_bytes, row.text)
        for target, named in rows.items()
        for row in named.values()
        if row.metric == PARAMETERS and row.against == "teacher" and row.max and row.severity == "block"
    ]
    return absolute + of_teacher


def is_measured(metric: str) -> bool:
    """Whether a file alone tells it, whatever it answers: time, memory and size. metric: its id."""
    found = METRICS[metric]
    return metric in SIZES or (found.source == "restarts" and found.samples != STREAM_WALL)


def excesses(limits: Sequence[Limit], figures: Figures) -> dict[str, float]:
    """By target and metric, how far over the `limits` the `figures` of a candidate are; a limit whose figure is not there is left out."""
    return {
        f"{limit.target}/{limit.metric}": limit.excess(found)
        for limit in limits
        if (found := figures.get(limit.target, {}).get(limit.metric)) is not None
    }


def broken(limits: Sequence[Limit], figures: Figures) -> str:
    """The `limits` that the `figures` of a candidate are over, in words; empty where it keeps all of them."""
    return "; ".join(
        f"{limit.metric} {format_value(found, METRICS[limit.metric].dimension)} on {limit.target}, {limit.text}"
        for limit in limits
        if (found := figures.get(limit.target, {}).get(limit.metric)) is not None and limit.excess(found) > 0
    )
