"""Where the work and the time of a network lie, layer by layer, and which of it the runtime does in integers."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from markupsafe import Markup

from edgecomp.arms import STUDENT_FP32
from edgecomp.metrics.layer_times import INT8, Layer, in_words
from edgecomp.metrics.registry import INT8_SHARE
from edgecomp.report.evidence import Evidence
from edgecomp.report.pictures.drawing import STYLE, Key, Picture, panel, shorten, svg

MOST = 30
"""Layers that are shown, the largest."""
INTEGERS, FLOAT, UNKNOWN = "#d9541e", "#3b78b5", "#767c85"
AS_FP32 = "#000000"  # ink, by the page's theme


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


def time_by_layer(evidence: Evidence) -> Picture | None:
    """A panel for each target of `evidence` whose runtime tells: what the layers of the judged file take, in the colour of their precision, and
    what the layer of the same name takes in the student's file in float; None where none tells."""
    panels = []
    by_layer = evidence.by_layer
    for target, layers in by_layer.items():
        with mpl.rc_context(STYLE):
            panels.append(_timed(target, layers))
    if not panels:
        return None
    is_beside = any(one.fp32_us is not None for layers in by_layer.values() for one in layers)
    beside = (Key(f"the same layer, {STUDENT_FP32.label}", AS_FP32, "ring"),) if is_beside else ()
    keys = (Key("in int8", INTEGERS, "square"), Key("in float, or moves values", FLOAT, "square"))
    return Picture(tuple(panels), (*keys, *beside))


def _timed(target: str, layers: Sequence[Layer]) -> Markup:
    longest = sorted(layers, key=lambda one: -one.us)[:MOST]
    shown = [one for one in layers if one in longest][::-1]  # in the order of execution, the first on top
    figure, axis = panel(width=4.6, height=0.9 + 0.2 * len(shown))
    for place, one in enumerate(shown):
        colour = INTEGERS if one.precision == INT8 else FLOAT if one.precision else UNKNOWN
        axis.barh(place, one.us, color=colour)
        if one.fp32_us is not None:
            axis.plot(one.fp32_us, place, "o", markerfacecolor="none", markeredgecolor=AS_FP32, markersize=6)
    axis.set_yticks(range(len(shown)), [shorten(one.name) for one in shown], fontsize=8)
    axis.grid(axis="y", visible=False)
    axis.set(title=target, xlim=(0, None))
    axis.set_xlabel("µs of one inference", loc="right")
    return svg(figure, f"{target}: {in_words(layers)}")


def _panel(target: str, layers: Sequence[Mapping[str, Any]], share: float | None) -> Markup:
    shown = sorted(layers, key=lambda one: -one["macs"])[:MOST]
    shown = [one for one in layers if one in shown][::-1]  # in the network's order, the first on top
    figure, axis = panel(width=4.6, height=0.9 + 0.2 * len(shown))
    for place, one in enumerate(shown):
        axis.barh(place, one["macs"] / 1e6, color=_colour(one["precision"]))
    axis.set_yticks(range(len(shown)), [shorten(one["name"]) for one in shown], fontsize=8)
    axis.grid(axis="y", visible=False)
    axis.set(title=target)
    axis.set_xlabel("millions of multiply-accumulates", loc="right")  # under long names it would be cut off
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
