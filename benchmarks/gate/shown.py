"""gate.md and gate.svg: what the simulation and the trials found, each rate with its bounds."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from trials import CELLS, LEAST_WALL_OVER_CPU, Cell, of_cell, read

from edgecomp.report.pictures.plots import STYLE, subplots, svg
from edgecomp.stats.intervals import proportion_bounds
from edgecomp.stats.power import Rate


def write(folder: Path) -> None:
    trials = read(folder / "trials.jsonl")
    file = folder / "simulation.json"
    simulation = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    text = [
        "# What the gate is worth",
        "",
        *_real(trials),
        *_pinned(folder / "pinning.json"),
        *_naive(trials),
        *_simulated(simulation),
    ]
    (folder / "gate.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    if simulation:
        _picture(simulation, folder / "gate.svg")
    print(f"{folder / 'gate.md'}: {len(trials)} real gates")


def _real(trials: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## For real",
        "",
        (
            "`python benchmarks/gate trials`: ONNX Runtime, a ResNet-8 (with two threads a ResNet-20 of twice the width) beside a copy of its file, policy `no-slower` (2.5 % of CPU time, 10 % of wall time, 5 % of memory). "
            "A slowdown is extra work in the worker. Rates with two-sided 95 % bounds (Clopper-Pearson), goals with one-sided ones; time is all of it, process starts and the null control included."
        ),
        "",
        "| threads | host | planted | gates | FAIL | INCONCLUSIVE | INVALID | time, median | 95 % within | wall/CPU |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for cell in CELLS:
        found = of_cell(trials, cell)
        if not found:
            lines.append(
                f"| {cell.threads} | {cell.host} | {cell.planted} | 0 of {cell.wanted} | not run | | | | | |"
            )
            continue
        times = [one["elapsed_s"] for one in found]
        lines.append(
            f"| {cell.threads} | {cell.host} | {cell.planted} | {len(found)} of {cell.wanted} | "
            + " | ".join(_rate(found, verdict) for verdict in ("FAIL", "INCONCLUSIVE", "INVALID"))
            + f" | {np.median(times):.1f} s | {np.percentile(times, 95):.1f} s | {np.median([one['wall_over_cpu'] for one in found]):.2f} |"
        )
    lines += [
        "",
        (
            "The neighbour is one arithmetic and one memory loop on every core; the mixture is a training with as many threads as cores, a compiler, and bursts of reading, and a gate beside "
            f"it has 60 s. A gate beside either counts only where a loop of its own, just before, took {LEAST_WALL_OVER_CPU} times its CPU time or more{_felt(trials)}. The last column is of all the baseline's inferences: a turn takes 8 ms, and the scheduler mostly lets it finish."
        ),
        "",
        *_goals(trials),
    ]
    return lines


def _felt(trials: list[dict[str, Any]]) -> str:
    by_host = {
        host: [one["loop_wall_over_cpu"] for one in trials if one["host"] == host]
        for host in ("neighbour", "mixture")
    }
    told = [f"{np.median(found):.2f} beside the {host}" for host, found in by_host.items() if found]
    return f" (at the median {' and '.join(told)})" if told else ""


def _goals(trials: list[dict[str, Any]]) -> list[str]:
    """Each goal beside what was found; `shown` only where the bound says so."""
    lines = ["| goal | found | |", "| --- | --- | --- |"]
    for threads in (1, 2):
        same, of = _of(trials, threads, "idle", "nothing"), f"{threads} thread{'s' if threads > 1 else ''}"
        if same:
            lines += [
                _goal(f"{of}, idle: A/A FAIL ≤ 1 %", _count(same, "FAIL"), 0.01, below=True),
                _goal(f"{of}, idle: A/A INCONCLUSIVE ≤ 10 %", _count(same, "INCONCLUSIVE"), 0.10, below=True),
            ]
        for host, time in (("neighbour", ""), ("mixture", " in 60 s")):
            beside = _of(trials, threads, host, "nothing")
            if not beside:
                continue
            undecided = _count(beside, "INCONCLUSIVE", "INVALID")
            lines += [
                _goal(f"{of}, {host}: A/A FAIL ≤ 1 %", _count(beside, "FAIL"), 0.01, below=True),
                _goal(f"{of}, {host}: A/A undecided ≤ 20 %{time}", undecided, 0.20, below=True),
            ]
        for planted, limit in (("10 %", 20.0), ("5 %", 40.0)):
            slow = _of(trials, threads, "idle", planted)
            if slow:
                caught = Rate.of(
                    sum(one["verdict"] == "FAIL" and one["elapsed_s"] <= limit for one in slow), len(slow)
                )
                lines.append(
                    _goal(
                        f"{of}, idle: {planted} slower caught ≥ 95 % within {limit:.0f} s",
                        caught,
                        0.95,
                        below=False,
                    )
                )
        lost = _of(trials, threads, "idle", "one thread")
        if lost:
            lines.append(
                _goal(f"{of}, idle: lost parallelism is no PASS", _count(lost, "PASS"), 0.01, below=True)
            )
    return lines


def _goal(goal: str, rate: Rate, limit: float, *, below: bool) -> str:
    """A goal has one side, and so has its bound: 95 %, Clopper & Pearson."""
    lower, upper = proportion_bounds(rate.hits, rate.gates, 0.95)
    share = rate.hits / rate.gates
    met, shown = (share <= limit, upper <= limit) if below else (share >= limit, lower >= limit)
    word = "met, shown" if met and shown else "met, not shown by so few" if met else "missed"
    bound = f"at most {100 * upper:.2f} %" if below else f"at least {100 * lower:.2f} %"
    return f"| {goal} | {rate.hits} of {rate.gates} = {100 * share:.1f} %, {bound} | {word} |"


def _of(trials: list[dict[str, Any]], threads: int, host: str, planted: str) -> list[dict[str, Any]]:
    return of_cell(trials, Cell(threads, host, planted, 0))


def _count(found: list[dict[str, Any]], *verdicts: str) -> Rate:
    return Rate.of(sum(one["verdict"] in verdicts for one in found), len(found))


def _rate(found: list[dict[str, Any]], verdict: str) -> str:
    rate = _count(found, verdict)
    return (
        f"{rate.hits} = {100 * rate.hits / rate.gates:.1f} % [{100 * rate.lower:.1f}, {100 * rate.upper:.1f}]"
    )


def _naive(trials: list[dict[str, Any]]) -> list[str]:
    if not trials:
        return []
    rules = list(trials[0]["naive"])
    lines = [
        "",
        "## Other rules on the same times",
        "",
        (
            "How often the candidate is called slower, on the wall times of the first restarts of the very gates above (which alternated: "
            "two runs one after the other would differ more)."
        ),
        "",
        f"| threads | host | planted | {' | '.join(rules)} | this gate |",
        f"| --- | --- | --- |{' --- |' * (len(rules) + 1)}",
    ]
    for cell in CELLS:
        if found := of_cell(trials, cell):
            calls = [f"{100 * np.mean([one['naive'][rule] for one in found]):.0f} %" for rule in rules]
            ours = f"{100 * np.mean([one['verdict'] == 'FAIL' for one in found]):.1f} %"
            lines.append(f"| {cell.threads} | {cell.host} | {cell.planted} | {' | '.join(calls)} | {ours} |")
    return lines


def _pinned(file: Path) -> list[str]:
    if not file.is_file():
        return []
    found = json.loads(file.read_text(encoding="utf-8"))
    lines = [
        "",
        "## The same cores for both",
        "",
        f"`python benchmarks/gate pinning`: standard deviation over {found['restarts']} restarts of a model's ratio to itself, idle, by turns.",
        "",
        "| threads | CPU time, threads kept on the same cores | left to themselves | wall time, kept | left to themselves |",
        "| --- | --- | --- | --- | --- |",
    ]
    for threads, spread in found["spread_pct"].items():
        told = [
            f"{spread[how][metric]:.2f} %"
            for metric in ("cpu_p50_ms", "latency_p50_ms")
            for how in ("pinned", "free")
        ]
        lines.append(f"| {threads} | {' | '.join(told)} |")
    return lines


def _simulated(simulation: dict[str, Any] | None) -> list[str]:
    if simulation is None:
        return ["", "## Simulated", "", "not run"]
    gates = simulation["gates"]
    lines = [
        "",
        "## Simulated",
        "",
        (
            f"`python benchmarks/gate simulate`: {gates:,} gates a cell, of the rows that could fail by chance; looks after {', '.join(map(str, simulation['looks']))} "
            "restarts. FAIL at a true slowdown of 0 and of the margin is false, and so is PASS at the margin and above."
        ),
        "",
        "| noise | slower by | whole gate FAIL | row PASS, CPU / wall | INVALID | restarts, mean (90 %) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, cells in simulation["cells"].items():
        for cell in cells:
            rows = " / ".join(f"{100 * share:.2f} %" for share in cell["row PASS"].values())
            lines.append(
                f"| {name} | {100 * cell['slowdown']:.1f} % | {100 * cell['FAIL']['hits'] / gates:.2f} % | {rows} | "
                f"{100 * cell['INVALID']['hits'] / gates:.2f} % | {cell['restarts']:.1f} ({cell['restarts_p90']:.0f}) |"
            )
    lines += [
        "",
        "Other rules on the same noise: the candidate is called slower where it is not / is by 5 % / by 10 %.",
        "",
    ]
    rules = list(next(iter(simulation["naive"].values())))
    lines += [f"| noise | {' | '.join(rules)} |", f"| --- |{' --- |' * len(rules)}"]
    for name, by_rule in simulation["naive"].items():
        shown = [" / ".join(f"{100 * share:.0f} %" for share in by_rule[rule].values()) for rule in rules]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    if "spending" in simulation:
        lines += [
            "",
            "How a level is spent over the looks: restarts until a decision, and shares decided rightly.",
            "",
        ]
        lines += [
            "| spread of restarts | spending | same: PASS, restarts | 5 %: FAIL, restarts | 10 %: FAIL, restarts |",
            "| --- | --- | --- | --- | --- |",
        ]
        for row in simulation["spending"]:
            told = [f"{100 * share:.1f} %, {restarts:.1f}" for share, restarts in row["decided"]]
            lines.append(f"| {100 * row['spread']:.1f} % | {row['spending']} | {' | '.join(told)} |")
    return lines


def _picture(simulation: dict[str, Any], file: Path) -> None:
    """Power: how often a slowdown is caught, and how many restarts that takes."""
    with mpl.rc_context(STYLE):
        drawn, (caught, restarts) = subplots(2, width=5.4, height=3.6)
        colours = mpl.colormaps["tab20"].colors
        for place, (name, cells) in enumerate(simulation["cells"].items()):
            slower = [100 * cell["slowdown"] for cell in cells if cell["slowdown"] <= 0.1]
            kept = cells[: len(slower)]
            style = {
                "color": colours[place % len(colours)],
                "marker": "o",
                "markersize": 3,
                "linewidth": 1.2,
                "linestyle": "--" if name.startswith("recorded") else "-",
            }
            caught.plot(
                slower,
                [100 * cell["FAIL"]["hits"] / simulation["gates"] for cell in kept],
                label=name,
                **style,
            )
            restarts.plot(slower, [cell["restarts"] for cell in kept], **style)
        caught.set_title("FAIL, % of gates")
        restarts.set_title("restarts until the answer is clear")
        for axis in (caught, restarts):
            axis.set_xlabel("really slower by, %")
            axis.axvline(2.5, color="#b3261e", linestyle=":", linewidth=1)
        drawn.legend(fontsize=7, loc="outside right center")
        file.write_text(svg(drawn), encoding="utf-8")
