"""Whether models are as sure as they are right, drawn."""

from collections.abc import Mapping

import matplotlib as mpl
from markupsafe import Markup

from edgecomp.metrics.estimators.health.calibration import sureness
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import Impossible, NotFinite, NotMeasured
from edgecomp.metrics.registry import CALIBRATION_ERROR, METRICS
from edgecomp.report.evidence import Evidence
from edgecomp.report.pictures.drawing import COLOURS, STYLE, Key, Picture, panel, svg
from edgecomp.report.pictures.plots import TRAINED
from edgecomp.stats.calibration import Bin, diagram

ROOM = 10
"""Per cent that the axes begin below the least of all bins."""


def reliability(evidence: Evidence) -> Picture | None:
    """By target, how often each trained arm of `evidence` is right where it is so sure; None where no classes are answered."""
    if evidence.job.recipe.task not in METRICS[CALIBRATION_ERROR].tasks or evidence.job.recipe.tasks:
        return None
    found = {target.name: _arms(evidence.measured[target.name]) for target in evidence.job.targets}
    found = {target: arms for target, arms in found.items() if arms}
    if not found:
        return None
    with mpl.rc_context(STYLE):
        panels = tuple(_panel(evidence, target, arms) for target, arms in found.items())
    shown = dict.fromkeys(arm for arms in found.values() for arm in arms)
    return Picture(panels, tuple(Key(evidence.names[arm], COLOURS[arm]) for arm in shown))


def _panel(evidence: Evidence, target: str, arms: Mapping[str, list[Bin]]) -> Markup:
    figure, axis = panel(width=4.2, height=3.2)
    axis.plot([0, 100], [0, 100], color="#8b929c", linewidth=0.9, linestyle="--")
    for arm, bins in arms.items():
        axis.plot(
            [100 * one.confidence for one in bins],
            [100 * one.right for one in bins],
            marker="o",
            markersize=3.5,
            linewidth=1.1,
            alpha=0.8,
            color=COLOURS[arm],
        )
    least = min(min(one.confidence, one.right) for bins in arms.values() for one in bins)
    start = max(0.0, 100 * least - ROOM)
    axis.set(
        title=target,
        xlabel="how sure (%)",
        ylabel="how often right (%)",
        xlim=(start, 101),
        ylim=(start, 101),
    )
    told = "; ".join(
        f"{evidence.names[arm]}, least sure bin: {100 * bins[0].confidence:.1f} % sure, {100 * bins[0].right:.1f} % right"
        for arm, bins in arms.items()
    )
    return svg(figure, f"{target}: {told}")


def _arms(measured: Measurements) -> dict[str, list[Bin]]:
    """By trained arm, the bins of its diagram."""
    found = {}
    for arm in TRAINED:
        try:
            found[arm] = diagram(*sureness(measured, arm))
        except (NotMeasured, Impossible, NotFinite):  # the table of figures says why
            continue
    return found
