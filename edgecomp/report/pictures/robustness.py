"""Accuracy on corrupted and attacked inputs, drawn."""

from collections.abc import Mapping

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes

from edgecomp.metrics.estimators.health.robustness import ATTACK, CLEAN, CORRUPTION, accuracies
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.report.evidence import Evidence
from edgecomp.report.pictures.drawing import COLOURS, STYLE, Key, Picture, panel, svg

CLEANLY = "none"
Curves = dict[str, dict[str, float]]
"""By panel, and severity or attack, the accuracy in per cent."""


def robustness(evidence: Evidence) -> Picture | None:
    """Of the first target of `evidence` that was asked: a panel a corruption, accuracy by severity, and one of attacks; None where none was."""
    asked = (
        one for one in map(evidence.measured.get, (target.name for target in evidence.job.targets)) if one
    )
    measured = next((one for one in asked if one.health is not None and one.health.answers), None)
    if measured is None or measured.health is None:
        return None
    by_arm = {arm: _curves(measured, arm) for arm in measured.health.answers}
    by_arm = {arm: curves for arm, curves in by_arm.items() if curves}
    names = list(dict.fromkeys(name for curves in by_arm.values() for name in curves))
    with mpl.rc_context(STYLE):
        panels = tuple(_panel(evidence, measured.target, name, by_arm) for name in names)
    keys = tuple(Key(evidence.names[arm], COLOURS[arm]) for arm in by_arm)
    return Picture(panels, keys) if panels else None


def _panel(evidence: Evidence, target: str, name: str, by_arm: Mapping[str, Curves]) -> Markup:
    figure, axis = panel(width=3.1, height=2.8)
    for place, (arm, curves) in enumerate(by_arm.items()):
        _drawn(axis, curves[name], COLOURS[arm], place, len(by_arm), name)
    axis.set(title=f"{name}: {target}", ylim=(0, 101), ylabel="accuracy (%)")
    axis.set_xlabel("" if name == ATTACKS else "severity (0: as they are)")
    told = (
        f"{evidence.names[arm]} {', '.join(f'{kind} {share:.1f} %' for kind, share in curves[name].items())}"
        for arm, curves in by_arm.items()
    )
    return svg(figure, f"{name} on {target}, accuracy: {'; '.join(told)}")


ATTACKS = "attacks"


def _drawn(axis: Axes, curve: Mapping[str, float], colour: str, place: int, arms: int, name: str) -> None:
    """A line by severity; attacks as bars beside each other."""
    if name != ATTACKS:
        severities = range(len(curve))
        axis.plot(severities, list(curve.values()), "o-", color=colour, markersize=3.5, linewidth=1.3)
        return
    width = 0.8 / arms
    places = [spot + (place - (arms - 1) / 2) * width for spot in range(len(curve))]
    axis.bar(places, list(curve.values()), width * 0.92, color=colour)
    axis.set_xticks(range(len(curve)), list(curve))
    axis.grid(axis="x", visible=False)


def _curves(measured: Measurements, arm: str) -> Curves:
    """By panel, a corruption or all attacks, the accuracy by severity or attack, as the examples are first."""
    try:
        clean = accuracies(measured, arm, CLEAN)[""]
        found: Curves = {}
        for name, share in accuracies(measured, arm, CORRUPTION).items():
            corruption, _, severity = name.partition(".")
            found.setdefault(corruption, {CLEANLY: clean})[severity] = share
        if attacked := accuracies(measured, arm, ATTACK):
            found[ATTACKS] = {CLEANLY: clean, **attacked}
    except NotMeasured:  # the table of figures says why
        return {}
    return found
