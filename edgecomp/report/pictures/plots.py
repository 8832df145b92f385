"""The report's pictures of what was measured and learnt, as SVG text."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

from edgecomp.arms import CONTROL, STUDENT_FP32, STUDENT_INT8, TEACHER
from edgecomp.metrics.measurements import Measurements
from edgecomp.metrics.registry import LATENCY_P50, LATENCY_P99, METRICS, PEAK
from edgecomp.metrics.samples import SINGLE_STREAM_WALL
from edgecomp.metrics.units import format_value
from edgecomp.report.evidence import Evidence
from edgecomp.report.pictures.drawing import (
    COLOURS,
    LIMIT,
    STYLE,
    Key,
    Picture,
    log_milliseconds,
    panel,
    plain_numbers,
    shorten,
    svg,
)
from edgecomp.tasks import task

TRAINED = [arm.name for arm in (TEACHER, STUDENT_FP32, CONTROL, STUDENT_INT8)]  # the last is drawn on top
PHASES = ("imports", "load", "first_run", "steady")
PHASE_COLOURS = ("#d7dbe0", "#b3bac3", "#8d96a3", "#5f6a79")
SHOWN_LAYERS = 30


def latency_distributions(evidence: Evidence) -> Picture:
    """A cumulative distribution of single-stream latency for each restart in `evidence`, and the budgets: a panel a target."""
    panels = []
    shown: dict[str, None] = {}
    for target in evidence.job.targets:
        limits, measured = _limits(evidence, target.name), evidence.measured[target.name]
        figure, axis = panel(width=4.6, height=3.2)
        for arm, data in measured.arms.items():
            for samples in data.samples.get(SINGLE_STREAM_WALL, ()):
                ordered = np.sort(samples) / 1e6
                share = np.arange(1, len(ordered) + 1) / len(ordered) * 100
                axis.step(ordered, share, where="post", color=COLOURS[arm], alpha=0.6, linewidth=1.1)
                shown[arm] = None
        for metric, style in ((LATENCY_P50, ":"), (LATENCY_P99, "--")):
            limit = limits.get(metric)
            if limit is not None:
                axis.axvline(limit, color=LIMIT, linestyle=style, linewidth=1.2)
                axis.text(
                    limit,
                    3,
                    f" {metric[8:11]} budget",
                    color=LIMIT,
                    rotation=90,
                    ha="right",
                    va="bottom",
                    fontsize=8,
                )
        log_milliseconds(axis)
        axis.set(
            title=target.name,
            xlabel="latency, one example (ms, log scale)",
            ylabel="share of inferences (%)",
            ylim=(0, 101),
        )
        panels.append(svg(figure, _said_of_latency(evidence, measured, limits)))
    keys = [Key(f"{evidence.names[arm]}, a line a restart", COLOURS[arm]) for arm in shown]
    return Picture(tuple(panels), tuple(keys))


def _said_of_latency(evidence: Evidence, measured: Measurements, limits: Mapping[str, float]) -> str:
    """Medians and 99th percentiles over all inferences of all restarts, and the budgets, in words."""
    told = []
    for arm, data in measured.arms.items():
        samples = data.samples.get(SINGLE_STREAM_WALL)
        if samples is not None and samples.size:
            half, most = (format_value(float(one), "time") for one in np.percentile(samples / 1e6, (50, 99)))
            told.append(f"{evidence.names[arm]}: half within {half}, 99 % within {most}")
    budgets = [
        f"{metric[8:11]} budget {format_value(limits[metric], 'time')}"
        for metric in (LATENCY_P50, LATENCY_P99)
        if metric in limits
    ]
    return f"{measured.target}: {'; '.join([*told, *budgets]) or 'not run'}"


def short(metric: str) -> str:
    """The title of a score, `metric`, without what it is explained by."""
    return METRICS[metric].title.partition(",")[0] if metric else "mean of the outputs' scores"


TERM = "loss: "  # before the name of a term of the loss, in a history


def _score_key(history: Sequence[Mapping[str, float]]) -> str:
    """What an epoch's score on the validation split is called; of runs made before there were other tasks it is the accuracy."""
    return next(key for key in ("validation_score_pct", "validation_accuracy_pct") if key in history[0])


def memory_by_phase(evidence: Evidence) -> Picture:
    """Unique memory (USS) at each phase's end in `evidence`, with the high-water mark and the budget: a panel a target."""
    panels = []
    for target in evidence.job.targets:
        limits = _limits(evidence, target.name)
        figure, axis = panel(width=4.6, height=3.2)
        arms = {arm: data for arm, data in evidence.measured[target.name].arms.items() if data.memory}
        told = []
        for place, (arm, data) in enumerate(arms.items()):
            for shift, (phase, colour) in enumerate(zip(PHASES, PHASE_COLOURS, strict=True)):
                held = data.memory[phase]["uss_bytes"] / 2**20
                axis.bar(place + (shift - 1.5) * 0.2, held, 0.19, color=colour)
            peak = data.memory["steady"]["peak_bytes"] / 2**20
            axis.plot([place - 0.42, place + 0.42], [peak, peak], color=COLOURS[arm], linewidth=2.2)
            axis.text(place, peak, f"peak {peak:.0f}", ha="center", va="bottom", fontsize=8)
            steady = data.memory["steady"]["uss_bytes"] / 2**20
            told.append(f"{evidence.names[arm]} {steady:.1f} MiB steady, peak {peak:.1f} MiB")
        if PEAK in limits:
            limit = limits[PEAK] / 2**20
            axis.axhline(limit, color=LIMIT, linestyle="--", linewidth=1.2)
            axis.text(-0.45, limit, "budget", color=LIMIT, ha="left", va="bottom", fontsize=8)
            told.append(f"budget {limit:.0f} MiB")
        axis.set_xticks(
            range(len(arms)),
            [evidence.names[arm].replace(", ", ",\n").replace("'s ", "'s\n") for arm in arms],
            fontsize=8,
        )
        axis.set(title=target.name, ylabel="MiB")
        axis.grid(axis="x", visible=False)
        axis.margins(y=0.12)
        panels.append(svg(figure, f"{target.name}: {'; '.join(told) or 'not run'}"))
    keys = [
        Key(f"USS after {phase.replace('_', ' ')}", colour, "square")
        for phase, colour in zip(PHASES, PHASE_COLOURS, strict=True)
    ]
    return Picture(tuple(panels), tuple(keys))


