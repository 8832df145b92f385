"""Where the work of a network lies, layer by layer, and which of it the runtime does in integers."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from markupsafe import Markup

from edgecomp.metrics.registry import INT8_SHARE
from edgecomp.report.evidence import Evidence
from edgecomp.report.pictures.drawing import STYLE, Key, Picture, panel, shorten, svg

MOST = 30
"""Layers that are shown, the largest."""
INTEGERS, FLOAT, UNKNOWN = "#d9541e", "#3b78b5", "#767c85"


def work_by_layer(evidence: Evidence) -> Picture | None:
    """A panel for each target of `evidence`: multiply-accumulates of the judged student's layers, in the colour of their precision;
    None where no runtime says what it executes."""
    panels = []
    for target, arm, parity in evidence.compared:
        layers = [one for one in parity.get("layers", []) if one["macs"]]
        if layers and arm == evidence.measured[target].student:
            with mpl.rc_context(STYLE):
                panels.append(_panel(target, layers, parity.get(INT8_SHARE)))
    keys = (Key("in int8", INTEGERS, "square"), Key("in float", FLOAT, "square"))
    return Picture(tuple(panels), keys) if panels else None


def _panel(target: str, layers: Sequence[Mapping[str, Any]], share: float | None) -> Markup:
    shown = sorted(layers, key=lambda one: -one["macs"])[:MOST]
    shown = [one for one in layers if one in shown][::-1]  # in the network's order, the first on top
    figure, axis = panel(width=4.6, height=0.9 + 0.2 * len(shown))
    for place, one in enumerate(shown):
        axis.barh(place, one["macs"] / 1e6, color=_colour(one["precision"]))
    axis.set_yticks(range(len(shown)), [shorten(one["name"]) for one in shown], fontsize=8)
    axis.grid(axis="y", visible=False)
    axis.set(title=target, xlabel="millions of multiply-accumulates")
    total = sum(one["macs"] for one in layers)
    largest = max(layers, key=lambda one: one["macs"])
    told = (
        f"{share:.1f} % of the multiply-accumulates in int8" if share is not None else "share in int8 unknown"
    )
    return svg(
        figure,
        f"{target}: {len(layers)} layers with {total:,} multiply-accumulates; {told}; the largest is {largest['name']}, "
        f"{100 * largest['macs'] / total:.0f} % of them, in {largest['precision']}",
    )


def _colour(precision: str) -> str:
    return INTEGERS if "int8" in precision or precision in ("i8", "u8") else FLOAT if precision else UNKNOWN
