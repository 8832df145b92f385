"""Ten thousand gates a cell: how often the gate is wrong, under models of noise and on recorded restarts, and how often others are."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import naive
import numpy as np
import numpy.typing as npt
from noise_models import MODELS, Noise, draw
from scipy.stats import norm

from edgecomp.config.policy import Policy
from edgecomp.gate.paired import FALSE_FAIL, MATERIAL, NULL_ALPHA, is_sequential, over_rounds, round_totals
from edgecomp.stats.power import Rate
from edgecomp.stats.sequential import LOOKS, decide_all, null_bounds

Ratios = Mapping[str, npt.NDArray[np.float64]]
"""`cpu`, `cpu again`, `wall`, `wall again`: log ratios [gates, restarts] of the same model."""

AT_ONCE = 250
NAIVE_GATES = 1000
CLOCKS = {"cpu_p50_ms": "cpu", "latency_p50_ms": "wall"}


class Gate(NamedTuple):
    """A policy's rows of times, with the levels they have."""

    limits: Mapping[str, float]  # clock → log margin
    pass_alpha: float
    fail_alpha: float


def gate_of(policy: Policy) -> Gate:
    rows = {name: row for name, row in policy.rows.items() if is_sequential(row)}
    limits = {
        CLOCKS[row.metric]: math.log1p(row.limit.value / 100) for row in rows.values() if row.metric in CLOCKS
    }
    confidence = rows["cpu_p50_ms"].confidence
    return Gate(limits, 1 - confidence, min(1 - confidence, FALSE_FAIL / len(rows)))


