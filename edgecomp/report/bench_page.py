"""A page for what `edgecomp bench` found of one model file: derived from bench.json, and can be written again."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from edgecomp.config.target import Target
from edgecomp.files.json_files import read_mapping
from edgecomp.metrics.registry import METRICS
from edgecomp.metrics.units import format_value
from edgecomp.report.evidence import interval_text
from edgecomp.report.stage import environment

SHOWN_LAYERS = 25


class Row(NamedTuple):
    metric: str
    title: str
    figure: str
    rests_on: str
    budget: str


def rows_of(content: dict[str, Any]) -> list[Row]:
    """The figures as people read them, and why another is not there."""
    limits = {name: row.text for name, row in Target.model_validate(content["target"]).budget_rows().items()}
    rows = []
    for name, one in content["metrics"].items():
        dimension = METRICS[name].dimension
        figure = format_value(one["value"], dimension)
        if one["lower"] is not None and one["lower"] != one["upper"]:
            figure += f" {interval_text({**one, 'dimension': dimension})}"
        rests = (
            f"{one['restarts']} restarts"
            if one["restarts"] > 1
            else "exact"
            if one["lower"] is not None
            else "1 restart"
        )
        rests += f" × {one['samples']}" if one["samples"] else ""
        rows.append(Row(name, METRICS[name].title, figure, rests, limits.get(name, "")))
    rows += [
        Row(name, "", "–", reason, limits.get(name, "")) for name, reason in content["not_supported"].items()
    ]
    return rows


def write_page(folder: Path) -> None:
    """bench.html, one file, beside bench.json."""
    content = read_mapping(folder / "bench.json")
    flame, training = folder / "flame.svg", folder / "training.json"
    layers = sorted((content.get("profile") or {}).get("layers") or [], key=lambda layer: -layer["total_us"])
    total = sum(layer["total_us"] for layer in layers) or 1.0
    page = (
        environment()
        .get_template("bench.html.j2")
        .render(
            content=content,
            rows=rows_of(content),
            memory=[
                (phase, {kind: format_value(float(value), "bytes") for kind, value in held.items()})
                for phase, held in content["memory"].items()
            ],
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
            training=read_mapping(training) if training.is_file() else None,
            confined=format_value(content["confinement"]["limit_bytes"], "bytes")
            if content["confinement"]["limit_bytes"]
            else None,
            scenarios={name: json.dumps(found, indent=1) for name, found in content["scenarios"].items()},
        )
    )
    (folder / "bench.html").write_text(page, encoding="utf-8")
