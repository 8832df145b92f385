"""The cells that there are, as tables and a picture: reports/methods/methods.md and methods.svg. What was not run says so."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cell import unpacked
from methods import BUDGETS, METHODS, PLAIN

sys.path.append(str(Path(__file__).parents[1] / "table"))
from intervals import Interval, crossed

HEAD = """# Methods of distillation, beside plain KD

`python benchmarks/methods`, one file a cell in `cells/`. A method differs from plain KD by what benchmarks/methods/methods.py says of it and by nothing
else: it is trained for as many steps, from the same stored answers of one teacher, and no weight was tuned. Accuracy is of the validation split; what is
beside it is the difference from plain KD of the same seeds in points, with an interval at 95 % over seeds and examples (of one seed: over examples
alone, which says nothing of another seed). A step is CPU time over plain KD's on the same CPU, views and evaluation included, beside other work. "not run" is no
result.
"""
STAGES = {
    "screen": "Each method once, at a short budget",
    "seeds": "Three seeds",
}


class Row(NamedTuple):
    """A method on a data set: its cells, by seed; over: the difference from plain KD, none where no seed has both."""

    method: str
    cells: Sequence[Mapping[str, Any]]
    mean: float
    over: Interval | None
    step: float | None


def write(to: Path) -> None:
    """methods.md and methods.svg, of the cells in to/cells."""
    cells = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((to / "cells").glob("*.json"))]
    parts, drawn = [HEAD, runs(cells)], {}
    for stage, title in STAGES.items():
        parts.append(f"## {title}\n")
        for data in BUDGETS[stage]:
            found = rows([one for one in cells if one["stage"] == stage and one["data"] == data])
            parts.append(table(stage, data, found))
            drawn[stage, data] = found
    parts += ["## Test split\n", tested([one for one in cells if one["stage"] == "test"])]
    beside = to / "torchdistill.json"
    if beside.is_file():
        parts.append(torchdistill(json.loads(beside.read_text(encoding="utf-8"))))
    to.mkdir(parents=True, exist_ok=True)
    (to / "methods.md").write_text("\n".join(parts), encoding="utf-8")
    draw(drawn, to / "methods.svg")


def torchdistill(found: Sequence[Mapping[str, Any]]) -> str:
    """What `beside_torchdistill.py` has `found`, a line a seed."""
    said = (
        "`python benchmarks/methods/beside_torchdistill.py`: plain KD on CIFAR-10 at the short budget, the same student, stored answers, views, layout and "
        "precision. CPU milliseconds a step, in turns; the network alone is forward, loss, backward and optimiser on one batch, which no loop can be faster than."
    )
    columns = (
        "| seed | edgecomp, ms | torchdistill, ms | the network alone, ms | edgecomp, % | torchdistill, % |"
    )
    lines = ["## Beside torchdistill", "", said, "", columns, "| --- | --- | --- | --- | --- | --- |"]
    for one in found:
        ours, theirs = one["edgecomp"], one["torchdistill"]
        shown = (ours["cpu_ms_a_step"], theirs["cpu_ms_a_step"], one.get("alone_cpu_ms_a_step", "not run"))
        accuracies = (f"{ours['validation_pct']:.2f}", f"{theirs['validation_pct']:.2f}")
        lines.append(f"| {one['seed']} | {' | '.join(map(str, shown))} | {' | '.join(accuracies)} |")
    return "\n".join([*lines, ""])


def right(cell: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    kept = cell["validation"]
    return unpacked(kept["right"], kept["examples"]).astype(float)


def rows(cells: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Of one stage and data set, in the order of METHODS."""
    by = {name: {one["seed"]: one for one in cells if one["method"] == name} for name in METHODS}
    found = []
    for name, own in by.items():
        if not own:
            continue
        both = [
            seed
            for seed in sorted(own)
            if seed in by[PLAIN] and own[seed]["teacher"]["sha256"] == by[PLAIN][seed]["teacher"]["sha256"]
        ]
        over = step = None
        if both and name != PLAIN:
            over = crossed(100 * np.stack([right(own[seed]) - right(by[PLAIN][seed]) for seed in both]))
        if both:
            step = float(np.mean([cost(own[seed]) / cost(by[PLAIN][seed]) for seed in both]))
        mean = float(np.mean([one["validation"]["accuracy_pct"] for one in own.values()]))
        found.append(Row(name, [own[seed] for seed in sorted(own)], mean, over, step))
    return found


def cost(cell: Mapping[str, Any]) -> float:
    return float(cell["step"]["cpu_ms"])