def simulated(noise: Noise, gates: int, seed: int) -> Ratios:
    random = np.random.default_rng(seed)
    parts = [_ratios(draw(noise, AT_ONCE, LOOKS[-1], random)) for _ in range(gates // AT_ONCE)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _ratios(times: Mapping[str, npt.NDArray[np.float32]]) -> Ratios:
    found = {}
    for clock, values in times.items():
        baseline, again, candidate = np.moveaxis(np.log(round_totals(values)), 2, 0)
        found[clock] = over_rounds(candidate - (baseline + again) / 2)
        found[f"{clock} again"] = over_rounds(again - baseline)
    return found


def resampled(pool: Sequence[Mapping[str, Any]], gates: int, seed: int) -> Ratios:
    """Gates of recorded restarts, drawn with replacement; a restart's figures stay together. Each gate's restarts are of one
    recorded comparison or another, so that what changed from one to the next is between them."""
    restarts = [
        tuple(one["log_ratios"][metric][arm][place] for metric in CLOCKS for arm in ("candidate", "again"))
        for one in pool
        for place in range(len(one["log_ratios"]["cpu_p50_ms"]["candidate"]))
    ]
    drawn = np.asarray(restarts)[np.random.default_rng(seed).integers(0, len(restarts), (gates, LOOKS[-1]))]
    names = [f"{clock}{suffix}" for clock in CLOCKS.values() for suffix in ("", " again")]
    return {name: drawn[..., place] for place, name in enumerate(names)}


def judged(ratios: Ratios, gate: Gate, slowdown: float, contended: bool = False) -> dict[str, Any]:
    """Shares of gates, with what a candidate slower by `slowdown` gets: of the whole gate and of each row. Where the host is contended,
    wall time advises only."""
    shift = math.log1p(slowdown)
    limits = {clock: limit for clock, limit in gate.limits.items() if clock == "cpu" or not contended}
    rows = {
        clock: decide_all(
            ratios[clock] + shift, limit, pass_alpha=gate.pass_alpha, fail_alpha=gate.fail_alpha
        )
        for clock, limit in limits.items()
    }
    outcomes = np.stack([row.outcomes for row in rows.values()])
    ends = np.stack([row.restarts for row in rows.values()])
    fails = np.where(outcomes == -1, ends, LOOKS[-1] + 1).min(axis=0)  # the first FAIL ends it
    restarts = np.minimum(fails, ends.max(axis=0))
    failed, passed = fails <= LOOKS[-1], (outcomes == 1).all(axis=0)
    invalid = np.zeros(len(failed), bool)
    for clock, limit in limits.items():
        null = ratios[f"{clock} again"]
        for look in LOOKS:
            at = np.flatnonzero(restarts == look)
            invalid[at] |= np.array([_null_fails(null[index, :look], limit) for index in at], bool)
    count = len(failed)
    return {
        "slowdown": slowdown,
        "FAIL": Rate.of(int((failed & ~invalid).sum()), count)._asdict(),
        "PASS": Rate.of(int((passed & ~invalid).sum()), count)._asdict(),
        "INVALID": Rate.of(int(invalid.sum()), count)._asdict(),
        "row PASS": {clock: float((row.outcomes == 1).mean()) for clock, row in rows.items()},
        "restarts": float(restarts.mean()),
        "restarts_p90": float(np.percentile(restarts, 90)),
    }


def _null_fails(null: npt.NDArray[np.float64], limit: float) -> bool:
    middle, lower, upper = null_bounds(null, NULL_ALPHA)
    return not lower <= 0 <= upper and abs(middle) > MATERIAL * limit


def naive_rates(noise: Noise, slowdowns: Sequence[float], seed: int) -> dict[str, dict[str, float]]:
    """By rule and slowdown, the share of gates in which the candidate is called slower: four runs each, one after another in
    the rules that take one, with as many iterations as the gate has in a restart."""
    random = np.random.default_rng(seed)
    calls: dict[str, dict[str, list[bool]]] = {
        rule: {f"{slowdown:g}": [] for slowdown in slowdowns} for rule in naive.RULES
    }
    for _ in range(NAIVE_GATES // 50):
        times = draw(noise, 50, 4, random)["wall"]
        runs = times.reshape(*times.shape[:3], -1)
        for gate in runs:
            baseline, candidate = gate[:, 0], gate[:, 2]
            for slowdown in slowdowns:
                for name, rule in naive.RULES.items():
                    calls[name][f"{slowdown:g}"].append(rule(baseline, candidate * (1 + slowdown)))
    return {name: {s: float(np.mean(found)) for s, found in by.items()} for name, by in calls.items()}


SPENDING: Mapping[str, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]] = {
    "in proportion to restarts": lambda time: time,
    "O'Brien-Fleming": lambda time: np.diff(np.concatenate([[0], norm.sf(norm.isf(0.005) / np.sqrt(time))])),
}
"""By name, each look's part of the level; time: restarts over the last look's."""


def spending(gate: Gate, seed: int) -> list[dict[str, Any]]:
    """What other shares of the level among the looks would give, of normal restarts of some spreads."""
    random = np.random.default_rng(seed)
    found = []
    for spread in (0.003, 0.006, 0.01, 0.02):
        same = random.normal(0, spread, (10_000, LOOKS[-1]))
        for name, spend in SPENDING.items():
            parts = spend(np.asarray(LOOKS) / LOOKS[-1])
            decided = []
            for slowdown in (0.0, 0.05, 0.10):
                outcomes, restarts = decide_all(
                    same + math.log1p(slowdown),
                    gate.limits["cpu"],
                    pass_alpha=gate.pass_alpha,
                    fail_alpha=gate.fail_alpha,
                    parts=parts / parts.sum(),
                )
                decided.append((float((outcomes == (-1 if slowdown else 1)).mean()), float(restarts.mean())))
            found.append({"spread": spread, "spending": name, "decided": decided})
    return found


def run(policy: Policy, gates: int, seed: int, recorded: Sequence[Mapping[str, Any]], to: Path) -> None:
    """Writes simulation.json: by model of noise, and of `recorded` trials' restarts, what becomes of candidates from equal to a quarter
    slower."""
    gate = gate_of(policy)
    margin = math.expm1(gate.limits["cpu"])
    slowdowns = (0.0, margin, 0.035, 0.05, 0.075, 0.10, 0.25)
    found: dict[str, Any] = {
        "gates": gates,
        "seed": seed,
        "policy": policy.name,
        "looks": list(LOOKS),
        "cells": {},
        "naive": {},
    }
    for name, noise in MODELS.items():
        ratios = simulated(noise, gates, seed)
        found["cells"][name] = [judged(ratios, gate, slowdown, noise.waiting > 0) for slowdown in slowdowns]
        found["naive"][name] = naive_rates(noise, (0.0, 0.05, 0.10), seed)
        told = {
            f"{100 * cell['slowdown']:g} %": f"FAIL {100 * cell['FAIL']['hits'] / gates:.2f} PASS {100 * cell['PASS']['hits'] / gates:.2f}"
            for cell in found["cells"][name]
        }
        print(name, told, flush=True)
    found["spending"] = spending(gate, seed)
    for place in dict.fromkeys((one["target"], one["host"]) for one in recorded):
        pool = [
            one for one in recorded if (one["target"], one["host"]) == place and one["planted"] == "nothing"
        ]
        if sum(len(one["log_ratios"]["cpu_p50_ms"]["candidate"]) for one in pool) >= 100:
            ratios = resampled(pool, gates, seed)
            found["cells"][f"recorded: {place[0]}, {place[1]}"] = [
                judged(ratios, gate, slowdown, place[1] != "idle" and "1 thread" in place[0])
                for slowdown in slowdowns
            ]
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
