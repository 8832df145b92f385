"""The server scenario against a server: what rate does it answer, with a p99 that holds, and how fast is it below that?"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.benchmark import result
from edgecomp.benchmark.hosts.host import Asked
from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.scenarios.server import KEEPS_UP, REQUESTS, SLOWEST_S, STEPS
from edgecomp.errors import DeviceError
from edgecomp.metrics.measurements import Arm
from edgecomp.metrics.registry import CPU_P50, ENERGY, FILE_SIZE, PEAK
from edgecomp.metrics.samples import OFFLINE_WALL, SINGLE_STREAM_WALL, WALL, WARMUP_WALL
from edgecomp.progress import Track

LOADS = (50, 80, 95)  # per cent of the highest rate
DOUBLINGS = 8  # of one client's rate: instances, batches
SLOWEST = 1 / 8  # of one client's rate, that is tried
OF_SERVERS = (SINGLE_STREAM_WALL, OFFLINE_WALL, WARMUP_WALL)  # samples that are the server's, and the way's
NOT_OURS = dict.fromkeys((CPU_P50, PEAK, FILE_SIZE, ENERGY), "the server's own, and not seen from here")
ITS_OWN_BATCHES = (
    "whether requests are answered together is the server's configuration: -s server measures it as it is"
)
Array = npt.NDArray[Any]


def of_the_server(arm: Arm) -> Arm:
    """What was sampled of `arm` that is the server's: its CPU time, memory and start are the client's."""
    return replace(
        arm, samples={name: arm.samples[name] for name in OF_SERVERS if name in arm.samples}, memory={}
    )


def load(
    worker: Asked, rate_per_s: float, requests: int, random: np.random.Generator, scratch: Path
) -> dict[str, Any]:
    """What `loops.sent` found of so many `requests`, Poisson arrivals of `rate_per_s` drawn by `random`. worker: with a connection to the server;
    scratch: a folder for what passes between."""
    due = np.cumsum(random.exponential(1e9 / rate_per_s, requests)).astype(np.int64)
    file = scratch / "arrivals.npy"
    np.save(file, due)
    reply = worker.ask(
        "serve", arrivals=str(file.resolve()), most=1, delay_ns=0, within_s=2 * due[-1] / 1e9 + SLOWEST_S
    )
    file.unlink()
    return reply


def highest_rate(
    place: Place,
    *,
    model: Path,
    inputs: Path,
    rows: int,
    restarts: int,
    limit_ms: float,
    scratch: Path,
    track: Track,
) -> tuple[Array, dict[str, Any], dict[str, Array]]:
    """By restart of the client, the highest Poisson rate per second whose p99 is at most `limit_ms` and of which no request fails; the trials; and
    by load the latencies at shares of the median of those rates.

    place: of the client, and restarts: how often that is started; model: the endpoint's file; inputs: a folder of examples, of which `rows` are a request; scratch: a folder for what passes
    between; track: is told how far it is. Raises DeviceError where requests fail at a rate that it was said to hold.
    """
    rates: list[float] = []
    trials: list[dict[str, Any]] = []
    for restart in track(range(restarts), f"serve under {place.runtime}, restarts", restarts):
        with place.host.start(place, model, inputs, rows) as worker:
            alone_ns = float(np.median(worker.ask("single_stream", count=32)[WALL]))
            random = np.random.default_rng(restart)

            def holds(
                rate: float,
                worker: Asked = worker,
                random: np.random.Generator = random,
                restart: int = restart,
                alone_ns: float = alone_ns,
            ) -> bool:
                trial = _trial(load(worker, rate, REQUESTS, random, scratch), rate, limit_ms, alone_ns)
                trials.append({"restart": restart} | trial)
                return bool(trial["holds"])

            low, high = 0.0, 1e9 / alone_ns
            for _ in range(DOUBLINGS):
                if not holds(high):
                    break
                low, high = high, 2 * high
            for _ in range(STEPS):
                if high < SLOWEST * 1e9 / alone_ns:
                    break  # a p99 takes a minute and more then, and the answer is that none was held
                rate = (low + high) / 2
                low, high = (rate, high) if holds(rate) else (low, rate)
            rates.append(low)
    facts: dict[str, Any] = {"limit_ms": limit_ms, "requests": REQUESTS, "trials": trials}
    capacity = float(np.median(rates))
    if capacity <= 0:
        said = next((error for trial in trials for error in trial["errors"]), "")
        if said:
            raise DeviceError(
                f"no rate from {min(one['rate_per_s'] for one in trials):.3g} a second on was held: {said}"
            )
        return np.asarray(rates), facts | {"loads": []}, {}
    facts["loads"], samples = _loads(place, model, inputs, rows, restarts, capacity, scratch, track)
    return np.asarray(rates), facts, samples


def _trial(reply: Mapping[str, Any], rate: float, limit_ms: float, alone_ns: float) -> dict[str, Any]:
    """It holds where nothing fails, the p99 is within the limit, and the answers keep up with the arrivals: a limit may be longer than the trial."""
    latencies = np.asarray(reply["latency_ns"])
    answered = latencies[latencies >= 0]
    p99_ms = float(np.percentile(answered, 99)) / 1e6 if len(answered) else None
    keeps_up = reply["elapsed_ns"] <= KEEPS_UP * 1e9 * len(latencies) / rate + 10 * alone_ns
    holds = not reply["errors"] and keeps_up and p99_ms is not None and p99_ms <= limit_ms
    return {
        "rate_per_s": rate,
        "p99_ms": p99_ms,
        "holds": holds,
        "keeps_up": keeps_up,
        "failed": int((latencies < 0).sum()),
        "wrong": reply["wrong"],
        "errors": reply["errors"],
        "most_at_once": reply["most_at_once"],
    }


def _loads(
    place: Place,
    model: Path,
    inputs: Path,
    rows: int,
    restarts: int,
    capacity: float,
    scratch: Path,
    track: Track,
) -> tuple[list[dict[str, Any]], dict[str, Array]]:
    """Percentiles at each share of the capacity: the median over restarts, with its interval; loads by turns."""
    taken: dict[int, list[dict[str, Any]]] = {share: [] for share in LOADS}
    for restart in track(range(restarts), f"load under {place.runtime}, restarts", restarts):
        with place.host.start(place, model, inputs, rows) as worker:
            random = np.random.default_rng([1, restart])
            worker.ask("single_stream", count=8)
            for share in LOADS[restart % len(LOADS) :] + LOADS[: restart % len(LOADS)]:
                reply = load(worker, share / 100 * capacity, REQUESTS, random, scratch)
                if reply["errors"] and share < LOADS[-1]:
                    error, count = next(iter(reply["errors"].items()))
                    raise DeviceError(
                        f"at {share} % of the rate that it held, {count} of {REQUESTS} requests failed: {error}"
                    )
                taken[share].append(reply)
    found, samples = [], {}
    for share, replies in taken.items():
        latencies = np.asarray([one["latency_ns"] for one in replies], np.int64)
        samples[f"latency_ns.{share}"] = latencies
        told: dict[str, Any] = {
            "share_pct": share,
            "rate_per_s": share / 100 * capacity,
            "requests": latencies.size,
        }
        told |= {"failed": int((latencies < 0).sum()), "wrong": sum(one["wrong"] for one in replies)}
        told["late_p50_ms"] = float(np.median([one["late_ns"] for one in replies])) / 1e6
        if (latencies >= 0).all():
            for percentile in (50, 99):
                of_restarts = np.percentile(latencies, percentile, axis=1) / 1e6
                told[f"p{percentile}_ms"] = result.as_json(
                    result.figure(of_restarts, "time", latencies.shape[1])
                )
        found.append(told)
    return found, samples
