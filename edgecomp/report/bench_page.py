"""A page for what `edgecomp bench` found of one model file: derived from bench.json, and can be written again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from edgecomp.config.target import Target
from edgecomp.files.json_files import read_mapping
from edgecomp.metrics.registry import METRICS
from edgecomp.metrics.units import format_value
from edgecomp.report.figures import column
from edgecomp.report.page.tables import Cell, Table, number, table
from edgecomp.report.stage import environment
from edgecomp.stats.figure import Figure

SHOWN_LAYERS = 25
HELD = (
    ("own pages (USS)", "uss_bytes"),
    ("not backed by a file", "anonymous_bytes"),
    ("resident", "rss_bytes"),
    ("high-water mark", "peak_bytes"),
    ("cgroup, not backed by a file", "cgroup_anonymous_bytes"),
)


class Row(NamedTuple):
    metric: str
    title: str
    figure: str
    rests_on: str
    budget: str


def metrics_of(content: Mapping[str, Any]) -> dict[str, Figure]:
    """The figures of bench.json, by metric.

    content: bench.json's; figures of format 1 are two-sided at 95 % as well.
    """
    return {name: _figure(METRICS[name].dimension, one) for name, one in content["metrics"].items()}


def _figure(dimension: str, one: Mapping[str, Any]) -> Figure:
    is_exact = one["lower"] is not None and one["lower"] == one["upper"] and one["restarts"] == 1
    filled = {
        "dimension": dimension,
        "count": one["restarts"],
        "unit": "exact" if is_exact else "restarts",
        "sided": "two",
        **{key: value for key, value in one.items() if key != "restarts"},
    }
    return Figure.model_validate(filled)


def bounds_of(content: Mapping[str, Any]) -> str:
    """What the head of the column of figures says of their bounds. content: bench.json's."""
    return column(metrics_of(content).values()).bounds


def rows_of(content: Mapping[str, Any]) -> list[Row]:
    """The figures as people read them, and why another is not there. content: bench.json's."""
    limits = {name: row.text for name, row in Target.model_validate(content["target"]).budget_rows().items()}
    rows, figures = [], metrics_of(content)
    shown = column(figures.values())
    for name, one in figures.items():
        figure = shown.text(one) if one.is_bounded else format_value(one.estimate, one.dimension)
        rests = "exact" if one.is_exact else f"{one.n} restart{'s' if one.n > 1 else ''}"
        rests += f" × {one.samples}" if one.samples else ""
        rows.append(Row(name, METRICS[name].title, figure, rests, limits.get(name, "")))
    rows += [
        Row(name, "", "–", reason, limits.get(name, "")) for name, reason in content["not_supported"].items()
    ]
    return rows


def write_page(folder: Path) -> None:
    """Writes bench.html, one file, beside bench.json in `folder`."""
    content = read_mapping(folder / "bench.json")
    flame, training = folder / "flame.svg", folder / "training.json"
    layers = sorted((content.get("profile") or {}).get("layers") or [], key=lambda layer: -layer["total_us"])
    total = sum(layer["total_us"] for layer in layers) or 1.0
    step = read_mapping(training) if training.is_file() else None
    page = (
        environment()
        .get_template("bench.html.j2")
        .render(
            content=content,
            bounds=bounds_of(content),
            rows=rows_of(content),
            memory=_memory(content["memory"]),
            layers=[
                {
                    **layer,
                    "mean_us": layer["total_us"] / max(layer["calls"], 1),
                    "share": 100 * layer["total_us"] / total,
                }
                for layer in layers[:SHOWN_LAYERS]
            ],
            layers_left=max(0, len(layers) - SHOWN_LAYERS),
            flame=flame.name if flame.is_file() else None,
            training=step,
            operators=_operators(step) if step else None,
            confined=format_value(content["confinement"]["limit_bytes"], "bytes")
            if content["confinement"]["limit_bytes"]
            else None,
            scenarios={name: json.dumps(found, indent=1) for name, found in content["scenarios"].items()},
        )
    )
    (folder / "bench.html").write_text(page, encoding="utf-8")


def _memory(by_phase: Mapping[str, Mapping[str, float]]) -> Table:
    heads = ("after", *(head for head, _ in HELD))
    rows = [
        [
            phase.replace("_", " "),
            *(
                Cell(format_value(float(held[kind]), "bytes"), float(held[kind])) if kind in held else "–"
                for _, kind in HELD
            ),
        ]
        for phase, held in by_phase.items()
    ]
    return table("Memory by phase", heads, rows)


def _operators(step: Mapping[str, Any]) -> Table:
    heads = ("operator", "calls", "CPU time of its own", "allocated, less freed")
    rows = [
        [
            one["name"],
            number(one["calls"], ",d"),
            number(one["cpu_ms"], ".2f", "ms"),
            number(one["allocated_bytes"] / 2**20, ".2f", "MiB"),
        ]
        for one in step["operators"]
    ]
    return table("Operators of a training step", heads, rows)
