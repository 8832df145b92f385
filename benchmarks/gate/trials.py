"""Real gates on this machine, one line each in trials.jsonl, over as many sittings as it takes.

A cell is a target, a host (idle, or beside a neighbour) and what is planted in the candidate: nothing, or extra work in
the worker, or one thread where the baseline has two. The candidate is a copy of the baseline's file, so that it lies elsewhere in
memory as a new release does. What other rules say is found on the first restart's own times.
"""

import datetime
import json
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from typing import Any, NamedTuple

import naive
from neighbour import NEIGHBOURS, felt

from edgecomp import machine
from edgecomp.benchmark.scenarios.side_by_side import Side
from edgecomp.comparison.selftest import reference_model
from edgecomp.comparison.trial import Outcome, compare, place_of
from edgecomp.config.policy import load_policy
from edgecomp.config.target import Target, load_target
from edgecomp.gate.paired import log_ratios
from edgecomp.gate.verdict import combine
from edgecomp.gate.waivers import deciding
from edgecomp.metrics.comparison import AGAIN, CANDIDATE, Comparison

METRICS = ("cpu_p50_ms", "latency_p50_ms", "peak_memory_bytes")
LEAST_WALL_OVER_CPU = 1.5  # of a loop beside a neighbour, or there was none


class Cell(NamedTuple):
    """threads: of the target; planted: nothing, `5 %` or `10 %` of extra work, or one thread; wanted: how many gates."""

    threads: int
    host: str
    planted: str
    wanted: int


CELLS = (
    Cell(1, "idle", "nothing", 300),
    Cell(1, "idle", "5 %", 60),
    Cell(1, "idle", "10 %", 60),
    Cell(1, "neighbour", "nothing", 100),
    Cell(1, "neighbour", "5 %", 60),
    Cell(1, "neighbour", "10 %", 60),
    Cell(2, "idle", "nothing", 300),
    Cell(2, "idle", "5 %", 60),
    Cell(2, "idle", "10 %", 60),
    Cell(2, "idle", "one thread", 60),
    Cell(2, "neighbour", "nothing", 100),
    Cell(1, "mixture", "nothing", 100),
    Cell(1, "mixture", "5 %", 60),
)


def target_of(threads: int) -> Target:
    name = {1: "onnxruntime-cpu", 2: "edge-2core-1g"}[threads]
    return load_target(name)


def one(cell: Cell, model: Path, seed: int) -> dict[str, Any] | None:
    """A gate's record; None where the neighbour was not felt."""
    target, policy = target_of(cell.threads), load_policy("no-slower")
    place = place_of(target)
    slowdown = float(cell.planted.removesuffix(" %")) / 100 if cell.planted.endswith("%") else 0.0
    planted = replace(place, slowdown=slowdown, threads=1 if cell.planted == "one thread" else place.threads)
    with tempfile.TemporaryDirectory() as name, NEIGHBOURS.get(cell.host, nullcontext)():
        contended = felt()
        if cell.host in NEIGHBOURS and contended < LEAST_WALL_OVER_CPU:
            return None
        copy = Path(name) / f"candidate{model.suffix}"
        copyfile(model, copy)
        (Path(name) / "scratch").mkdir()
        outcome = compare(
            Side(model, place),
            Side(copy, planted),
            target=target,
            policy=policy,
            today=datetime.datetime.now(datetime.UTC).date(),
            evaluation=None,
            max_time_s=60.0 if cell.host == "mixture" else 120.0,
            seed=seed,
            scratch=Path(name) / "scratch",
            track=lambda items, *_: iter(items),
        )
    return recorded(cell, outcome, seed) | {"loop_wall_over_cpu": round(contended, 3)}


def recorded(cell: Cell, outcome: Outcome, seed: int) -> dict[str, Any]:
    of = outcome.comparison
    assert of is not None
    assert of.restarts, [row.sentence for row in outcome.checks]
    return {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "target": f"{target_of(cell.threads).name}, {cell.threads} thread{'s' if cell.threads > 1 else ''}",
        "host": cell.host,
        "planted": cell.planted,
        "seed": seed,
        "verdict": combine(row.verdict for row in deciding(outcome.checks)),
        "rows": {row.name: row.verdict for row in outcome.checks},
        "sentences": [row.sentence for row in deciding(outcome.checks) if row.verdict != "PASS"],
        "elapsed_s": round(outcome.elapsed_s, 2),
        "restarts": len(of.restarts),
        "wall_over_cpu": round(of.facts["wall_over_cpu"], 3),
        "stolen_share": of.facts["quality"]["facts"]["stolen_share"],
        "log_ratios": {
            metric: {
                arm: [round(x, 6) for x in log_ratios(of, metric, len(of.restarts), arm)]
                for arm in (CANDIDATE, AGAIN)
            }
            for metric in METRICS
        },
        "naive": called_slower(of),
        "machine": machine.facts(),
    }


def called_slower(of: Comparison) -> dict[str, bool]:
    """What other rules make of the wall times of the first restarts."""
    runs = {
        arm: of.samples(arm, "wall_ns").reshape(len(of.restarts), -1)[:4] for arm in ("baseline", CANDIDATE)
    }
    return {name: rule(runs["baseline"], runs[CANDIDATE]) for name, rule in naive.RULES.items()}


def read(file: Path) -> list[dict[str, Any]]:
    """Every whole line: a killed sitting may have left half of one."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def of_cell(trials: list[dict[str, Any]], cell: Cell) -> list[dict[str, Any]]:
    name = f"{cell.threads} thread{'s' if cell.threads > 1 else ''}"
    return [
        trial
        for trial in trials
        if trial["target"].endswith(name) and (trial["host"], trial["planted"]) == (cell.host, cell.planted)
    ]


def run(file: Path, until: float, clock: Any, chosen: str) -> None:
    """Appends gates, the cell that is furthest from its number first, until the time is over or all are there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        models = {}
        for threads in (1, 2):
            (Path(name) / str(threads)).mkdir()
            models[threads] = reference_model(target_of(threads), Path(name) / str(threads))
        while clock() < until:
            trials = read(file)
            left = [
                cell
                for cell in CELLS
                if chosen in f"{cell.threads} {cell.host} {cell.planted}"
                and len(of_cell(trials, cell)) < cell.wanted
            ]
            if not left:
                return
            cell = min(left, key=lambda cell: len(of_cell(trials, cell)) / cell.wanted)
            found = one(cell, models[cell.threads], seed=len(trials))
            if found is None:
                print(f"{cell}: the neighbour was not felt; left out", flush=True)
                continue
            with file.open("a", encoding="utf-8") as opened:
                opened.write(json.dumps(found) + "\n")
            print(
                f"{len(trials) + 1:4}  {cell.threads} {cell.host:<9} {cell.planted:<10} {found['verdict']:<12} {found['elapsed_s']:5.1f} s",
                flush=True,
            )
