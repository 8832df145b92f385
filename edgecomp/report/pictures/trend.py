"""How a recipe's figures went from one result to the next, as the history has them, up to the run that is shown."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from edgecomp.metrics.registry import FILE_SIZE, LATENCY_P50, METRICS
from edgecomp.metrics.units import format_value
from edgecomp.report.evidence import Evidence
from edgecomp.report.page.releases import Release
from edgecomp.report.pictures.drawing import STYLE, Key, Picture, panel, svg
from edgecomp.stats.figure import Figure
from edgecomp.tasks import task

Figures = Mapping[str, Figure]
"""By metric."""
MOST = 20
"""Results of a target that are drawn, the newest."""
COLOURS = ("#d9541e", "#3b78b5", "#2f8f6b", "#8a63b0", "#b08a2e", "#767c85")
SCALES = {"bytes": (2.0**20, "MiB"), "time": (1.0, "ms"), "percent": (1.0, "%")}


def trend(evidence: Evidence, past: Sequence[Release]) -> Picture | None:
    """A panel a metric, a line a target, the run of `evidence` last; None where there is no earlier result.

    past: earlier results, oldest first; the run's own, where the history has it already, is not drawn twice.
    """
    lines = {target.name: _line(evidence, target.name, past) for target in evidence.job.targets}
    lines = {target: line for target, line in lines.items() if len(line) > 1}
    score = task(evidence.job.recipe.meant).score
    metrics = [one for one in (score, LATENCY_P50, FILE_SIZE) if one]
    with mpl.rc_context(STYLE):
        panels = [one for metric in metrics if (one := _panel(metric, lines))]
    keys = [Key(target, COLOURS[place % len(COLOURS)]) for place, target in enumerate(lines)]
    return Picture(tuple(panels), tuple(keys)) if panels else None


def _line(evidence: Evidence, target: str, past: Sequence[Release]) -> list[Figures]:
    """The results of `target`, the newest MOST of them, the run's own last; a measurement that was judged several times is one."""
    own = evidence.figures.get(target, {}).get(evidence.measured[target].student)
    if own is None:
        return []
    every = [*(one.figures for one in past if one.target == target), own]
    kept = [one for one, after in pairwise(every) if not _is_same(one, after)]
    return [*kept, own][-MOST:]


def _is_same(one: Figures, other: Figures) -> bool:
    """Whether both are of the same measurement: medians of times do not meet by chance."""
    before, after = one.get(LATENCY_P50), other.get(LATENCY_P50)
    return before is not None and after is not None and before.estimate == after.estimate


def _panel(metric: str, lines: Mapping[str, Sequence[Figures]]) -> Markup | None:
    scale, unit = SCALES.get(METRICS[metric].dimension, (1.0, METRICS[metric].dimension))
    figure, axis = panel(width=3.6, height=2.5)
    told = []
    for place, (target, line) in enumerate(lines.items()):
        found = [(index, of[metric]) for index, of in enumerate(line, 1 - len(line)) if metric in of]
        found = [(index, one) for index, one in found if one.estimate is not None]
        if len(found) < 2:
            continue
        colour = COLOURS[place % len(COLOURS)]
        axis.plot(
            [index for index, _ in found],
            [(one.estimate or 0.0) / scale for _, one in found],
            "o-",
            color=colour,
            markersize=4,
        )
        for index, one in found:
            if one.low is not None and one.high is not None:
                ends = [one.low / scale, one.high / scale]
                axis.plot([index, index], ends, color=colour, linewidth=1.4, alpha=0.6)
        first, last = (format_value(one.estimate, one.dimension) for one in (found[0][1], found[-1][1]))
        told.append(f"{target} from {first} to {last} over {len(found)} results")
    if not told:
        return None
    axis.set(title=METRICS[metric].title.partition(",")[0], ylabel=unit, xlabel="results before this one (0)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return svg(figure, f"{METRICS[metric].title}: {'; '.join(told)}")
