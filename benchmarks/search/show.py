"""What has been run, as a page of Markdown; what has not is said to be not run."""

import statistics
from collections.abc import Mapping
from typing import Any

from edgecomp.metrics.registry import FILE_SIZE, LATENCY_P50, METRICS, PEAK
from edgecomp.metrics.units import format_value
from edgecomp.text import markdown

SCORE = "macro_f1_pct"
COLUMNS = (SCORE, LATENCY_P50, "cpu_p50_ms", PEAK, FILE_SIZE)
NOT_RUN = "not run"


def page(recipe: str, cells: Mapping[str, Mapping[str, Any]]) -> str:
    """recipe: its name; cells: by name."""
    kinds = ["default", *(name.replace("find", "found") for name in cells if name.startswith("find at "))]
    rows = [row for kind in kinds for row in rows_of(kind, cells)]
    lines = [
        f"# The student that fits: {markdown(recipe)}",
        "",
        "Means over seeds, of the whole training; score on the test split. `python benchmarks/search`, as its own first lines have it.",
        "",
        "| student | target | seeds | macro F1 | latency p50 | CPU p50 | peak memory | file |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        "| search at | chosen | validation | ended | measuring | training |",
        "| --- | --- | --- | --- | --- | --- |",
        *(searched(name, cell) for name, cell in cells.items() if name.startswith("find at ")),
        "",
        replays(cells.get("replays")),
        "",
        *foretold(
            {
                name.removeprefix("cost of "): cell
                for name, cell in cells.items()
                if name.startswith("cost of ")
            }
        ),
        "",
    ]
    return "\n".join(lines)


def rows_of(kind: str, cells: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = [cell for name, cell in cells.items() if name.startswith(f"{kind}, seed ")]
    if not found:
        return [f"| {kind} | | | {NOT_RUN} | | | | |"]
    rows = []
    for target in found[0]["figures"]:
        figures = [cell["figures"][target] for cell in found]
        shown = [
            format_value(statistics.fmean(one[name] for one in figures), METRICS[name].dimension)
            if all(one.get(name) is not None for one in figures)
            else NOT_RUN
            for name in COLUMNS
        ]
        rows.append(f"| {kind} | {markdown(target)} | {len(found)} | {' | '.join(shown)} |")
    return rows


def searched(name: str, cell: Mapping[str, Any]) -> str:
    point = ", ".join(f"{key} {value}" for key, value in (cell["chosen"] or {}).items()) or "none"
    score = "–" if cell["validation"] is None else f"{cell['validation']:.2f}"
    spent = cell["spent"]
    times = name.removeprefix("find at ")
    return (
        f"| {times} × | {markdown(point)} | {score} | {markdown(cell['stopped'])} | {spent['measuring_s']:.0f} s | "
        f"{spent['training_s']:.0f} s |"
    )


def foretold(cells: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """cells: by space."""
    if not cells:
        return [f"The cost model on students that it has not seen: {NOT_RUN}."]
    rows = [
        f"| {markdown(name)} | {markdown(figure)} | {cell['learnt']} | {cell['unseen']} | {one['median_pct']:.1f} % | {one['nine_in_ten_pct']:.1f} % | "
        f"{one['lowest_pct']:+.1f} to {one['highest_pct']:+.1f} % |"
        for name, cell in cells.items()
        for figure, one in cell["errors"].items()
    ]
    return [
        "The cost model on students that it has not seen, all measured untrained: the error of what it foretells.",
        "",
        "| space | figure | learnt from | unseen | median error | nine in ten within | from, to |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *rows,
    ]


def replays(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return f"TPE beside random search: {NOT_RUN}."
    tpe, chance = (
        f"{cell[name]['mean']:.2f} [{cell[name]['low']:.2f}, {cell[name]['high']:.2f}]"
        for name in ("tpe", "random")
    )
    return (
        f"Of {cell['points']} trained points, {cell['tried']} tried, within {cell['limit_ms']:.3g} ms: TPE finds {tpe}, random search {chance} "
        f"(mean and the middle 95 % of replays); the best that there is has {cell['best']:.2f}."
    )
