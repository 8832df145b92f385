"""From raw measurements to estimates with bounds: one small function a metric."""

from collections.abc import Callable

import numpy as np

from edgecomp.gate import statistics as stats
from edgecomp.gate.verdict import Estimate
from edgecomp.measurements import Arm, Measurements
from edgecomp.metrics import METRICS

SEED = 0  # of the bootstrap: the same measurements give the same verdict

STUDENT = "student_int8"
TEACHER = "teacher"


class NotMeasured(Exception):  # noqa: N818 - not an error: the row says so
    """Why there is no figure; the message is the row's sentence."""


class TooFewSamples(NotMeasured):
    pass


class NotFinite(NotMeasured):
    pass


def _percentile_ms(name: str, percentile: float) -> Callable[[Measurements, Arm], stats.Values]:
    """By restart, the percentile of that restart's samples."""

    def by_restart(_: Measurements, arm: Arm) -> stats.Values:
        samples = arm.samples[name]
        needed = stats.samples_needed(percentile) if percentile > 50 else 1
        if samples.shape[-1] < needed:
            raise TooFewSamples(f"{samples.shape[-1]} samples a restart cannot show a p{percentile:g}: it takes {needed} "
                                "(bench.iterations)")  # fmt: skip
        return np.asarray(np.percentile(samples, percentile, axis=-1) / 1e6, np.float64)

    return by_restart


def _throughput(measured: Measurements, arm: Arm) -> stats.Values:
    seconds = np.median(arm.samples["offline_wall_ns"], axis=-1) / 1e9
    return np.asarray(measured.offline_batch / seconds, np.float64)


def _each(name: str, factor: float) -> Callable[[Measurements, Arm], stats.Values]:
    return lambda _, arm: np.asarray(arm.samples[name] * factor, np.float64)


# Metrics that have a value for every restart.
BY_RESTART: dict[str, Callable[[Measurements, Arm], stats.Values]] = {
    "latency_p50_ms": _percentile_ms("single_stream_wall_ns", 50),
    "latency_p99_ms": _percentile_ms("single_stream_wall_ns", 99),
    "cpu_p50_ms": _percentile_ms("single_stream_cpu_ns", 50),
    "cold_start_p50_ms": _each("cold_start_ns", 1e-6),
    "load_p50_ms": _each("load_ns", 1e-6),
    "throughput_p50_per_s": _throughput,
    "peak_memory_bytes": _each("peak_memory_bytes", 1.0),
    "model_memory_bytes": lambda _, arm: (
        arm.samples["peak_memory_bytes"] - arm.samples["imports_peak_bytes"]
    ).astype(np.float64),
}

# Metrics that are a score of the answers on the test split.
SCORES: dict[str, stats.Score] = {"accuracy_pct": stats.accuracy, "macro_f1_pct": stats.macro_f1}

# Metrics that are known exactly.
EXACT: dict[str, Callable[[Arm], int]] = {
    "file_size_bytes": lambda arm: arm.file_size_bytes,
    "parameter_bytes": lambda arm: arm.parameter_bytes,
}

# Metrics of the exported file, from its comparison with the fake-quant student.
EXPORT = ("export_agreement_pct", "export_error_pct", "int8_share_pct")


def estimate(measured: Measurements, arm_name: str, metric: str, confidence: float) -> Estimate:
    """A metric of one arm, in the metric's own dimension. Raises NotMeasured."""
    arm = _arm(measured, arm_name)
    dimension = METRICS[metric].dimension
    if metric in BY_RESTART:
        return _over_restarts(BY_RESTART[metric](measured, arm), dimension, confidence)
    if metric in EXACT:
        return _exact(float(EXACT[metric](arm)), dimension, confidence)
    if metric in SCORES:
        classes = arm.logits.shape[1]
        point, lower, upper = stats.score_bounds(
            SCORES[metric],
            measured.labels,
            answers(measured, arm_name),
            classes,
            confidence=confidence,
            seed=SEED,
        )
        return Estimate(
            100 * point, 100 * lower, 100 * upper, "percent", len(measured.labels), "examples", confidence
        )  # fmt: skip
    if metric == "teacher_agreement_pct":
        same = answers(measured, arm_name) == answers(measured, TEACHER)
        return _proportion(int(same.sum()), len(same), confidence)
    return _export(measured, arm_name, metric, confidence)


