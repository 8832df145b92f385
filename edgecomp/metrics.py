"""What edgecomp measures, and the units limits are written in.

A metric has one id, `name_stat_unit`. A limit always carries a unit: `20 ms`, `200 MiB`, `3 pt`
(percentage points), `5 %`, `3 x` (a multiple of a reference's value); a bare number is refused.
"""

import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# Unit of a limit → (dimension, factor to the dimension's base unit).
UNITS: dict[str, tuple[str, float]] = {
    "us": ("time", 1e-3),
    "ms": ("time", 1.0),
    "s": ("time", 1e3),
    "B": ("bytes", 1.0),
    "kB": ("bytes", 1e3),
    "KiB": ("bytes", 2.0**10),
    "MB": ("bytes", 1e6),
    "MiB": ("bytes", 2.0**20),
    "GB": ("bytes", 1e9),
    "GiB": ("bytes", 2.0**30),
    "/s": ("rate", 1.0),
    "%": ("percent", 1.0),
    "pt": ("points", 1.0),
    "x": ("multiple", 1.0),
    "dB": ("decibel", 1.0),
    "mJ": ("energy", 1.0),
    "J": ("energy", 1e3),
}


NO_UNIT = "{!r} has no unit: write for example '20 ms', '200 MiB', '3 pt', '5 %' or '3 x'"


@dataclass(frozen=True)
class Quantity:
    """`value` in the base unit of `dimension`: ms, bytes, per second, per cent, points, mJ or a multiple."""

    value: float
    dimension: str
    text: str


@dataclass(frozen=True)
class Metric:
    id: str
    dimension: Literal["time", "bytes", "rate", "percent", "points", "decibel", "energy"]
    better: Literal["lower", "higher"]
    title: str


METRICS: dict[str, Metric] = {
    metric.id: metric
    for metric in (
        Metric("latency_p50_ms", "time", "lower", "latency, median (single stream, wall)"),
        Metric("latency_p90_ms", "time", "lower", "latency, 90th percentile (single stream, wall)"),
        Metric("latency_p99_ms", "time", "lower", "latency, 99th percentile (single stream, wall)"),
        Metric("cpu_p50_ms", "time", "lower", "CPU time of one inference, median"),
        Metric("cpu_p99_ms", "time", "lower", "CPU time of one inference, 99th percentile"),
        Metric("cold_start_p50_ms", "time", "lower", "process start to first answer"),
        Metric("load_p50_ms", "time", "lower", "model file to ready session"),
        Metric("throughput_p50_per_s", "rate", "higher", "throughput (offline)"),
        Metric(
            "multi_stream_p99_ms",
            "time",
            "lower",
            "latency of a query of eight, 99th percentile (multi stream, wall)",
        ),
        Metric("server_per_s", "rate", "higher", "highest rate whose p99 holds (server)"),
        Metric(
            "batched_server_per_s",
            "rate",
            "higher",
            "highest rate whose p99 holds (server, dynamic batching)",
        ),
        Metric("energy_per_inference_mj", "energy", "lower", "energy of one inference, the whole package's"),
        Metric("peak_memory_bytes", "bytes", "lower", "peak memory of the worker process (VmHWM)"),
        Metric(
            "model_memory_bytes", "bytes", "lower", "peak memory over a worker that only imported its runtime"
        ),
        Metric("file_size_bytes", "bytes", "lower", "model file"),
        Metric("parameter_bytes", "bytes", "lower", "parameters' storage"),
        Metric("accuracy_pct", "percent", "higher", "accuracy"),
        Metric("macro_f1_pct", "percent", "higher", "macro F1"),
        Metric("worst_recall_pct", "percent", "higher", "recall of the class that fares worst"),
        Metric("worst_slice_pct", "percent", "higher", "accuracy on the slice that fares worst"),
        Metric("teacher_agreement_pct", "percent", "higher", "same answer as the teacher"),
        Metric("baseline_agreement_pct", "percent", "higher", "same answer as the baseline"),
        Metric(
            "output_error_pct",
            "percent",
            "lower",
            "the output that differs most from the baseline's: mean error over its deviation",
        ),
        Metric("negative_flips_pct", "percent", "lower", "right in the baseline, wrong in the candidate"),
        Metric(
            "export_agreement_pct",
            "percent",
            "higher",
            "exported file: same answer as the fake-quant student",
        ),
        Metric(
            "export_error_pct",
            "percent",
            "lower",
            "exported file: mean logit error over the logits' deviation",
        ),
        Metric(
            "export_sqnr_db", "decibel", "higher", "exported file: signal to quantisation noise of the logits"
        ),
        Metric(
            "export_block_sqnr_db",
            "decibel",
            "higher",
            "exported file: signal to quantisation noise of its worst block",
        ),
        Metric(
            "emulated_agreement_pct",
            "percent",
            "higher",
            "on the device's CPU: same answer as the fake-quant student",
        ),
        Metric(
            "emulated_loss_pt", "points", "lower", "on the device's CPU: accuracy lost against this machine's"
        ),
        Metric(
            "portable_agreement_pct",
            "percent",
            "higher",
            "on other CPUs: same answer as here",
        ),
        Metric(
            "validation_drop_pt",
            "points",
            "lower",
            "accuracy under the fp32 student, on the validation split",
        ),
        Metric("int8_share_pct", "percent", "higher", "weighted multiply-accumulates executed in int8"),
    )
}


