"""What a bench of one model file found: figures with their bounds, and the raw samples they come from.

Format 2: bench.json (metrics, scenarios, quality, facts) and samples.npz (`NAME`: first axis the restarts; `SCENARIO.NAME`). A metric is a
Figure (edgecomp.stats.figure), of which format 1 had value, lower, upper, restarts, samples and confidence only.
A result is a folder of its own, written whole, and never changed.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.errors import UsageError
from edgecomp.files.scratch import new_folder
from edgecomp.files.writing import write_json
from edgecomp.metrics.estimates import raw_values
from edgecomp.metrics.estimators.latency import calls_needed
from edgecomp.metrics.measurements import LEAST_REPEATED, MOST_TIMED_ERROR, Arm, Measurements
from edgecomp.metrics.missing import NotMeasured, TooFewSamples
from edgecomp.metrics.registry import METRICS
from edgecomp.metrics.samples import SINGLE_STREAM_WALL
from edgecomp.stats.figure import Figure, exact
from edgecomp.stats.order_statistics import median_bounds, restarts_needed

FORMAT_VERSION = 2
CLOCK_OFF_S = 60.0  # that is told
CONFIDENCE = 0.95  # of an interval: each of its bounds at 97.5 %


def figure(values: npt.NDArray[Any], dimension: str, samples: int | None = None) -> Figure:
    """The median over restarts with a two-sided interval by order statistics; bounds None where the restarts are too few.

    values: one a restart, in the base unit of `dimension`; samples: calls in each restart.
    """
    found = np.asarray(values, np.float64)
    lower, upper = median_bounds(found, (1 + CONFIDENCE) / 2)
    return Figure(
        estimate=float(np.median(found)),
        low=lower,
        high=upper,
        dimension=dimension,
        n=len(found),
        unit="restarts",
        confidence=CONFIDENCE,
        sided="two",
        samples=samples,
    )


def known(value: float, dimension: str) -> Figure:
    """A figure that is exact. value: in the base unit of `dimension`."""
    return exact(value, dimension, CONFIDENCE).model_copy(update={"sided": "two"})


def unbounded(value: float, dimension: str, restarts: int) -> Figure:
    """A figure of so many `restarts` that nothing bounds. value: in the base unit of `dimension`."""
    return figure(np.asarray([value]), dimension).model_copy(update={"n": restarts})


def as_json(found: Figure) -> dict[str, Any]:
    """What was `found`, as bench.json holds it; `restarts` is what format 1 called n."""
    return {**found.model_dump(), "restarts": found.n}


def figures(arm: Arm, offline_batch: int) -> tuple[dict[str, Figure], dict[str, str]]:
    """Every metric of restarts that the samples of `arm` support, and by metric why another is not there.
    offline_batch: examples in a batch."""
    samples = arm.samples
    measured = Measurements("", "", {}, np.empty(0, np.int64), offline_batch, {})
    found, missing = {}, {}
    for metric in METRICS.values():
        if metric.source != "restarts" or metric.samples not in samples:
            continue
        try:
            values = raw_values(metric, measured, arm)
        except TooFewSamples:
            missing[metric.id] = (f"{samples[metric.samples].shape[1]} samples a restart cannot show it: it takes {calls_needed(metric)}, "
                                  "and more time (--max-time)")  # fmt: skip
            continue
        except NotMeasured as why:
            missing[metric.id] = str(why)
            continue
        # An import may hold more for a moment than a small model ever does beside what stays of it.
        values = np.maximum(values, 0) if metric.less else values
        of_calls = samples[metric.samples].ndim > 1
        found[metric.id] = figure(
            values, metric.dimension, samples[metric.samples].shape[1] if of_calls else None
        )
    restarts = len(samples[SINGLE_STREAM_WALL])
    if restarts < restarts_needed((1 + CONFIDENCE) / 2):
        missing["bounds"] = (
            f"{restarts} restarts bound nothing at {100 * CONFIDENCE:g} %: it takes {restarts_needed((1 + CONFIDENCE) / 2)} (--restarts)"
        )
    return found, missing


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
    of_server = content["scenarios"].get("server", {})
    found += [
        f"{one['wrong']:,} answers at {one['rate_per_s']:.1f} requests a second are not the single client's"
        for one in [*of_server.get("trials", []), *of_server.get("loads", [])]
        if one.get("wrong")
    ][:3]
    return found + [
        f"{one['wrong']:,} of {one['requests']:,} answers to {one['clients']} clients at once are not the single client's"
        for one in content["scenarios"].get("stress", {}).get("rounds", [])
        if one["wrong"]
    ]


def notes(content: Mapping[str, Any]) -> list[str]:
    """What else is to be said of a result that can be believed. content: bench.json's."""
    return [
        f"output {name} depends on what else is in its batch: {content['offline_batch'] * content['rows']} at once get other answers than "
        f"one at a time, by {one['timed_error']:.2f} of its deviation"
        for name, one in content["audit"]["outputs"].items()
        if not one["broken"]
        and _differs(one["timed_error"])
        and one["alone_error"] is not None
        and not _differs(one["alone_error"])
    ] + [
        *([content["saturation"]] if content["saturation"] else []),
        *clocks_disagree(content.get("machine", {})),
    ]


def clocks_disagree(machine: Mapping[str, Any]) -> list[str]:
    """What is said of a device whose clock is not this machine's; nothing where it is. machine: its facts."""
    off = float(machine.get("clock_off_s") or 0.0)
    if abs(off) <= CLOCK_OFF_S:
        return []
    how = "ahead of" if off > 0 else "behind"
    return [
        f"the clock of {machine['host']} is {abs(off):,.0f} s {how} this machine's: no figure depends on it, and its certificates and logs do; set it"
    ]


def _differs(error: float | None) -> bool:
    return error is not None and not error <= MOST_TIMED_ERROR


def save(
    folder: Path,
    content: Mapping[str, Any],
    samples: Mapping[str, npt.NDArray[Any]],
    pictures: Sequence[Path] = (),
) -> None:
    """Writes a new `folder`, whole or not at all: `content` as bench.json, `samples` by name as samples.npz,
    and copies of the `pictures`. Raises UsageError where it is there already, EdgecompError where it
    cannot be written."""
    if folder.exists():
        raise UsageError(f"{folder} is there already, and results are not changed: name another with --out")
    with new_folder(
        folder, "what was measured is not kept; make room, or name another place with --out"
    ) as scratch:
        np.savez(scratch / "samples.npz", **samples)  # type: ignore[arg-type]  # its stubs take any name for allow_pickle
        for picture in pictures:
            shutil.copy(picture, scratch)
        write_json(scratch / "bench.json", {"format": FORMAT_VERSION, **content})