def training_curves(evidence: Evidence) -> Picture:
    """Validation score and loss by epoch in `evidence`; the int8 student goes on where the fp32 student ends. Where a recipe
    names terms of its loss, each of them as well.

    What was trained already has a score and no loss: its score is drawn as a level.
    """
    distill = evidence.job.recipe.distill
    terms = _terms(evidence) if distill.terms or distill.hidden else {}
    (left_figure, left), (right_figure, right) = (panel(width=4.6, height=2.9) for _ in range(2))
    start = len(evidence.history[STUDENT_FP32.name])
    shown, told, losses = [], [], []
    for arm in TRAINED:
        offset = 0 if arm in (TEACHER.name, STUDENT_FP32.name) else start
        if arm not in evidence.history:
            continue  # made without training
        shown.append(arm)
        history = evidence.history[arm]
        last = history[-1][_score_key(history)]
        told.append(f"{evidence.names[arm]} ends at {last:.2f} %")
        if "loss" not in history[0]:
            left.axhline(history[0][_score_key(history)], color=COLOURS[arm], linewidth=1.4)
            continue
        losses.append(f"{evidence.names[arm]} from {history[0]['loss']:.3g} to {history[-1]['loss']:.3g}")
        epochs = [offset + index + 1 for index in range(len(history))]
        for axis, key in ((left, _score_key(history)), (right, "loss")):
            values = [epoch[key] for epoch in history]
            axis.plot(epochs, values, "o-", color=COLOURS[arm], markersize=3, linewidth=1.4)
    left.set(title=f"validation, {short(task(evidence.job.recipe.meant).score)} (%)")
    right.set(title="training loss (log scale)", yscale="log")
    plain_numbers(right.yaxis)
    drawn = [
        (left_figure, left, f"Validation by epoch: {'; '.join(told)}"),
        (right_figure, right, f"Training loss by epoch: {'; '.join(losses)}"),
    ]
    if terms:
        figure, axis = panel(width=4.6, height=2.9)
        for name, values in terms.items():
            axis.plot(range(1, len(values) + 1), values, "o-", markersize=3, linewidth=1.4, label=name)
        axis.set(title="terms of the student's loss, weighted")
        axis.legend(fontsize=8.5)
        ends = "; ".join(f"{name} ends at {values[-1]:.3g}" for name, values in terms.items() if values)
        drawn.append((figure, axis, f"Terms of the loss by epoch: {ends}"))
    for _, axis, _ in drawn:
        axis.axvline(start + 0.5, color="#8b929c", linestyle=":", linewidth=1.2)
        axis.set_xlabel("epoch (dotted: quantisation sets in)")
    keys = tuple(Key(evidence.names[arm], COLOURS[arm]) for arm in shown)
    return Picture(tuple(svg(figure, said) for figure, _, said in drawn), keys)


def _terms(evidence: Evidence) -> dict[str, list[float]]:
    """Each term of the student's loss by epoch, of fp32 and then of int8."""
    arms = [arm.name for arm in (STUDENT_FP32, STUDENT_INT8) if arm.name in evidence.history]
    epochs = [epoch for arm in arms for epoch in evidence.history[arm]]
    names = [key for key in epochs[0] if key.startswith(TERM)] if epochs else []
    return {name.removeprefix(TERM): [epoch[name] for epoch in epochs if name in epoch] for name in names}


def sensitivity(precision: Mapping[str, Any]) -> Picture:
    """What each layer's integers cost, the costliest on top; those left in float are drawn hollow. precision: of precision.json."""
    layers = precision["sensitivities"][:SHOWN_LAYERS][::-1]
    figure, axis = panel(width=5.6, height=1.0 + 0.24 * len(layers))
    for place, layer in enumerate(layers):
        in_float = layer["layer"] in precision["float_layers"]
        axis.barh(
            place,
            layer["cost"] * 1e3,
            color="none" if in_float else STUDENT_INT8.colour,
            edgecolor=STUDENT_INT8.colour,
            hatch="///" if in_float else None,
        )
    axis.axvline(0, color="#8b929c", linewidth=0.9)
    axis.set_yticks(range(len(layers)), [shorten(layer["layer"]) for layer in layers], fontsize=8.5)
    axis.set_xlabel("divergence that goes away when this layer\nalone is in float (millinats)", loc="right")
    axis.grid(axis="y", visible=False)
    told = [f"{layer['layer']} {layer['cost'] * 1e3:.3g}" for layer in layers[::-1][:5]]
    return Picture(
        (svg(figure, f"Cost of each layer's integers in millinats, the costliest: {'; '.join(told)}"),)
    )


def pictures(evidence: Evidence) -> dict[str, Picture]:
    """Every picture here of the report on `evidence`, by name."""
    with mpl.rc_context(STYLE):
        shown = {"sensitivity": sensitivity(evidence.precision)} if evidence.precision else {}
        return shown | {
            "latency": latency_distributions(evidence),
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
