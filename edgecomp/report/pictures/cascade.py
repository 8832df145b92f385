"""What a cascade answers and costs by how much it hands on, drawn."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from markupsafe import Markup

from edgecomp import arms
from edgecomp.metrics.registry import CPU_P50
from edgecomp.report.evidence import Evidence
from edgecomp.report.pictures.drawing import COLOURS, STYLE, Key, Picture, panel, svg

OF_COST = "#6b7280"


def cascade(evidence: Evidence) -> Picture | None:
    """By target of `evidence`, accuracy on the validation split and CPU time by the share that is handed on; None where the release is no cascade."""
    if not evidence.cascades:
        return None
    with mpl.rc_context(STYLE):
        panels = tuple(_panel(evidence, target, found) for target, found in evidence.cascades.items())
    keys = (
        Key("accuracy on the validation split", COLOURS[arms.CASCADE.name]),
        Key("CPU time of one inference, worked out", OF_COST),
    )
    return Picture(panels, keys)


def costs(evidence: Evidence, target: str) -> tuple[float, float] | None:
    """CPU time, in ms, of one inference of the student and of the teacher, as `evidence` has them of `target`; None where one was not measured."""
    figures = evidence.figures.get(target, {})
    student = arms.student(evidence.job.recipe.quantize).name
    found = [figures.get(arm, {}).get(CPU_P50) for arm in (student, arms.TEACHER.name)]
    if found[0] is None or found[1] is None or found[0].estimate is None or found[1].estimate is None:
        return None
    return found[0].estimate, found[1].estimate


def _panel(evidence: Evidence, target: str, found: Mapping[str, Any]) -> Markup:
    figure, axis = panel(width=4.2, height=3.0)
    shares, accuracies = zip(*found["curve"], strict=True)
    percent = [100 * share for share in shares]
    axis.plot(percent, accuracies, color=COLOURS[arms.CASCADE.name], linewidth=1.3)
    handed_on = 100 * found["handed_on"]
    axis.axvline(handed_on, color=COLOURS[arms.CASCADE.name], linewidth=0.9, linestyle="--")
    axis.set(title=target, xlabel="handed on (%)", ylabel="accuracy (%)", xlim=(-1, 101))
    told = f"{target}: accuracy {accuracies[0]:.1f} % with nothing handed on, {accuracies[-1]:.1f} % with everything; {handed_on:.1f} % is handed on"
    if (cost := costs(evidence, target)) is not None:
        other = axis.twinx()
        other.plot(percent, [cost[0] + share * cost[1] for share in shares], color=OF_COST, linewidth=1.0)
        other.set(ylabel="CPU time (ms)", ylim=(0, None))
        told += f", at {cost[0] + found['handed_on'] * cost[1]:.3g} ms"
    return svg(figure, told)
