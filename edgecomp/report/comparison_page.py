"""A page for one comparison: its verdict, every restart, and who was compared with whom. Derived, and can be written again."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from edgecomp.metrics.units import format_value
from edgecomp.report.evidence import estimate_text
from edgecomp.report.in_ci import worst_first
from edgecomp.report.plots import STYLE, subplots, svg
from edgecomp.report.stage import environment

CANDIDATE, NULL, MARGIN = "#d9541e", "#767c85", "#b3261e"


def write_page(folder: Path, verdict: Mapping[str, Any]) -> None:
    """compare.html, one file, beside verdict.json."""
    page = (
        environment()
        .get_template("compare.html.j2")
        .render(
            verdict=verdict,
            compared=verdict["compared"],
            rows=[(row, estimate_text(row["estimate"])) for row in worst_first(verdict)],
            picture=picture(verdict),
            format_value=format_value,
        )
    )
    (folder / "compare.html").write_text(page, encoding="utf-8")


def picture(verdict: Mapping[str, Any]) -> str | None:
    """By row of restarts: each restart's ratio, the baseline's beside itself, the interval and the limit, in per cent."""
    rows = [row for row in verdict["gates"] if row["name"] in verdict["compared"]["log_ratios"]]
    if not rows:
        return None
    with mpl.rc_context(STYLE):
        drawn, axes = subplots(len(rows), width=3.6, height=2.1)
        for axis, row in zip(axes, rows, strict=True):
            ratios = verdict["compared"]["log_ratios"][row["name"]]
            for place, (values, colour) in enumerate(
                ((ratios["candidate"], CANDIDATE), (ratios["again"], NULL))
            ):
                axis.plot(
                    100 * np.expm1(values),
                    np.full(len(values), place),
                    "o",
                    color=colour,
                    alpha=0.6,
                    markersize=4,
                )
            found = row["estimate"]
            if found and found["lower"] is not None:
                ends = [100 * math.expm1(found[end]) for end in ("lower", "upper")]
                axis.plot(ends, [-0.5, -0.5], color=CANDIDATE, linewidth=3, solid_capstyle="butt")
            axis.axvline(0, color="#8b929c", linewidth=0.8)
            axis.axvline(100 * math.expm1(row["limit_value"]), color=MARGIN, linewidth=1, linestyle="--")
            axis.set_yticks([-0.5, 0, 1], ["interval", "candidate", "baseline again"])
            axis.set_ylim(-0.9, 1.5)
            axis.set_title(row["name"])
            axis.set_xlabel("% over the baseline")
        return svg(drawn)
