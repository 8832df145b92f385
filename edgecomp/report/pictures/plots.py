"""The report's pictures, as SVG text."""

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from edgecomp.arms import ARMS, CONTROL, STUDENT_FP32, STUDENT_INT8, TEACHER
from edgecomp.metrics.registry import LATENCY_P50, LATENCY_P99, METRICS, PEAK
from edgecomp.metrics.samples import SINGLE_STREAM_WALL
from edgecomp.report.evidence import Evidence
from edgecomp.tasks import task
from edgecomp.text import inline, plain

COLOURS = {name: arm.colour for name, arm in ARMS.items()}
TRAINED = [arm.name for arm in (TEACHER, STUDENT_FP32, CONTROL, STUDENT_INT8)]  # the last is drawn on top
PHASES = ("imports", "load", "first_run", "steady")
PHASE_COLOURS = ("#d7dbe0", "#b3bac3", "#8d96a3", "#5f6a79")
MARKERS = "osD^vP"
SHOWN_LAYERS = 30

LONGEST = 60  # characters of a text in a picture

STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold a dollar
    "svg.hashsalt": "edgecomp",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8b929c",
    "axes.grid": True,
    "grid.color": "#e6e8eb",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
}


def latency_distributions(evidence: Evidence) -> str:
    """A cumulative distribution of single-stream latency for each restart in `evidence`, and the budgets."""
    targets = {target.name: _limits(evidence, target.name) for target in evidence.job.targets}
    figure, axes = subplots(len(targets), width=4.6, height=3.5)
    for axis, (name, limits) in zip(axes, targets.items(), strict=True):
        measured = evidence.measured[name]
        for arm, data in measured.arms.items():
            for restart, samples in enumerate(data.samples.get(SINGLE_STREAM_WALL, ())):
                ordered = np.sort(samples) / 1e6
                share = np.arange(1, len(ordered) + 1) / len(ordered) * 100
                label = evidence.names[arm] if restart == 0 else None
                axis.step(
                    ordered, share, where="post", color=COLOURS[arm], alpha=0.6, linewidth=1.1, label=label
                )
        for metric, style in ((LATENCY_P50, ":"), (LATENCY_P99, "--")):
            limit = limits.get(metric)
            if limit is not None:
                axis.axvline(limit, color="#b3261e", linestyle=style, linewidth=1.2)
                axis.text(
                    limit,
                    3,
                    f" {metric[8:11]} budget",
                    color="#b3261e",
                    rotation=90,
                    ha="right",
                    va="bottom",
                    fontsize=8,
                )
        _log_milliseconds(axis)
        axis.set(
            title=name,
            xlabel="latency, one example (ms, log scale)",
            ylabel="share of inferences (%)",
            ylim=(0, 101),
        )
    handles, labels = _legend(axes)
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=3,
        fontsize=8.5,
        title="one line a restart",
        title_fontsize=8,
    )
    return svg(figure)


def _legend(axes: Sequence[Axes]) -> tuple[Sequence[Any], Sequence[str]]:
    """Handles and labels of the first picture that shows anything: of a device that did not run there is nothing."""
    found = [axis.get_legend_handles_labels() for axis in axes]
    return next((one for one in found if one[0]), found[0])


def accuracy_against_latency(evidence: Evidence) -> str:
    """Every arm of `evidence` on every target: up and to the left is better.

    Bars are bounds, of the confidence that the axis says.
    """
    figure, (axis,) = subplots(1, width=7.2, height=3.6)
    said, score = "none", task(evidence.job.recipe.meant).score
    for marker, (target, arms) in zip(MARKERS, evidence.figures.items(), strict=False):
        for arm, figures in arms.items():
            latency, accuracy = figures.get(LATENCY_P50), figures.get(score)
            if latency is None or accuracy is None:
                continue
            x, y = latency.estimate, accuracy.estimate
            if x is None or y is None or accuracy.low is None or accuracy.high is None:
                continue
            spread, said = [[y - accuracy.low], [accuracy.high - y]], accuracy.confidence_text
            axis.errorbar(x, y, yerr=spread, color=COLOURS[arm], linewidth=0.8, alpha=0.45, capsize=2)
            axis.plot(
                x, y, marker, color=COLOURS[arm], markersize=7, label=f"{evidence.names[arm]}: {target}"
            )
    _log_milliseconds(axis)
    axis.set(
        xlabel="median latency, one example (ms, log scale)",
        ylabel=f"{_short(score)}, test split (%)\nbars: {said}",
    )
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return svg(figure)


