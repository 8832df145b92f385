"""A page for one comparison: its verdict, every restart, and who was compared with whom. Derived, and can be written again."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from markupsafe import Markup

from edgecomp.gate.document import Check, VerdictDocument
from edgecomp.metrics.units import format_value
from edgecomp.report.figures import column
from edgecomp.report.in_ci import worst_first
from edgecomp.report.pictures.drawing import STYLE, Picture, panel, svg
from edgecomp.report.stage import environment

CANDIDATE, NULL, MARGIN = "#d9541e", "#767c85", "#b3261e"


def write_page(folder: Path, verdict: VerdictDocument) -> None:
    """compare.html, one file, beside verdict.json. folder: the comparison's."""
    shown = column(check.estimate for check in verdict.checks)
    page = (
        environment()
        .get_template("compare.html.j2")
        .render(
            verdict=verdict,
            compared=verdict.compared,
            bounds=shown.bounds,
            checks=[(check, shown.text(check.estimate)) for check in worst_first(verdict)],
            picture=picture(verdict),
            format_value=format_value,
        )
    )
    (folder / "compare.html").write_text(page, encoding="utf-8")


def picture(verdict: VerdictDocument) -> Picture | None:
    """A panel for each check of restarts: each restart's ratio, the baseline's beside itself, the interval and the limit, in per cent.

    verdict: of a comparison; None where no check of it is of restarts.
    """
    log_ratios = verdict.compared.log_ratios if verdict.compared else {}
    checks = [check for check in verdict.checks if check.name in log_ratios]
    if not checks:
        return None
    with mpl.rc_context(STYLE):
        return Picture(tuple(_panel(check, log_ratios[check.name]) for check in checks))


def _panel(check: Check, ratios: Mapping[str, Sequence[float]]) -> Markup:
    drawn, axis = panel(width=3.6, height=2.1)
    for place, (values, colour) in enumerate(((ratios["candidate"], CANDIDATE), (ratios["again"], NULL))):
        axis.plot(
            100 * np.expm1(values),
            np.full(len(values), place),
            "o",
            color=colour,
            alpha=0.6,
            markersize=4,
        )
    found, told = check.estimate, "interval"
    if found and found.low is not None and found.high is not None:
        ends = [100 * math.expm1(end) for end in (found.low, found.high)]
        told = f"interval,\n{found.confidence_text}"
        axis.plot(ends, [-0.5, -0.5], color=CANDIDATE, linewidth=3, solid_capstyle="butt")
    axis.axvline(0, color="#8b929c", linewidth=0.8)
    axis.axvline(100 * math.expm1(check.limit_value), color=MARGIN, linewidth=1, linestyle="--")
    axis.set_yticks([-0.5, 0, 1], [told, "candidate", "baseline again"])
    axis.set_ylim(-0.9, 1.5)
    axis.set_title(check.name)
    axis.set_xlabel("% over the baseline")
    return svg(drawn, f"Ratios of restarts, candidate over baseline: {check.name}: {check.sentence}")
