"""Accuracy against what it costs: latency and size, a panel a target, with the front of what nothing else beats."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes

from edgecomp.metrics.registry import FILE_SIZE, LATENCY_P50, METRICS
from edgecomp.metrics.units import format_value
from edgecomp.report.evidence import Evidence
from edgecomp.report.pictures.drawing import COLOURS, STYLE, Key, Picture, log_milliseconds, panel, svg
from edgecomp.report.pictures.plots import short
from edgecomp.stats.figure import Figure
from edgecomp.tasks import task

MARKERS = "osD^vPX*"
AXIS, INK, OTHER = "#8b929c", "#000000", "#767c85"


class Cost(NamedTuple):
    """What an axis is of. metric: its id; label, unit: of the axis; scale: what its figures are divided by."""

    metric: str
    label: str
    unit: str
    scale: float


LATENCY = Cost(LATENCY_P50, "median latency, one example (ms, log scale)", "ms", 1.0)
SIZE = Cost(FILE_SIZE, "model file (MiB, log scale)", "MiB", 2.0**20)


class Point(NamedTuple):
    """An arm: what it costs, in the unit of the axis, its score, and the figure of that."""

    arm: str
    cost: float
    score: float
    figure: Figure


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The places of those that nothing else beats: no other costs as little and scores as much, and does better in one of the two.

    points: cost and score of each; the front is in the order of its cost. Of the same point several times, all are on it.
    """

    def beaten(one: tuple[float, float]) -> bool:
        return any(other[0] <= one[0] and other[1] >= one[1] and other != one for other in points)

    return sorted(
        (place for place, one in enumerate(points) if not beaten(one)), key=lambda place: points[place]
    )


def points(evidence: Evidence, target: str, cost: Cost, score: str) -> list[Point]:
    """Every arm of `target` in `evidence` that has both figures. cost: of the axis; score: the id of the score."""
    found = []
    for arm, figures in evidence.figures.get(target, {}).items():
        spent, figure = figures.get(cost.metric), figures.get(score)
        if spent and figure and spent.estimate and figure.estimate is not None:
            found.append(Point(arm, spent.estimate / cost.scale, figure.estimate, figure))
    return found


def against_latency(evidence: Evidence) -> Picture | None:
    """A panel for each target of `evidence`: score against the median latency; None where there is nothing to draw."""
    return _drawn(evidence, LATENCY)


def against_size(evidence: Evidence) -> Picture | None:
    """A panel for each target of `evidence`: score against the size of the file; None where there is nothing to draw."""
    return _drawn(evidence, SIZE)


def _drawn(evidence: Evidence, cost: Cost) -> Picture | None:
    score = task(evidence.job.recipe.meant).score
    if not score:
        return None  # several outputs have a score each
    by_target = {target: points(evidence, target, cost, score) for target in evidence.figures}
    by_target = {target: found for target, found in by_target.items() if found}
    if not by_target:
        return None
    arms = list(dict.fromkeys(point.arm for found in by_target.values() for point in found))
    markers = {arm: MARKERS[place % len(MARKERS)] for place, arm in enumerate(arms)}
    with mpl.rc_context(STYLE):
        panels = tuple(
            _panel(evidence, target, found, markers, cost, score) for target, found in by_target.items()
        )
    keys = (Key(evidence.names.get(arm, arm), COLOURS.get(arm, OTHER), markers[arm]) for arm in arms)
    return Picture(
        panels, (*keys, Key("the student that is judged", INK, "ring"), Key("Pareto front", AXIS, "dashes"))
    )


def _draw_front(axis: Axes, best: Sequence[Point]) -> None:
    """The front from the bottom of `axis` up to the cheapest point of the `best`, from one to the next, and on to the right."""
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    costs = [best[0].cost, *(one.cost for one in best), right]
    scores = [bottom, *(one.score for one in best), best[-1].score]
    axis.step(costs, scores, where="post", color=AXIS, linewidth=1.3, linestyle="--", zorder=1.5)
    axis.set(xlim=(left, right), ylim=(bottom, top))


def _panel(
    evidence: Evidence,
    target: str,
    found: Sequence[Point],
    markers: Mapping[str, str],
    cost: Cost,
    score: str,
) -> Markup:
    figure, axis = panel(width=4.4, height=3.1)
    best = [found[place] for place in front([(one.cost, one.score) for one in found])]
    bounds = ""
    for one in found:
        colour = COLOURS.get(one.arm, OTHER)
        if one.figure.low is not None and one.figure.high is not None:
            bounds = f"\nbars: {one.figure.confidence_text}"
            spread = [[max(0.0, one.score - one.figure.low)], [max(0.0, one.figure.high - one.score)]]
            axis.errorbar(one.cost, one.score, yerr=spread, color=colour, linewidth=0.9, alpha=0.5, capsize=2)
        axis.plot(one.cost, one.score, markers[one.arm], color=colour, markersize=8)
        if one.arm == evidence.measured[target].student:
            axis.plot(one.cost, one.score, "o", markersize=15, markerfacecolor="none", markeredgecolor=INK)
    log_milliseconds(axis)
    axis.margins(x=0.15)
    _draw_front(axis, best)
    unit = " (%)" if METRICS[score].dimension == "percent" else ""
    axis.set(title=target, xlabel=cost.label, ylabel=f"{short(score)}, test{unit}{bounds}")
    names = evidence.names
    told = "; ".join(
        f"{names.get(one.arm, one.arm)} {format_value(one.score, one.figure.dimension)} at {one.cost:.3g} {cost.unit}"
        for one in found
    )
    on = ", ".join(names.get(one.arm, one.arm) for one in best)
    return svg(figure, f"{target}: {told}. On the Pareto front: {on}.")
