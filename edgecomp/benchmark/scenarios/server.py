"""The server scenario: requests come when they come. What rate can be served, with a p99 that holds?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.benchmark.hosts.host import Asked
from edgecomp.benchmark.hosts.process import Place
from edgecomp.metrics.samples import WALL
from edgecomp.progress import Track
from edgecomp.stats.order_statistics import samples_needed

STEPS = 7  # of the bisection: the answer is then within 1 % of the capacity
REQUESTS = samples_needed(99)
SLOWEST_S = 60.0
KEEPS_UP = 1.2  # times the arrivals' own length: what Poisson arrivals may be off by


@dataclass(frozen=True)
class Trial:
    rate_per_s: float
    p99_ms: float
    holds: bool
    keeps_up: bool
    mean_batch: float


def highest_rate(
    place: Place,
    *,
    model: Path,
    inputs: Path,
    rows: int,
    restarts: int,
    limit_ms: float,
    most: int,
    delay_ms: float,
    scratch: Path,
    track: Track,
) -> tuple[npt.NDArray[np.float64], dict[str, Any]]:
    """By restart, the highest Poisson rate per second whose p99, from arrival to answer, is at most
    `limit_ms`; and the trials.

    place: where it runs; model: its file; inputs: a folder of examples, of which it takes `rows` at once;
    restarts: of the process, in each of which it is looked for; most: how many waiting requests may be
    answered at once; 1 is none. A batch waits up to `delay_ms` to fill. 0 where even a request alone is over
    the limit. scratch: a folder for what passes between; track: is told how far it is.
    """
    rates, trials = [], []
    for restart in track(range(restarts), f"serve under {place.runtime}, restarts", restarts):
        with place.host.start(place, model, inputs, rows) as worker:
            alone_ns = float(np.median(worker.ask("single_stream", count=32)[WALL]))
            random = np.random.default_rng(restart)
            low, high = 0.0, most * 1e9 / alone_ns
            for _ in range(STEPS):
                rate = (low + high) / 2
                trial = _tried(worker, rate, random, limit_ms, most, delay_ms, alone_ns, scratch)
                trials.append({"restart": restart} | trial.__dict__)
                low, high = (rate, high) if trial.holds else (low, rate)
            rates.append(low)
    facts = {"limit_ms": limit_ms, "most": most, "delay_ms": delay_ms, "requests": REQUESTS, "trials": trials}
    return np.asarray(rates), facts


def _tried(
    worker: Asked,
    rate: float,
    random: np.random.Generator,
    limit_ms: float,
    most: int,
    delay_ms: float,
    alone_ns: float,
    scratch: Path,
) -> Trial:
    """One rate, with as many requests as a p99 takes. It holds where the p99 is within the limit and the answers keep up with the arrivals: a limit may be
    longer than the trial."""
    due = np.cumsum(random.exponential(1e9 / rate, REQUESTS)).astype(np.int64)
    file = scratch / "arrivals.npy"
    np.save(file, due)
    reply = worker.ask(
        "serve",
        arrivals=str(file.resolve()),
        most=most,
        delay_ns=int(delay_ms * 1e6),
        within_s=2 * due[-1] / 1e9 + SLOWEST_S,
    )
    file.unlink()
    latencies = np.asarray(reply["latency_ns"])
    p99 = float(np.percentile(latencies, 99)) / 1e6
    waits_ns = 10 * alone_ns + delay_ms * 1e6
    keeps_up = bool((due + latencies).max() <= KEEPS_UP * due[-1] + waits_ns)
    return Trial(rate, p99, keeps_up and p99 <= limit_ms, keeps_up, float(np.mean(reply["batches"])))