def parse_quantity(text: object) -> Quantity:
    """`20 ms`, `200MiB`, `3 pt`, `5 %`, `3 x`, `1000 /s` as a Quantity; ValueError says what is wrong."""
    if isinstance(text, bool) or not isinstance(text, str):
        raise ValueError(NO_UNIT.format(text))  # noqa: TRY004 - pydantic reports a ValueError
    match = re.fullmatch(r"\s*([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*(\S*)\s*", text)
    if match is None:
        raise ValueError(f"{text!r} is not a number with a unit, such as '20 ms' or '200 MiB'")
    number, unit = match.groups()
    if not unit:
        raise ValueError(NO_UNIT.format(text))
    if unit not in UNITS:
        raise ValueError(
            f"{text!r}: unknown unit {unit!r}{nearest(unit, UNITS)}; units are {', '.join(UNITS)}"
        )
    try:
        value = float(number)
    except ValueError:
        raise ValueError(f"{text!r}: {number!r} is not a number") from None
    dimension, factor = UNITS[unit]
    if not (math.isfinite(value * factor) and value >= 0):
        raise ValueError(f"{text!r} is negative or not finite: no limit can be that")
    return Quantity(value * factor, dimension, f"{number} {unit}")


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no known word is near."""
    folded = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), folded, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(folded[name]) for name in close)}?" if close else ""


def nearest_there(path: Path) -> str:
    """`; did you mean 'x'?` of what lies in the folder that `path` should be in, or nothing."""
    try:
        return nearest(path.name, (entry.name for entry in path.parent.iterdir()))
    except OSError:  # no such folder, or none that may be read
        return ""


def format_value(value: float | None, dimension: str) -> str:
    """A figure as people read it: `1.24 ms`, `12.3 MiB`, `8,150 /s`, `98.2 %`, `3.1 x`."""
    if value is None or not math.isfinite(value):
        return "–"
    if dimension == "bytes":
        if value < 2**10:
            return f"{value:.0f} B"
        if value < 2**20:
            return f"{value / 2**10:.1f} KiB"
        return f"{value / 2**20:.1f} MiB" if value < 2**30 else f"{value / 2**30:.1f} GiB"
    if dimension == "time":
        return (
            f"{value / 1e3:.2f} s"
            if value >= 1e4
            else f"{value:.3g} ms"
            if value < 100
            else f"{value:.0f} ms"
        )
    if dimension == "rate":
        return f"{value:,.0f} /s" if value >= 100 else f"{value:.3g} /s"
    if dimension == "multiple":
        return f"{value:.3g} x"
    if dimension == "ratio":
        return f"{100 * (value - 1):+.2f} %"
    if dimension == "log_ratio":
        return f"{100 * math.expm1(value):+.2f} %" if abs(value) < 0.7 else f"{math.exp(value):.3g} x"
    suffix = {"percent": " %", "points": " pt", "decibel": " dB", "energy": " mJ"}[dimension]
    return f"{value:.2f}{suffix}"
