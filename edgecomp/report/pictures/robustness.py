"""Accuracy on corrupted and attacked inputs, drawn."""

import matplotlib as mpl
from matplotlib.axes import Axes

from edgecomp.metrics.estimators.health.robustness import ATTACK, CLEAN, CORRUPTION, accuracies
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.report.evidence import Evidence
from edgecomp.report.pictures.plots import COLOURS, STYLE, subplots, svg

CLEANLY = "none"


def robustness(evidence: Evidence) -> str:
    """Of the first target of `evidence` that was asked: a panel a corruption, accuracy by severity, and one of attacks; nothing where none was."""
    asked = (
        one for one in map(evidence.measured.get, (target.name for target in evidence.job.targets)) if one
    )
    measured = next((one for one in asked if one.health is not None and one.health.answers), None)
    if measured is None or measured.health is None:
        return ""
    by_arm = {arm: _curves(measured, arm) for arm in measured.health.answers}
    by_arm = {arm: curves for arm, curves in by_arm.items() if curves}
    panels = list(dict.fromkeys(name for curves in by_arm.values() for name in curves))
    if not panels:
        return ""
    with mpl.rc_context(STYLE):
        figure, axes = subplots(len(panels), width=2.9, height=3.0)
        for axis, panel in zip(axes, panels, strict=True):
            for place, (arm, curves) in enumerate(by_arm.items()):
                _drawn(axis, curves[panel], COLOURS[arm], evidence.names[arm], place, len(by_arm), panel)
            axis.set(title=f"{panel}: {measured.target}" if panel == panels[0] else panel, ylim=(0, 101))
            axis.set_xlabel("" if panel == ATTACKS else "severity (0: as they are)")
        axes[0].set_ylabel("accuracy (%)")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8.5)
        return svg(figure)


ATTACKS = "attacks"


def _drawn(
    axis: Axes, curve: dict[str, float], colour: str, label: str, place: int, arms: int, panel: str
) -> None:
    """A line by severity; attacks as bars beside each other."""
    if panel != ATTACKS:
        severities = range(len(curve))
        axis.plot(
            severities, list(curve.values()), "o-", color=colour, label=label, markersize=3.5, linewidth=1.3
        )
        return
    width = 0.8 / arms
    places = [spot + (place - (arms - 1) / 2) * width for spot in range(len(curve))]
    axis.bar(places, list(curve.values()), width * 0.92, color=colour, label=label)
    axis.set_xticks(range(len(curve)), list(curve))
    axis.grid(axis="x", visible=False)


def _curves(measured: Measurements, arm: str) -> dict[str, dict[str, float]]:
    """By panel, a corruption or all attacks, the accuracy by severity or attack, as the examples are first."""
    try:
        clean = accuracies(measured, arm, CLEAN)[""]
        found: dict[str, dict[str, float]] = {}
        for name, share in accuracies(measured, arm, CORRUPTION).items():
            corruption, _, severity = name.partition(".")
            found.setdefault(corruption, {CLEANLY: clean})[severity] = share
        if attacked := accuracies(measured, arm, ATTACK):
            found[ATTACKS] = {CLEANLY: clean, **attacked}
    except NotMeasured:  # the table of figures says why
        return {}
    return found
