"""The metrics: a literal table. A metric has one id, `name_stat_unit`."""

from dataclasses import dataclass
from typing import Literal


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
