"""The table as Markdown, JSON and a picture."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from cells import CELLS, SEEDS, Cell
from goals import GOALS, Goal
from intervals import crossed
from results import HOST, Results

mpl.use("svg")
import matplotlib.pyplot as plt


class Row(NamedTuple):
    """What a line of the table is of: a kind of cell, an arm of it, and the steps whose time it took."""

    label: str
    kind: str
    arm: str
    steps: tuple[str, ...] = ()


def _student(kind: str, name: str = "") -> list[Row]:
    return [
        Row(f"{name}fp32, distilled", kind, "student_fp32", ("distill",)),
        Row(
            f"{name}fp32 control: distilled for as many more epochs", kind, "control", ("distill", "control")
        ),
        Row(f"{name}int8, ONNX Runtime's PTQ, its default", kind, "ptq_ort", ("distill",)),
        Row(f"{name}int8, NNCF's PTQ, its default", kind, "ptq_nncf", ("distill",)),
        Row(f"{name}int8, best PTQ on validation", kind, "ptq_best", ("distill",)),
        Row(f"{name}**int8, QAD**", kind, "student_int8", ("distill", "quantize")),
    ]


def _low_bits(kind: str) -> list[Row]:
    return [
        Row(f"{kind} (simulated), best PTQ", kind, "ptq_best", ("distill",)),
        Row(f"**{kind} (simulated), QAD**", kind, "student_int8", ("distill", "quantize")),
    ]


HEAD = [
    Row("teacher, fp32", "int8", "teacher", ("teacher", "soft_labels")),
    Row("fp32, hard labels", "hard labels", "student_fp32", ("distill",)),
]
LOW = [
    row
    for kind in ("4-bit weights", "4-bit weights and activations", "ternary weights")
    for row in _low_bits(kind)
]
ROWS = {
    "cifar10": [*HEAD, *_student("int8"), *LOW, *_student("depthwise, int8", "depthwise: ")],
    "sst2": [*HEAD, *_student("int8"), *LOW],
}
TITLES = {
    "cifar10": "CIFAR-10: ResNet-8 of 78,042 parameters, from a teacher of 2.0 million",
    "sst2": "SST-2: three layers of MiniLM-L6",
}


ABOUT = """\
Written by `python benchmarks/table {data}`, from whole runs of the recipe `{data}`; `table.json` has the command of each. One
teacher; seeds vary the student. Accuracy is that of the file as its runtime executes it, the mean over seeds with a 95 %
interval over seeds and examples; agreement is with the teacher. Speed is the median over restarts of the ratio to the fp32
student (at batch 1 in CPU time, at batch 32 in wall time) and to the teacher (batch 1) in the same runtime, measured by turns
with the student of seed 0; training, in seconds on two threads, is of runs that had the machine for themselves. Choices are made
on the validation split; the test split is read once, at the end."""


def write(data: str, cells: Mapping[Cell, Path | None], to: Path) -> None:
    """Writes table.md, table.json and table.svg into reports/table-DATA."""
    results = Results(cells)
    lines = [_line(row, results) for row in ROWS[data]]
    goals = GOALS[data](results)
    folder = to / f"table-{data}"
    folder.mkdir(parents=True, exist_ok=True)
    commands = {one.cell.name: one.about["command"] for one in results.all}
    teachers = sorted({one.about["teacher_sha256"] for one in results.all})
    content = {
        "rows": lines,
        "goals": [goal._asdict() for goal in goals],
        "commands": commands,
        "teachers_sha256": teachers,
    }
    (folder / "table.json").write_text(
        json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (folder / "table.md").write_text(_markdown(data, lines, goals, results), encoding="utf-8")
    (folder / "table.svg").write_text(_picture(data, lines), encoding="utf-8")
    if len(teachers) > 1:
        print(f"the cells have {len(teachers)} teachers: they were made on different kinds of machine")
    print(f"{folder / 'table.md'}: {len(results.all)} of {len(cells)} cells")


def _line(row: Row, results: Results) -> dict[str, Any]:
    """One line: by target, means over the seeds that have been run."""
    found: dict[str, Any] = {"row": row.label, "targets": {}}
    for target in HOST:
        right = results.right(row.kind, target, row.arm)
        if right is None:
            continue

        def figures(name: str, at: str = target) -> list[Any]:
            return results.figures(row.kind, at, row.arm, lambda arm: arm[name])

        interval = crossed(right)
        found["targets"][target] = {
            "accuracy_pct": interval.mean,
            "interval": [interval.lower, interval.upper],
            "by_seed_pct": [float(value) for value in right.mean(axis=1)],
            "agreement_pct": float(np.mean(figures("agreement_pct"))),
            "file_bytes": int(np.median(figures("file_bytes"))),
            "int8_share_pct": figures("int8_share_pct")[0],
            **{
                f"faster_than_{than}_{times}": float(np.median(ratios))
                if (ratios := results.ratios(row.kind, target, row.arm, than, times)).size
                else None
                for than, times in (("student_fp32", "b1"), ("student_fp32", "b32"), ("teacher", "b1"))
            },
        }
        found["training_s"] = results.training_s(row.kind, row.steps)
    return found


def _markdown(data: str, lines: list[dict[str, Any]], goals: list[Goal], results: Results) -> str:
    seeds = {kind: len(results.of(kind)) for kind in dict.fromkeys(cell.kind for cell in CELLS[data])}
    text = [
        f"# {TITLES[data]}",
        "",
        ABOUT.format(data=data),
        "",
        "Seeds run: "
        + ", ".join(f"{kind} {count or 'none'} of {len(SEEDS)}" for kind, count in seeds.items())
        + ".",
        "",
    ]
    for target in HOST:
        text += [
            f"## {target}",
            "",
            "| | accuracy, % | agreement, % | file, kB | in int8, % | × fp32, b1 | × fp32, b32 | × teacher, b1 | training, s |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            *(_table_row(line, target) for line in lines),
            "",
        ]
    text += ["## Goals", "", "| goal | | found |", "| --- | --- | --- |"]
    text += [f"| {goal.text} | {goal.state} | {goal.found} |" for goal in goals]
    return "\n".join([*text, "", "![accuracy by row](table.svg)", ""])


def _table_row(line: dict[str, Any], target: str) -> str:
    one = line["targets"].get(target)
    if one is None:
        return f"| {line['row']} | not run |" + " |" * 7
    low, high = one["interval"]
    speeds = [one[f"faster_than_{what}"] for what in ("student_fp32_b1", "student_fp32_b32", "teacher_b1")]
    b1, b32, teacher = (
        "–" if speed is None else f"{speed:.{places}f}"
        for speed, places in zip(speeds, (2, 2, 1), strict=True)
    )
    share = "–" if one["int8_share_pct"] is None else f"{one['int8_share_pct']:.0f}"
    return (
        f"| {line['row']} | {one['accuracy_pct']:.2f} [{low:.2f}, {high:.2f}] | {one['agreement_pct']:.1f} | "
        f"{one['file_bytes'] / 1000:,.0f} | {share} | {b1} | {b32} | {teacher} | "
        f"{'–' if line['training_s'] is None else round(line['training_s'])} |"
    )


def _picture(data: str, lines: list[dict[str, Any]]) -> str:
    import io

    shown = [line for line in lines if line["targets"]]
    style: dict[Any, Any] = {"svg.hashsalt": "edgecomp", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False,
             "axes.spines.right": False}  # fmt: skip
    with mpl.rc_context(style):
        figure, axis = plt.subplots(figsize=(9, 0.36 * max(1, len(shown)) + 1), layout="constrained")
        for offset, (target, colour) in zip(
            (-0.13, 0.13), zip(HOST, ("#d9541e", "#3b78b5"), strict=True), strict=True
        ):
            for place, line in enumerate(shown):
                one = line["targets"].get(target)
                if one is None:
                    continue
                low, high = one["interval"]
                axis.plot([low, high], [place + offset] * 2, color=colour, linewidth=1.6, alpha=0.6)
                axis.plot(
                    one["by_seed_pct"],
                    [place + offset] * len(one["by_seed_pct"]),
                    ".",
                    color=colour,
                    markersize=4,
                )
                axis.plot(one["accuracy_pct"], place + offset, "D", color=colour, markersize=5,
                          label=target if place == 0 else None)  # fmt: skip
        axis.set_yticks(
            range(len(shown)),
            [
                line["row"].replace("**", "").replace(": distilled for as many more epochs", "")
                for line in shown
            ],
        )
        axis.invert_yaxis()
        axis.set_xlabel(
            "accuracy on the test split, %, as executed\ndots are seeds, bars 95 % over seeds and examples"
        )
        axis.grid(axis="x", color="#e4e7eb")
        if shown:
            axis.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)
        figure.suptitle(TITLES[data], fontsize=10)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
        plt.close(figure)
    return text.getvalue()
