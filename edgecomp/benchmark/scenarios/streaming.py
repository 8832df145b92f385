"""The stream scenario: lines of text as they come out of a log, from the text to its class, preparing included."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.benchmark.hosts.host import Asked
from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.texts import Texts
from edgecomp.benchmark.worker.streaming import How
from edgecomp.errors import BudgetExceededError
from edgecomp.files.sealed import is_sealed
from edgecomp.metrics.samples import CPU, WALL
from edgecomp.progress import Track

BATCHES = (64, 256, 1024)
FEWEST, FEW = 256, 8192  # lines that a pilot, and then the ways, are tried on
TRIED_S, MEASURED_S = 0.3, 2.0
PASS_S = 1.0  # of lines in a pass, where the model is slow
ARRIVING, ARRIVING_S = 20_000, 2.0  # lines of the open loop, and how long that is
SHARE = 0.5  # of what it can, where no rate is given
MIB = 2**20


def fastest(
    place: Place,
    *,
    model: Path,
    inputs: Path,
    rows: int,
    texts: Texts,
    restarts: int,
    rate_per_s: float | None,
    scratch: Path,
    track: Track,
) -> tuple[npt.NDArray[np.float64], dict[str, Any]]:
    """By restart, the lines a second of the fastest way that keeps the target's budget of memory; and the ways, of which one is chosen by processes that
    are not counted.

    place: where it runs; model: its file; inputs: a folder of examples that it takes, `rows` at once; texts: the lines; restarts: of the process; rate_per_s: of lines that arrive by themselves
    (Poisson), whose latency is measured, half of the fastest's where None; scratch: a folder for what passes between; track: is told how
    far it is. A line that comes again is computed again; what computing it once in a batch would give is told beside. Raises what a worker raises, and
    BudgetExceededError where no way keeps that budget.
    """
    common = {**texts.preparing, "to": str((scratch / "classes.npy").resolve())}
    ways = [
        How(sessions, batch)
        for sessions in sorted(
            {1, 1 if is_sealed(model) else place.threads}
        )  # an encrypted one is opened once
        for batch in BATCHES
        if batch == BATCHES[0] or batch <= 2 * len(texts.lines)
    ]
    tried, classes = [], None
    with place.host.start(place, model, inputs, rows) as worker:
        pilot = _first(texts, FEWEST, scratch)
        slow = _rate(worker, How(1, BATCHES[0]), 0.0, *pilot, common)["lines_per_s"]
        few = _first(texts, int(np.clip(TRIED_S * slow, FEWEST, FEW)), scratch)
        for way in track(ways, f"stream under {place.runtime}, ways", len(ways)):
            found = _rate(worker, way, TRIED_S, *few, common)
            given = np.load(scratch / "classes.npy")
            classes = given if classes is None else classes
            others = int((given != classes).sum())
            tried.append({**way._asdict(), **found, "other_answers": others})
    asked = _first(texts, int(max(FEWEST, PASS_S * max(one["lines_per_s"] for one in tried))), scratch)
    order = sorted(range(len(ways)), key=lambda way: -tried[way]["lines_per_s"])
    best = ways[order[0]]
    if place.most_bytes is not None:
        taken = []  # by a process of its own for each: a peak is of all that a process has done
        for at in order:
            with place.host.start(place, model, inputs, rows) as worker:
                _rate(worker, ways[at], 0.0, *asked, common)
                taken.append(worker.ask("memory")["memory"]["peak_bytes"])
            tried[at]["peak_memory_bytes"] = taken[-1]
            if taken[-1] <= place.most_bytes:
                best = ways[at]
                break
        else:
            raise BudgetExceededError(f"a stream takes {min(taken) / MIB:.0f} MiB at least, in whichever batches, and the target's budget is "
                                      f"{place.most_bytes / MIB:.0f} MiB (budget.peak_memory_bytes): take a smaller network, or raise it")  # fmt: skip
    rates, cpu, memory = [], [], []
    served: list[dict[str, float]] = []
    once: dict[str, float] = {}
    for restart in track(range(restarts), f"stream under {place.runtime}, restarts", restarts):
        with place.host.start(place, model, inputs, rows) as worker:
            found = _rate(worker, best, MEASURED_S, *asked, common)
            rates.append(found["lines_per_s"])
            cpu.append(found["cpu_us"])
            memory.append(worker.ask("memory")["memory"]["peak_bytes"])
            rate = rate_per_s or SHARE * rates[-1]
            served.append(_arriving(worker, restart, rate, best.batch, asked[0], texts.preparing, scratch))
            if restart == 0:
                once = _rate(worker, best._replace(once=True), TRIED_S, *asked, common)
    facts = {
        "texts": texts.facts | {"of_a_pass": asked[1]},
        "ways": tried,
        "sessions": best.sessions,
        "batch": best.batch,
        "cpu_us_a_line": float(np.median(cpu)),
        "peak_memory_bytes": int(max(memory)),
        "arriving": {name: float(np.median([one[name] for one in served])) for name in served[0]},
        "each_line_once_in_a_batch": once,
    }
    return np.asarray(rates), facts


def _first(texts: Texts, most: int, scratch: Path) -> tuple[str, int]:
    """A file of the first lines, at most so many, and how many they are."""
    few = Texts(texts.lines[:most], texts.preparing, {})
    return str(few.write(scratch).resolve()), len(few.lines)


def _rate(
    worker: Asked, way: How, seconds: float, file: str, count: int, common: Mapping[str, Any]
) -> dict[str, float]:
    reply = worker.ask("stream", how=list(way), seconds=seconds, lines=file, **common, within_s=60 + seconds)
    return {
        "lines_per_s": count / (float(np.median(reply[WALL])) / 1e9),
        "cpu_us": float(np.median(reply[CPU])) / 1e3 / count,
        "computed": reply["computed"] / count,
    }


def _arriving(
    worker: Asked, seed: int, rate: float, most: int, file: str, preparing: Mapping[str, Any], scratch: Path
) -> dict[str, float]:
    """Latency of lines that come by themselves, in ms, by the number that comes a second. most: of them at once."""
    count = int(np.clip(ARRIVING_S * rate, FEWEST, ARRIVING))
    due = np.cumsum(np.random.default_rng(seed).exponential(1e9 / rate, count)).astype(np.int64)
    arrivals = scratch / "arrivals.npy"
    np.save(arrivals, due)
    reply: Mapping[str, Sequence[float]] = worker.ask(
        "stream_arriving",
        arrivals=str(arrivals.resolve()),
        most=most,
        lines=file,
        **preparing,
        within_s=60 + 3 * due[-1] / 1e9,
    )
    latencies = np.asarray(reply["latency_ns"]) / 1e6
    return {
        "rate_per_s": rate,
        "p50_ms": float(np.percentile(latencies, 50)),
        "p99_ms": float(np.percentile(latencies, 99)),
        "mean_batch": float(np.mean(reply["batches"])),
    }