def against(
    measured: Measurements, arm_name: str, reference: str, metric: str, kind: str, confidence: float
) -> Estimate:
    """A metric of one arm held against another's: a multiple of it, or points of difference.

    kind: `multiple` or `points`. By-restart metrics are compared within a restart, answers example by example.
    Raises NotMeasured.
    """
    ours, theirs = _arm(measured, arm_name), _arm(measured, reference)
    if metric in BY_RESTART:
        value = BY_RESTART[metric]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = value(measured, ours) / value(measured, theirs)
        return _over_restarts(ratios, "multiple", confidence)
    if metric in EXACT:
        return _exact(EXACT[metric](ours) / EXACT[metric](theirs), "multiple", confidence)
    if metric in SCORES:
        point, lower, upper = stats.paired_bounds(
            SCORES[metric],
            (lambda a, b: 100 * (a - b)) if kind == "points" else (lambda a, b: a / b),
            measured.labels,
            answers(measured, arm_name),
            answers(measured, reference),
            ours.logits.shape[1],
            confidence=confidence,
            seed=SEED,
        )
        return Estimate(point, lower, upper, kind, len(measured.labels), "examples", confidence)
    raise NotMeasured(f"{metric} is not compared with a reference")


def answers(measured: Measurements, arm_name: str) -> stats.Labels:
    logits = _arm(measured, arm_name).logits
    if len(measured.labels) == 0:
        raise NotMeasured("the evaluation set is empty")
    if logits.shape[0] != len(measured.labels):
        raise NotMeasured(f"{arm_name} answered {logits.shape[0]} of {len(measured.labels)} examples")
    if not np.isfinite(logits).all():
        raise NotFinite(f"{arm_name} gave logits that are not finite")
    return np.asarray(logits.argmax(axis=1), np.int64)


def _arm(measured: Measurements, name: str) -> Arm:
    if name not in measured.arms:
        raise NotMeasured(f"{name} was not measured under {measured.target}")
    return measured.arms[name]


def _over_restarts(values: stats.Values, dimension: str, confidence: float) -> Estimate:
    if len(values) == 0:
        raise NotMeasured("no restart was measured")
    if not np.isfinite(values).all():
        raise NotFinite("a restart gave a value that is not finite")
    lower, upper = stats.median_bounds(values, confidence)
    needed = stats.restarts_needed(confidence)
    note = (
        ""
        if lower is not None
        else f"{len(values)} restarts bound nothing at {confidence:.0%}: it takes {needed}"
    )
    return Estimate(
        float(np.median(values)), lower, upper, dimension, len(values), "restarts", confidence, note
    )


def _exact(value: float, dimension: str, confidence: float) -> Estimate:
    return Estimate(value, value, value, dimension, 1, "exact", confidence)


def _proportion(hits: int, count: int, confidence: float) -> Estimate:
    lower, upper = stats.proportion_bounds(hits, count, confidence)
    return Estimate(100 * hits / count, 100 * lower, 100 * upper, "percent", count, "examples", confidence)


def _export(measured: Measurements, arm_name: str, metric: str, confidence: float) -> Estimate:
    if arm_name != STUDENT or not measured.parity:
        raise NotMeasured(f"{metric} is known of an exported int8 student only")
    parity = measured.parity
    if metric == "export_agreement_pct":
        return _proportion(parity["agreeing"], parity["examples"], confidence)
    if metric == "export_error_pct":
        if not parity["logit_deviation"] > 0:
            raise NotFinite("the student's logits are constant: their deviation is 0")
        return _exact(100 * parity["mean_absolute_error"] / parity["logit_deviation"], "percent", confidence)
    if parity.get("int8_share_pct") is None:
        raise NotMeasured("the runtime does not tell what it executes")
    return _exact(parity["int8_share_pct"], "percent", confidence)