def _short(metric: str) -> str:
    """A score's title without what it is explained by."""
    return METRICS[metric].title.partition(",")[0] if metric else "mean of the outputs' scores"


TERM = "loss: "  # before the name of a term of the loss, in a history


def _score_key(history: Sequence[Mapping[str, float]]) -> str:
    """What an epoch's score on the validation split is called; of runs made before there were other tasks it is the accuracy."""
    return next(key for key in ("validation_score_pct", "validation_accuracy_pct") if key in history[0])


def memory_by_phase(evidence: Evidence) -> str:
    """Unique memory (USS) at each phase's end in `evidence`, with the high-water mark and the budget."""
    targets = {target.name: _limits(evidence, target.name) for target in evidence.job.targets}
    figure, axes = subplots(len(targets), width=4.6, height=3.4)
    for axis, (name, limits) in zip(axes, targets.items(), strict=True):
        arms = {arm: data for arm, data in evidence.measured[name].arms.items() if data.memory}
        for place, (arm, data) in enumerate(arms.items()):
            for shift, (phase, colour) in enumerate(zip(PHASES, PHASE_COLOURS, strict=True)):
                held = data.memory[phase]["uss_bytes"] / 2**20
                label = phase.replace("_", " ") if place == 0 else None
                axis.bar(place + (shift - 1.5) * 0.2, held, 0.19, color=colour, label=label)
            peak = data.memory["steady"]["peak_bytes"] / 2**20
            axis.plot([place - 0.42, place + 0.42], [peak, peak], color=COLOURS[arm], linewidth=2.2)
            axis.text(
                place, peak, f"peak {peak:.0f}", ha="center", va="bottom", fontsize=8, color=COLOURS[arm]
            )
        if PEAK in limits:
            limit = limits[PEAK] / 2**20
            axis.axhline(limit, color="#b3261e", linestyle="--", linewidth=1.2)
            axis.text(-0.45, limit, "budget", color="#b3261e", ha="left", va="bottom", fontsize=8)
        axis.set_xticks(
            range(len(arms)),
            [evidence.names[arm].replace(", ", ",\n").replace("'s ", "'s\n") for arm in arms],
            fontsize=8,
        )
        axis.set(title=name, ylabel="MiB")
        axis.grid(axis="x", visible=False)
        axis.margins(y=0.12)
    handles, labels = _legend(axes)
    figure.legend(
        handles, labels, loc="outside lower center", ncols=4, fontsize=8, title="USS after", title_fontsize=8
    )
    return svg(figure)


def training_curves(evidence: Evidence) -> str:
    """Validation score and loss by epoch in `evidence`; the int8 student goes on where the fp32 student ends. Where a recipe
    names terms of its loss, each of them as well.

    What was trained already has a score and no loss: its score is drawn as a level.
    """
    distill = evidence.job.recipe.distill
    terms = _terms(evidence) if distill.terms or distill.hidden else {}
    figure, (left, right, *rest) = subplots(3 if terms else 2, width=4.6, height=2.9)
    start = len(evidence.history[STUDENT_FP32.name])
    for arm in TRAINED:
        offset = 0 if arm in (TEACHER.name, STUDENT_FP32.name) else start
        if arm not in evidence.history:
            continue  # made without training
        history = evidence.history[arm]
        if "loss" not in history[0]:
            level = history[0][_score_key(history)]
            left.axhline(level, color=COLOURS[arm], linewidth=1.4, label=evidence.names[arm])
            continue
        epochs = [offset + index + 1 for index in range(len(history))]
        for axis, key in ((left, _score_key(history)), (right, "loss")):
            values = [epoch[key] for epoch in history]
            axis.plot(
                epochs,
                values,
                "o-",
                color=COLOURS[arm],
                markersize=3,
                linewidth=1.4,
                label=evidence.names[arm],
            )
    for axis in rest:
        for name, values in terms.items():
            axis.plot(range(1, len(values) + 1), values, "o-", markersize=3, linewidth=1.4, label=name)
        axis.set(title="terms of the student's loss, weighted")
        axis.legend(fontsize=8.5)
    for axis in (left, right, *rest):
        axis.axvline(start + 0.5, color="#8b929c", linestyle=":", linewidth=1.2)
        axis.set_xlabel("epoch (dotted: quantisation sets in)")
    left.set(title=f"validation, {_short(task(evidence.job.recipe.meant).score)} (%)")
    right.set(title="training loss (log scale)", yscale="log")
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    right.yaxis.set_minor_formatter(NullFormatter())
    left.legend(fontsize=8.5, loc="lower right")
    return svg(figure)


