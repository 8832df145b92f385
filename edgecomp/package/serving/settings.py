"""How a model is served, derived from what a bench of it found: instances, dynamic batching, warm-up; and why each is as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgecomp.errors import UsageError
from edgecomp.files.array_files import read_npz
from edgecomp.files.json_files import read_mapping, shaped
from edgecomp.metrics.registry import BATCHED_SERVER, SERVER
from edgecomp.metrics.samples import WARMUP_WALL

MOST = 8  # examples in a request, and requests answered at once, where nothing was measured
NEARLY = 0.95  # of the highest throughput: more clients at once than it takes gain nothing
SETTLED = 1.5  # times the steady latency
MOST_WARMUP = 100


@dataclass(frozen=True)
class Settings:
    """instances: of the model at once; threads: of each; most: examples of a request; batches: whether waiting requests are answered together;
    delay_us: how long a batch waits to fill, microseconds; warmup: requests before the model is ready; why: a sentence each, for the file."""

    instances: int
    threads: int
    most: int
    batches: bool
    delay_us: int
    warmup: int
    why: tuple[str, ...]


def derived(threads: int, files: Mapping[str, str], bench: Path | None) -> Settings:
    """Settings of a model of so many `threads`. files: its files' digests by name; bench: the folder of a bench of it, None where nothing was
    measured. Raises UsageError where that is a bench of another model, FileError where it cannot be read."""
    if bench is None:
        why = ("nothing was measured: one instance, no batching, one request of warm-up; `edgecomp bench MODEL -s server -s dynamic-batching "
               "-s stress` tells more")  # fmt: skip
        return Settings(1, threads, MOST, False, 0, 1, (why,))
    content = read_mapping(bench / "bench.json", "file_sha256", "scenarios", "metrics", "target")
    measured = set(content["file_sha256"].values())
    if not measured <= set(files.values()):
        raise UsageError(f"{bench} is a bench of {content.get('model')}, whose sha256 is another than that of what is served: "
                         "bench the deployed folder, and name that result")  # fmt: skip
    with shaped(bench / "bench.json", "edgecomp bench"):
        scenarios = content["scenarios"]
        instances, of_instances = _instances(scenarios)
        batches, most, delay_us, of_batches = _batching(content["metrics"], scenarios)
    warmup, of_warmup = _warmup(bench)
    return Settings(
        instances, threads, most, batches, delay_us, warmup, (of_instances, of_batches, of_warmup)
    )


def _instances(scenarios: Mapping[str, Any]) -> tuple[int, str]:
    """The fewest clients at once that come near to the highest throughput of a stress run."""
    rounds: Sequence[Mapping[str, Any]] = [
        one for one in scenarios.get("stress", {}).get("rounds", []) if not one["wrong"] and not one["errors"]
    ]
    if not rounds:
        return 1, "instances: one, for no stress run was measured (-s stress)"
    highest = max(one["per_s"] for one in rounds)
    fewest = min(
        (one for one in rounds if one["per_s"] >= NEARLY * highest), key=lambda one: int(one["clients"])
    )
    told = ", ".join(f"{one['clients']} at once {one['per_s']:.0f}/s" for one in rounds)
    return int(
        fewest["clients"]
    ), f"instances: the fewest within {100 - 100 * NEARLY:.0f} % of the highest throughput ({told})"


def _batching(metrics: Mapping[str, Any], scenarios: Mapping[str, Any]) -> tuple[bool, int, int, str]:
    """Batches where the rate that they serve is the higher one by the bounds of both."""
    alone, batched = metrics.get(SERVER), metrics.get(BATCHED_SERVER)
    facts = scenarios.get("dynamic-batching", {})
    if alone is None or batched is None:
        why = facts.get("not_run", "not both of -s server and -s dynamic-batching were measured")
        return False, MOST, 0, f"dynamic batching: none, for {why}"
    told = f"{batched['value']:.0f}/s with it, {alone['value']:.0f}/s without"
    low, high = batched["lower"], alone["upper"]
    if low is None or high is None:
        return False, MOST, 0, f"dynamic batching: none, for too few restarts bound the rates ({told})"
    if low <= high:
        return False, MOST, 0, f"dynamic batching: none, for it was not shown to serve more ({told})"
    most, delay_us = int(facts["most"]), round(1e3 * float(facts["delay_ms"]))
    return True, most, delay_us, f"dynamic batching: {told}, at a p99 of {facts['limit_ms']:.3g} ms"


def _warmup(bench: Path) -> tuple[int, str]:
    """Requests after which the latency has settled: the median over restarts of each call, beside that of the later half."""
    walls = read_npz(bench / "samples.npz", [WARMUP_WALL]).get(WARMUP_WALL)
    if walls is None or walls.ndim != 2 or walls.shape[1] < 4:
        return 1, "warm-up: one request, for the bench has no samples of it"
    calls = np.median(walls, axis=0)
    steady = float(np.median(calls[len(calls) // 2 :]))
    slow = np.flatnonzero(calls > SETTLED * steady)
    count = 1 if len(slow) == 0 else int(slow[-1]) + 2
    return min(
        count, MOST_WARMUP
    ), f"warm-up: latency settles at {steady / 1e6:.3g} ms after {count} requests"
