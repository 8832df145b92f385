"""Longer than a sprint: one client for minutes (sustained), and many at once (stress)."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.worker import noise
from edgecomp.metrics.samples import CPU, WALL
from edgecomp.progress import Track
from edgecomp.runtimes import TABLE
from edgecomp.stats.order_statistics import samples_needed
from edgecomp.stats.trend import leak, slope

BLOCK_S = 1.0
SAMPLES = 1000  # of memory, in a stress run
Samples = dict[str, npt.NDArray[Any]]


def sustained(
    place: Place, *, model: Path, inputs: Path, rows: int, minutes: float, track: Track
) -> tuple[dict[str, Any], Samples]:
    """Single stream for so many `minutes`: drift, from the slope of latency over time, and slowdown, its last
    tenth over its first.

    place: where it runs; model: its file; inputs: a folder of examples, of which it takes `rows` at once;
    track: is told how far it is. Samples: by block of about a second, when it began (s), its medians (ms),
    and the machine's noise.
    """
    blocks: list[dict[str, float | None]] = []
    with place.host.start(place, model, inputs, rows) as worker:
        alone_ns = float(np.median(worker.ask("single_stream", count=32)[WALL]))
        size = max(1, round(BLOCK_S * 1e9 / alone_ns))
        planned = max(2, round(minutes * 60 / BLOCK_S))
        elapsed = 0.0
        for _ in track(range(planned), f"sustain under {place.runtime}, turns", planned):
            before = place.host.noise()
            reply = worker.ask("single_stream", count=size)
            took_ns = sum(reply[WALL])
            block = noise.during(before, place.host.noise(), reply["switches"])
            blocks.append(
                block
                | {
                    "began_s": elapsed,
                    "wall_ms": float(np.median(reply[WALL])) / 1e6,
                    "cpu_ms": float(np.median(reply[CPU])) / 1e6,
                }
            )
            elapsed += took_ns / 1e9
            if elapsed >= minutes * 60:
                break
        held = worker.ask("memory")["memory"]
    samples = {
        name: np.asarray(
            [np.nan if (value := block[name]) is None else value for block in blocks], np.float64
        )
        for name in blocks[0]
    }
    tenth = max(1, len(blocks) // 10)
    facts: dict[str, Any] = {"minutes": elapsed / 60, "blocks": len(blocks), "memory": held}
    for clock in ("wall_ms", "cpu_ms"):
        values = samples[clock]
        level = float(np.median(values))
        found = slope(samples["began_s"] / 60, 100 * values / level)
        facts[f"{clock[:-3]}_drift_pct_per_minute"] = found._asdict()
        facts[f"{clock[:-3]}_last_over_first"] = float(np.median(values[-tenth:]) / np.median(values[:tenth]))
    throttled = samples["throttled"]
    facts["throttled"] = None if np.isnan(throttled).all() else float(np.nansum(throttled))
    return facts, samples


def stress(
    place: Place,
    *,
    model: Path,
    inputs: Path,
    rows: int,
    clients: int,
    minutes: float,
    scratch: Path,
    track: Track,
) -> tuple[dict[str, Any], Samples]:
    """1, 2, 4, … `clients` at once: latency and throughput by how many, errors, answers that are not the
    single client's, and whether memory leaks. The largest number has half of the `minutes`.

    place: where it runs; model: its file; inputs: a folder of examples, of which it takes `rows` at once;
    scratch: a folder for what passes between; track: is told how far it is.
    """
    steps = sorted({2**power for power in range(clients.bit_length()) if 2**power < clients} | {clients})
    rounds: list[dict[str, Any]] = []
    samples: Samples = {}
    for count in track(steps, f"stress under {place.runtime}, loads", len(steps)):
        share = 0.5 if count == clients else 0.5 / max(1, len(steps) - 1)
        seconds = minutes * 60 * (share if len(steps) > 1 else 1.0)
        file = scratch / "stress.npz"
        with place.host.start(place, model, inputs, rows) as worker:
            worker.ask("single_stream", count=32)
            reply = worker.ask(
                "stress",
                clients=count,
                seconds=seconds,
                every_s=seconds / SAMPLES,
                to=str(file.resolve()),
                within_s=seconds,
            )
        with np.load(file, allow_pickle=False) as content:
            walls = [content[f"{WALL}.{index}"] for index in range(count)]
            begins = [content[f"begin_ns.{index}"] for index in range(count)]
            held = content["held"].astype(np.float64)
        file.unlink()
        every = np.concatenate(walls)
        found: dict[str, Any] = {
            "clients": count,
            "requests": len(every),
            "wrong": reply["wrong"],
            "errors": reply["errors"],
            "per_s": len(every) / (held[-1, 0] / 1e9),
        }
        if len(every):
            found["p50_ms"] = float(np.percentile(every, 50)) / 1e6
            if len(every) >= samples_needed(99):
                found["p99_ms"] = float(np.percentile(every, 99)) / 1e6
            order = np.argsort(np.concatenate(begins), kind="stable")
            minutes_in = np.concatenate(begins)[order] / 6e10
            level = float(np.median(every))
            found["drift_pct_per_minute"] = slope(minutes_in, 100 * every[order] / level)._asdict()
        if not TABLE[place.runtime].remote:  # a server's memory is not this process's
            found["leak"] = leak(held[:, 1], held[:, 2])._asdict()
            found["leak"] |= {name: found["leak"][name]._asdict() for name in ("whole", "second_half")}
        rounds.append(found)
        samples |= {f"held.{count}": held, f"{WALL}.{count}": every}
    return {"rounds": rounds}, samples