def table(stage: str, data: str, found: Sequence[Row]) -> str:
    missing = [
        name for name in METHODS if data in METHODS[name].data and name not in [row.method for row in found]
    ]
    lines = [f"### {data}", ""]
    if not found:
        return "\n".join([*lines, "not run", ""])
    lines += [about(found), ""]
    lines += [
        "| method | what is learnt | seeds | accuracy, % | over plain KD, points | macro F1, % | agreement with the teacher, % | a step |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in found:
        of = [one["validation"] for one in row.cells]
        shown = [
            f"**{row.method}**" if row.method == PLAIN else row.method,
            METHODS[row.method].says,
            str(len(row.cells)),
            spread([one["accuracy_pct"] for one in of]),
            "–" if row.over is None else interval(row.over),
            f"{np.mean([one['macro_f1_pct'] for one in of]):.2f}",
            f"{np.mean([one['agreement_pct'] for one in of]):.1f}",
            "–" if row.step is None else f"× {row.step:.2f}",
        ]
        lines.append("| " + " | ".join(shown) + " |")
    if stage == "screen" and missing:
        lines += ["", f"Not run: {', '.join(missing)}."]
    return "\n".join([*lines, ""])


def about(found: Sequence[Row]) -> str:
    """What the cells of a table have in common, or all that they have."""
    cells = [cell for row in found for cell in row.cells]
    budgets = each(
        "{train:,} examples, {epochs} epochs, batches of {batch_size}: {steps} steps".format(**one["budget"])
        for one in cells
    )
    teachers = each(
        f"{one['teacher']['validation_pct']:.2f} % (sha256 {one['teacher']['sha256'][:8]})" for one in cells
    )
    machines = each(f"{one['cpu']}, {one['precision']}, {one['threads']} thread" for one in cells)
    return f"{budgets}. The teacher: {teachers}. {machines}; {cells[0]['validation']['examples']:,} validation examples."


def each(texts: Iterable[str]) -> str:
    return "; or ".join(dict.fromkeys(texts))


def spread(values: Sequence[float]) -> str:
    """The mean, and the ends where there are several."""
    mean = f"{np.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.2f}–{max(values):.2f})"


def interval(of: Interval) -> str:
    return f"{of.mean:+.2f} [{of.lower:+.2f}, {of.upper:+.2f}]"


def runs(cells: Sequence[Mapping[str, Any]]) -> str:
    """How many clean trainings there were, and what was raised or said in them."""
    trained = [one for one in cells if "alarms" in one]
    if not trained:
        return ""
    raised = [f"{name(one)}: {said}" for one in trained for said in (*one["alarms"], *one["failures"])]
    head = (
        f"{len(trained)} real trainings of students, none with a planted fault: "
        f"{sum(bool(one['alarms']) for one in trained)} raised an alarm, {sum(bool(one['failures']) for one in trained)} were said to fail in a known way."
    )
    return "\n".join([head, "", *(f"- {one}" for one in raised), ""])


def name(cell: Mapping[str, Any]) -> str:
    return f"{cell['stage']}, {cell['data']}, {cell['method']}, seed {cell['seed']}"


def tested(cells: Sequence[Mapping[str, Any]]) -> str:
    """The test split, of plain KD and of what was chosen."""
    lines = []
    for data in BUDGETS["seeds"]:
        of_data = [one for one in cells if one["data"] == data]
        lines += [f"### {data}", ""]
        if not of_data:
            lines += ["not run", ""]
            continue
        lines += [
            "| method | seeds | fp32, % | int8, % | int8 less fp32, points | int8 over plain KD's, points |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        by = {
            method: {one["seed"]: one["test"] for one in of_data if one["method"] == method}
            for method in METHODS
        }
        for method, own in by.items():
            if own:
                lines.append("| " + " | ".join(_tested(method, own, by[PLAIN])) + " |")
        lines.append("")
    return "\n".join(lines)


def _tested(method: str, own: Mapping[int, Any], plain: Mapping[int, Any]) -> list[str]:
    def of(one: Mapping[str, Any], arm: str) -> Any:
        return 100 * unpacked(one[arm]["right"], one[arm]["examples"]).astype(float)

    fp32, int8 = (
        np.stack([of(one, arm) for one in own.values()]) for arm in ("student_fp32", "student_int8")
    )
    both = [seed for seed in own if seed in plain]
    over = "–"
    if both and method != PLAIN:
        over = interval(
            crossed(
                np.stack([of(own[seed], "student_int8") - of(plain[seed], "student_int8") for seed in both])
            )
        )
    shown = [f"{one.mean:.2f} [{one.lower:.2f}, {one.upper:.2f}]" for one in (crossed(fp32), crossed(int8))]
    return [method, str(len(own)), *shown, interval(crossed(int8 - fp32)), over]


def draw(found: Mapping[tuple[str, str], Sequence[Row]], to: Path) -> None:
    """Differences from plain KD with their intervals, a field a stage and data set that has some."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "methods"
    from matplotlib import pyplot

    fields = {key: [row for row in of if row.over is not None] for key, of in found.items()}
    fields = {key: sorted(of, key=lambda row: row.over.mean) for key, of in fields.items() if of}  # type: ignore[union-attr]  # rows without a figure were left out
    if not fields:
        return
    most = max(map(len, fields.values()))
    figure, axes = pyplot.subplots(
        1, len(fields), figsize=(5 * len(fields), 1.2 + 0.28 * most), squeeze=False, layout="constrained"
    )
    for axis, ((stage, data), of) in zip(axes[0], fields.items(), strict=True):
        for place, row in enumerate(of):
            assert row.over is not None
            axis.plot([row.over.lower, row.over.upper], [place, place], color="#4c72b0", linewidth=2)
            axis.plot(row.over.mean, place, "o", color="#4c72b0")
        axis.axvline(0, color="#999999", linewidth=1)
        axis.set_yticks(range(len(of)), [row.method for row in of])
        seeds = max(len(row.cells) for row in of)
        axis.set_title(f"{data}, {STAGES[stage].lower()}" if seeds == 1 else f"{data}, {seeds} seeds")
        axis.set_xlabel("points over plain KD, validation, 95 %")
    figure.savefig(to, metadata={"Date": None})
    pyplot.close(figure)
