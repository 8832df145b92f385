"""How figures went from one result to the next, as a picture."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from edgecomp.files.scratch import replacing
from edgecomp.history.store import Result
from edgecomp.metrics.registry import METRICS
from edgecomp.report.pictures.drawing import STYLE, subplots, svg

COLOURS = ("#d9541e", "#3b78b5", "#2f8f6b", "#8a63b0", "#b08a2e", "#767c85")
BARS = {"one": "-", "two": ":"}  # lines of one-sided and of two-sided intervals
SCALES = {
    "multiple": (1.0, "x"),
    "nats": (1.0, "nats"),
    "bytes": (2.0**20, "MiB"),
    "time": (1.0, "ms"),
    "rate": (1.0, "/s"),
    "percent": (1.0, "%"),
    "points": (1.0, "pt"),
    "decibel": (1.0, "dB"),
    "energy": (1.0, "mJ"),
    "label": (1.0, "units"),
    "score": (1.0, "score"),
}


def write_trend(results: Sequence[Result], metrics: Sequence[str], file: Path) -> None:
    """One panel a metric, one line a target, in the order of the results; bars are intervals, and the legend says of which confidence,
    and whether they are one-sided (solid) or two-sided (dotted).

    results: oldest first; metrics: by id; file: an SVG.
    """
    with mpl.rc_context(STYLE):
        drawn, axes = subplots(len(metrics), width=4.2, height=2.8)
        for axis, metric in zip(axes, metrics, strict=True):
            bars: dict[str, str] = {}
            scale, unit = SCALES[METRICS[metric].dimension]
            for place, target in enumerate(dict.fromkeys(result.target for result in results)):
                points = [
                    (index, entry.figure)
                    for index, result in enumerate(results)
                    for entry in result.figures
                    if result.target == target
                    and (entry.metric, entry.figure.dimension) == (metric, METRICS[metric].dimension)
                ]
                colour = COLOURS[place % len(COLOURS)]
                axis.plot(
                    [index for index, _ in points],
                    [(figure.estimate or 0.0) / scale for _, figure in points],
                    "o-",
                    color=colour,
                    label=target.lstrip("_") or "–",  # matplotlib leaves out of a legend what begins with one
                    markersize=4,
                )
                for index, figure in points:
                    if figure.low is not None and figure.high is not None:
                        bars[figure.confidence_text] = BARS[figure.sided]
                        axis.plot(
                            [index, index],
                            [figure.low / scale, figure.high / scale],
                            BARS[figure.sided],
                            color=colour,
                            linewidth=1.5,
                            alpha=0.6,
                        )
            axis.set_title(metric)
            axis.set_ylabel(unit)
            axis.set_xlabel("results, oldest first")
            for told, style in bars.items():
                axis.plot([], [], style, color="#767c85", label=f"bars: {told}")
            if bars or axis is axes[0]:
                axis.legend(fontsize=7)
        with replacing(file) as temporary:
            temporary.write_text(svg(drawn), encoding="utf-8")