def _terms(evidence: Evidence) -> dict[str, list[float]]:
    """Each term of the student's loss by epoch, of fp32 and then of int8."""
    arms = [arm.name for arm in (STUDENT_FP32, STUDENT_INT8) if arm.name in evidence.history]
    epochs = [epoch for arm in arms for epoch in evidence.history[arm]]
    names = [key for key in epochs[0] if key.startswith(TERM)] if epochs else []
    return {name.removeprefix(TERM): [epoch[name] for epoch in epochs if name in epoch] for name in names}


def sensitivity(precision: Mapping[str, Any]) -> str:
    """What each layer's integers cost, the costliest on top; those left in float are drawn hollow. precision: of precision.json."""
    layers = precision["sensitivities"][:SHOWN_LAYERS][::-1]
    figure, (axis,) = subplots(1, width=7.2, height=1.0 + 0.24 * len(layers))
    for place, layer in enumerate(layers):
        in_float = layer["layer"] in precision["float_layers"]
        axis.barh(
            place,
            layer["cost"] * 1e3,
            color="white" if in_float else STUDENT_INT8.colour,
            edgecolor=STUDENT_INT8.colour,
            hatch="///" if in_float else None,
        )
    axis.axvline(0, color="#8b929c", linewidth=0.9)
    axis.set_yticks(range(len(layers)), [shorten(layer["layer"]) for layer in layers], fontsize=8.5)
    axis.set(
        xlabel="divergence from the teacher that goes away when this layer alone is in float (millinats)"
    )
    axis.grid(axis="y", visible=False)
    return svg(figure)


def pictures(evidence: Evidence) -> dict[str, str]:
    """Every picture of the report on `evidence`, by name."""
    with mpl.rc_context(STYLE):
        shown = {"sensitivity": sensitivity(evidence.precision)} if evidence.precision else {}
        return shown | {
            "latency": latency_distributions(evidence),
            "accuracy": accuracy_against_latency(evidence),
            "memory": memory_by_phase(evidence),
            "training": training_curves(evidence),
        }


def _limits(evidence: Evidence, target: str) -> dict[str, float]:
    """The limits that were judged, in the metric's own unit: those that are not against a reference."""
    return {
        name: threshold.limit.value
        for threshold in evidence.job.rows[target].values()
        if threshold.against is None
        for name in [threshold.metric]
    }


def subplots(count: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `count` axes in a row, each `width` by `height` inches."""
    figure = Figure(figsize=(width * count, height), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)
    return figure, list(axes[0])


def _log_milliseconds(axis: Axes) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


def shorten(text: str) -> str:
    """A name as a picture has room for it: `text` on one line, cut after LONGEST characters."""
    shown = inline(text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def svg(figure: Figure) -> str:
    """A figure as SVG text; the texts in it that are too long are cut, in the figure as well."""
    for artist in figure.findobj(Text):
        artist.set_text(shorten(artist.get_text()))
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # to measure it; the reader's own fonts show it
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return plain(text[text.index("<svg") :])
