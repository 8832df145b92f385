"""The cells that there are, as one table: reports/portable/portable.md. What was not run says so."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

SHORT = {"onnxruntime-cpu": "ONNX Runtime", "openvino-cpu": "OpenVINO"}
WORDS = {
    "wide": "weights -127..127",
    "narrow": "weights -63..63",
    "narrow-activations": "activations 0..127",
    "session-option": "weights -127..127, x64quantprecision=1",
}
ELSEWHERE = ("x86-64-avx2", "Haswell (qemu-user)", "armv8.2-dotprod")

HEAD = """# The same answers on every CPU

`python benchmarks/portable digits`, and the same under `python benchmarks/avx2_only`; one file a cell in `cells/`, with its versions
and the CPU. A student of each seed is distilled through the scheme and executed here, as `isa` says, and as other CPUs: x86-64-avx2 at
full speed with CPUID masked, Haswell and Arm by qemu-user on a sample. Agreement is with the fake-quant student's answers to the
probes, of the training split; accuracy is of the test split, in points over the fp32 student's in the same runtime. Time is the CPU time of
int8 over fp32's, by turns in one run, the median over restarts and seeds (lowest and highest seed). "not run" is no pass.

"""


def write(to: Path) -> None:
    """portable.md, of the cells in to/cells."""
    cells = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((to / "cells").glob("*.json"))]
    parts = [HEAD]
    for data in ("digits", "cifar10", "cifar10 --quick", "sst2", "sst2 --quick"):
        of_data = [cell for cell in cells if cell["data"] == data]
        for isa in sorted({cell["isa"] for cell in of_data}):
            parts.append(_table(data, isa, [cell for cell in of_data if cell["isa"] == isa]))
        parts += [] if of_data else [f"## {data}\n\nnot run\n"]
    to.mkdir(parents=True, exist_ok=True)
    (to / "portable.md").write_text("\n".join(parts), encoding="utf-8")


def _table(data: str, isa: str, cells: Sequence[dict[str, Any]]) -> str:
    by: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for cell in cells:
        for target, found in cell["targets"].items():
            by[cell["variant"], target].append(found)
    cpus = ", ".join(sorted({cell["cpu"] for cell in cells}))
    precisions = ", ".join(sorted({cell["precision"] for cell in cells}))
    head = ["scheme", "runtime", "seeds", "agreement here", "error", "accuracy", "time b1", "time b32"]
    head += [f"agreement as {cpu}" for cpu in ELSEWHERE if cpu != isa] + ["accuracy as x86-64-avx2"] * (
        isa != "x86-64-avx2"
    )
    lines = [f"## {data}, on {isa}", "", f"{cpus}; trained in {precisions}.", ""]
    lines += ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for variant in WORDS:
        for target in SHORT:
            if found := by.get((variant, target)):
                lines.append("| " + " | ".join(_row(variant, target, isa, found)) + " |")
    return "\n".join([*lines, ""])


def _row(variant: str, target: str, isa: str, found: Sequence[dict[str, Any]]) -> list[str]:
    row = [
        WORDS[variant],
        SHORT[target],
        str(len(found)),
        _range([one["agreement_pct"] for one in found], "{:.2f} %", min),
        f"{mean(one['error_pct'] for one in found):.2f} %",
        f"{mean(_over_fp32(one) for one in found):+.2f}",
        *(_range([median(one["over_fp32"][batch]) for one in found], "{:.2f}") for batch in ("b1", "b32")),
    ]
    row += [_elsewhere([one["executed"].get(cpu) for one in found]) for cpu in ELSEWHERE if cpu != isa]
    if isa != "x86-64-avx2":
        there = [one["executed"].get("x86-64-avx2", {}).get("accuracy_pct") for one in found]
        over = [
            got - one["accuracy_pct"]["student_fp32"]
            for got, one in zip(there, found, strict=True)
            if got is not None
        ]
        row.append(f"{mean(over):+.2f}" if over else "not run")
    return row


def _over_fp32(one: dict[str, Any]) -> float:
    return float(one["accuracy_pct"]["student_int8"] - one["accuracy_pct"]["student_fp32"])


def _range(values: Sequence[float], form: str, middle: Any = median) -> str:
    """The middle one, and the ends where there are several."""
    shown = form.format(middle(values))
    if len(values) == 1 or middle is min:
        return shown
    return f"{shown} ({form.format(min(values))}–{form.format(max(values))})"


def _elsewhere(found: Iterable[dict[str, Any] | None]) -> str:
    """The seed that agrees least, and of how many probes."""
    run = [one for one in found if one and one["run"]]
    if not run:
        return "not run"
    worst = min(run, key=lambda one: one["agreeing"] / one["examples"])
    return f"{100 * worst['agreeing'] / worst['examples']:.2f} % of {worst['examples']}"
