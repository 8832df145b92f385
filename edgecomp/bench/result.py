"""What a bench of one model file found: figures with their bounds, and the raw samples they come from.

Format 1: bench.json (metrics, scenarios, quality, facts) and samples.npz (`NAME`: first axis the restarts; `SCENARIO.NAME`).
A result is a folder of its own, written whole, and never changed.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.errors import UsageError
from edgecomp.files.scratch import new_folder
from edgecomp.files.writing import write_json
from edgecomp.metrics.measurements import LEAST_REPEATED, MOST_TIMED_ERROR, Arm
from edgecomp.metrics.registry import METRICS
from edgecomp.stats.order_statistics import median_bounds, restarts_needed, samples_needed

FORMAT_VERSION = 1
PERCENTILES = (50, 90, 99)
CONFIDENCE = 0.95  # of an interval: each of its bounds at 97.5 %


@dataclass(frozen=True)
class Figure:
    """The median over restarts with a two-sided interval by order statistics; bounds None where the restarts are too few."""

    value: float
    lower: float | None
    upper: float | None
    restarts: int
    samples: int | None = None  # a restart
    confidence: float = CONFIDENCE


def figure(values: npt.NDArray[Any], samples: int | None = None) -> Figure:
    """values: one a restart."""
    found = np.asarray(values, np.float64)
    lower, upper = median_bounds(found, (1 + CONFIDENCE) / 2)
    return Figure(float(np.median(found)), lower, upper, len(found), samples)


def figures(arm: Arm, offline_batch: int) -> tuple[dict[str, Figure], dict[str, str]]:
    """Every metric that the samples support, and by metric why another is not there."""
    samples = arm.samples
    walls, cpus = samples["single_stream_wall_ns"], samples["single_stream_cpu_ns"]
    count = walls.shape[1]
    found = {
        "cold_start_p50_ms": figure(samples["cold_start_ns"] / 1e6),
        "load_p50_ms": figure(samples["load_ns"] / 1e6),
        "peak_memory_bytes": figure(samples["peak_memory_bytes"]),
        # An import may hold more for a moment than a small model ever does beside what stays of it.
        "model_memory_bytes": figure(
            np.maximum(samples["peak_memory_bytes"] - samples["imports_peak_bytes"], 0)
        ),
    }
    if "offline_wall_ns" in samples:
        offline = samples["offline_wall_ns"]
        found["throughput_p50_per_s"] = figure(
            offline_batch / (np.median(offline, axis=1) / 1e9), offline.shape[1]
        )
    missing = {}
    for name, values in (("latency", walls), ("cpu", cpus)):
        for percentile in PERCENTILES:
            metric, needed = f"{name}_p{percentile}_ms", samples_needed(percentile) if percentile > 50 else 1
            if metric in METRICS and count >= needed:
                found[metric] = figure(np.percentile(values, percentile, axis=1) / 1e6, count)
            elif metric in METRICS:
                missing[metric] = (
                    f"{count} samples a restart cannot show it: it takes {needed}, and more time (--max-time)"
                )
    if len(walls) < restarts_needed((1 + CONFIDENCE) / 2):
        missing["bounds"] = (
            f"{len(walls)} restarts bound nothing at {100 * CONFIDENCE:g} %: it takes {restarts_needed((1 + CONFIDENCE) / 2)} (--restarts)"
        )
    return {name: found[name] for name in METRICS if name in found}, missing


def doubts(content: Mapping[str, Any]) -> list[str]:
    """Why what was measured cannot be believed, in sentences, which make the result INVALID; none where it can. content: bench.json's."""
    audit = content["audit"]
    advice = " (its inputs were made up: --inputs FILE.npz gives real ones)" if content["made_up"] else ""
    found = []
    for name, one in audit["outputs"].items():
        if one["broken"]:
            found.append(f"output {name} holds {one['broken']}{advice}")
        elif _differs(one["timed_error"]) and (one["alone_error"] is None or _differs(one["alone_error"])):
            found.append(f"output {name} differs while it is timed from the accuracy run's by {one['timed_error']:.2f} of its deviation, "
                         f"more than {MOST_TIMED_ERROR:g}")  # fmt: skip
    if not audit["repeated_over_fresh"] >= LEAST_REPEATED:
        found.append(f"an input that is asked again takes {audit['repeated_over_fresh']:.2f} of the time of a new one, less than "
                     f"{LEAST_REPEATED:g}: it seems to be answered from memory")  # fmt: skip
    return found + [
        f"{one['wrong']:,} of {one['requests']:,} answers to {one['clients']} clients at once are not the single client's"
        for one in content["scenarios"].get("stress", {}).get("rounds", [])
        if one["wrong"]
    ]


def notes(content: Mapping[str, Any]) -> list[str]:
    """What else is to be said of a result that can be believed."""
    return [
        f"output {name} depends on what else is in its batch: {content['offline_batch'] * content['rows']} at once get other answers than "
        f"one at a time, by {one['timed_error']:.2f} of its deviation"
        for name, one in content["audit"]["outputs"].items()
        if not one["broken"]
        and _differs(one["timed_error"])
        and one["alone_error"] is not None
        and not _differs(one["alone_error"])
    ] + ([content["saturation"]] if content["saturation"] else [])


def _differs(error: float | None) -> bool:
    return error is not None and not error <= MOST_TIMED_ERROR


def save(
    folder: Path,
    content: Mapping[str, Any],
    samples: Mapping[str, npt.NDArray[Any]],
    pictures: Sequence[Path] = (),
) -> None:
    """Writes a new folder, whole or not at all. Raises UsageError where it is there already, EdgecompError where it cannot be written."""
    if folder.exists():
        raise UsageError(f"{folder} is there already, and results are not changed: name another with --out")
    with new_folder(
        folder, "what was measured is not kept; make room, or name another place with --out"
    ) as scratch:
        np.savez(scratch / "samples.npz", **samples)  # type: ignore[arg-type]  # its stubs take any name for allow_pickle
        for picture in pictures:
            shutil.copy(picture, scratch)
        write_json(scratch / "bench.json", {"format": FORMAT_VERSION, **content})
