"""From raw measurements to estimates with bounds: one small function a metric."""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgecomp.gate import scores
from edgecomp.gate.missing import (
    Impossible,
    NotFinite,
    NotItself,
    NotMeasured,
    Saturates,
    TooFewSamples,
    Untelling,
)
from edgecomp.gate.scores import answers, arm_of, proportion, score_of
from edgecomp.gate.verdict import Estimate
from edgecomp.metrics.measurements import LEAST_REPEATED, MOST_TIMED_ERROR, Arm, Measurements
from edgecomp.metrics.registry import METRICS
from edgecomp.stats import intervals as stats
from edgecomp.stats.order_statistics import median_bounds, restarts_needed, samples_needed


def _percentile_ms(name: str, percentile: float) -> Callable[[Measurements, Arm], stats.Values]:
    """By restart, the percentile of that restart's samples."""

    def by_restart(_: Measurements, arm: Arm) -> stats.Values:
        samples = arm.samples[name]
        if samples.size == 0:
            raise NotMeasured("no inference was measured")
        needed = samples_needed(percentile) if percentile > 50 else 1
        if samples.shape[-1] < needed:
            raise TooFewSamples(f"{samples.shape[-1]} samples a restart cannot show a p{percentile:g}: it takes {needed} "
                                "(bench.iterations)")  # fmt: skip
        return np.asarray(np.percentile(samples, percentile, axis=-1) / 1e6, np.float64)

    return by_restart


def _throughput(measured: Measurements, arm: Arm) -> stats.Values:
    if why := measured.facts.get("batch_failed"):
        raise NotMeasured(why)
    samples = arm.samples["offline_wall_ns"]
    if samples.size == 0 or samples.min() <= 0:
        raise Impossible("an offline batch took no time, or none was measured")
    seconds = np.median(samples, axis=-1) / 1e9
    return np.asarray(measured.offline_batch / seconds, np.float64)


def _each(name: str, factor: float) -> Callable[[Measurements, Arm], stats.Values]:
    return lambda _, arm: np.asarray(arm.samples[name] * factor, np.float64)


# Metrics that have a value for every restart.
BY_RESTART: dict[str, Callable[[Measurements, Arm], stats.Values]] = {
    "latency_p50_ms": _percentile_ms("single_stream_wall_ns", 50),
    "latency_p90_ms": _percentile_ms("single_stream_wall_ns", 90),
    "latency_p99_ms": _percentile_ms("single_stream_wall_ns", 99),
    "cpu_p50_ms": _percentile_ms("single_stream_cpu_ns", 50),
    "cpu_p99_ms": _percentile_ms("single_stream_cpu_ns", 99),
    "cold_start_p50_ms": _each("cold_start_ns", 1e-6),
    "load_p50_ms": _each("load_ns", 1e-6),
    "throughput_p50_per_s": _throughput,
    "peak_memory_bytes": _each("peak_memory_bytes", 1.0),
    "model_memory_bytes": lambda _, arm: (
        arm.samples["peak_memory_bytes"].astype(np.float64) - arm.samples["imports_peak_bytes"]
    ),
}

TIMES = (
    "latency_p50_ms",
    "latency_p90_ms",
    "latency_p99_ms",
    "cpu_p50_ms",
    "cpu_p99_ms",
    "throughput_p50_per_s",
)
MOST_PREVAILING = 0.97  # share of the commonest answer: 98.5 % agree where an export is right
LEAST_AS_TRAINED_DB = 30.0  # of a network in float: bfloat16 gives some 45, float32 over 100

# Metrics that are known exactly.
EXACT: dict[str, Callable[[Arm], int | None]] = {
    "file_size_bytes": lambda arm: arm.file_size_bytes,
    "parameter_bytes": lambda arm: arm.parameter_bytes,
}

OUTPUTS = "output_error_pct"

# Metrics of the student as another CPU executes it.
EMULATED = ("emulated_agreement_pct", "emulated_loss_pt")

# Metrics of the exported file, from its comparison with the fake-quant student.
EXPORT = (
    "export_agreement_pct",
    "export_error_pct",
    "export_sqnr_db",
    "export_block_sqnr_db",
    "int8_share_pct",
)


def estimate(measured: Measurements, arm_name: str, metric: str, confidence: float) -> Estimate:
    """A metric of one arm, in the metric's own dimension. Raises NotMeasured."""
    dimension = METRICS[metric].dimension
    if metric in BY_RESTART:
        return _over_restarts(_by_restart(measured, arm_name, metric), dimension, confidence)
    if metric in EXACT:
        return _exact(_stored(measured, arm_name, metric), dimension, confidence)
    if metric in EXPORT:
        return _export(measured, arm_name, metric, confidence)
    if metric == "energy_per_inference_mj":
        return _energy(measured, arm_name, confidence)
    if metric == "validation_drop_pt":
        return _exact(_drop(measured, arm_name), dimension, confidence)
    if metric == "portable_agreement_pct":
        return _portable(measured, arm_name, confidence)
    if metric in EMULATED:
        return _emulated(measured, arm_name, metric, confidence)
    if metric in scores.KNOWN:
        return scores.score(measured, arm_name, metric, confidence)
    if metric == OUTPUTS:
        return _exact(_furthest(measured, arm_name), dimension, confidence)
    raise NotMeasured("it is not measured here")


def against(
    measured: Measurements, arm_name: str, reference: str, metric: str, kind: str, confidence: float
) -> Estimate:
    """A metric of one arm held against another's: a multiple of it, or points of difference.

    kind: `multiple` or `points`. By-restart metrics are compared within a restart, answers example by example.
    Raises NotMeasured.
    """
    _is_as_trained(measured, reference)
    if metric in BY_RESTART:
        ours, theirs = (_by_restart(measured, name, metric) for name in (arm_name, reference))
        if len(ours) != len(theirs):
            raise NotMeasured(
                f"{arm_name} has {len(ours)} restarts, {reference} {len(theirs)}: they are not paired"
            )
        if theirs.min() <= 0:
            raise Impossible(f"{reference}: {metric} is 0 in a restart, and nothing is a multiple of that")
        return _over_restarts(ours / theirs, "multiple", confidence)
    if metric in EXACT:
        ratio = _stored(measured, arm_name, metric) / _stored(measured, reference, metric)
        return _exact(ratio, "multiple", confidence)
    if metric in scores.COMPARED:
        return scores.against(measured, arm_name, reference, metric, kind, confidence)
    raise NotMeasured(f"{metric} is not compared with a reference")


def _is_as_trained(measured: Measurements, reference: str) -> None:
    """Raises NotItself where a reference's file computes something else than its network did: it may be a lower bar."""
    if said := not_as_trained(measured, reference):
        raise NotItself(f"{said}: nothing can be held against it")


def not_as_trained(measured: Measurements, arm_name: str) -> str:
    """That the file of a network in float is not that network here, with its figure; else nothing."""
    sqnr_db = measured.facts.get("as_trained_sqnr_db", {}).get(arm_name)
    if sqnr_db is None or sqnr_db >= LEAST_AS_TRAINED_DB:
        return ""
    return (
        f"the file of {arm_name}, in float, is not the network that was trained: the logits' SQNR is {sqnr_db:.1f} dB, "
        f"less than {LEAST_AS_TRAINED_DB:g}"
    )


def _by_restart(measured: Measurements, arm_name: str, metric: str) -> stats.Values:
    """A metric's value of each restart. Raises NotMeasured, NotFinite, Impossible."""
    if metric in TIMES:
        _is_itself(measured, arm_name)
    try:
        values = BY_RESTART[metric](measured, arm_of(measured, arm_name))
    except KeyError as error:
        raise NotMeasured(f"{arm_name} has no samples {error}") from None
    if len(values) == 0:
        raise NotMeasured("no restart was measured")
    if not np.isfinite(values).all():
        raise NotFinite(f"{arm_name}: a restart gave a value that is not finite")
    least = 0.0 if metric == "model_memory_bytes" else np.nextafter(0.0, 1.0)
    if values.min() < least:
        raise Impossible(f"{arm_name}: a restart measured {values.min():g} {METRICS[metric].dimension}")
    return values


def _is_itself(measured: Measurements, arm_name: str) -> None:
    """Raises NotItself where outputs while timed are not the accuracy run's, or repeated inputs are answered from memory."""
    audit = measured.facts.get("audit", {}).get(arm_name)
    if audit is None:
        return
    if audit["timed_error"] is None:
        raise NotFinite(f"{arm_name} gave outputs that are not finite while it was timed")
    if not audit["timed_error"] <= MOST_TIMED_ERROR:
        raise NotItself(f"{arm_name}: its outputs while it was timed differ from the accuracy run's by {audit['timed_error']:.2f} "
                        f"of their deviation, more than {MOST_TIMED_ERROR:g}")  # fmt: skip
    if not audit["repeated_over_fresh"] >= LEAST_REPEATED:
        raise NotItself(f"{arm_name}: an input that is asked again takes {audit['repeated_over_fresh']:.2f} of the time of a new one, "
                        f"less than {LEAST_REPEATED:g}: it seems to be answered from memory")  # fmt: skip


def _furthest(measured: Measurements, arm_name: str) -> float:
    """Of a comparison: what the output that differs most is from the baseline's, whatever it is."""
    scores.check_finite(measured.facts)
    found = {} if arm_name != measured.student else measured.facts.get("outputs", {})
    if not found or None in found.values():
        raise NotMeasured("known of the candidate of a comparison, where all outputs of both were compared")
    return float(max(found.values()))


def _energy(measured: Measurements, arm_name: str, confidence: float) -> Estimate:
    """A median over blocks of inferences, of the whole package: without bounds, so it is shown and never passes."""
    energy = measured.facts.get("energy_per_inference_mj", {}).get(arm_name)
    if energy is None:
        raise NotMeasured("energy is unavailable: no sensor here (RAPL)")
    return Estimate(float(energy), None, None, "energy", measured.facts["restarts"], "restarts", confidence, "the package's sensor bounds nothing")  # fmt: skip


def _stored(measured: Measurements, arm_name: str, metric: str) -> float:
    value = EXACT[metric](arm_of(measured, arm_name))
    if value is None:
        raise NotMeasured("it is not known of a model file")
    if value <= 0:
        raise Impossible(f"{arm_name}: {metric} is {value}")
    return float(value)


def _over_restarts(values: stats.Values, dimension: str, confidence: float) -> Estimate:
    lower, upper = median_bounds(values, confidence)
    count, needed = len(values), restarts_needed(confidence)
    note = "" if lower is not None else f"{count} restarts bound nothing at {confidence:g}: it takes {needed}"
    return Estimate(float(np.median(values)), lower, upper, dimension, count, "restarts", confidence, note)


def _exact(value: float, dimension: str, confidence: float) -> Estimate:
    return Estimate(value, value, value, dimension, 1, "exact", confidence)


def _export(measured: Measurements, arm_name: str, metric: str, confidence: float) -> Estimate:
    parity = arm_of(measured, arm_name).parity
    if not parity:
        raise NotMeasured(f"{metric} is known of the student that is judged, and of its baselines")
    try:
        if metric != "int8_share_pct" and not _telling(parity):
            raise Untelling(
                f"the probes get {parity['classes_predicted']} of {parity['classes']} answers, one of them for "
                f"{100 * parity['prevailing']:.1f} % of them: a comparison on them proves nothing"
            )
        if metric == "export_agreement_pct":
            return proportion(parity["agreeing"], parity["examples"], confidence)
        if metric == "export_error_pct":
            error, deviation = parity["mean_absolute_error"], parity["logit_deviation"]
            if not (np.isfinite(error) and np.isfinite(deviation) and deviation > 0):
                raise NotFinite(f"the logits differ by {error} on average and deviate by {deviation}")
            value, most = 100 * error / deviation, np.inf
        elif metric == "export_sqnr_db":
            return _exact(_finite(metric, parity["sqnr_db"]), "decibel", confidence)
        elif metric == "export_block_sqnr_db":
            blocks = parity["blocks"]
            if not blocks:
                raise NotMeasured("no block's output was compared")
            return _exact(min(_finite(metric, value) for value in blocks.values()), "decibel", confidence)
        else:
            value, most = parity["int8_share_pct"], 100.0
            if parity.get("uncounted"):
                raise NotMeasured(f"what {', '.join(parity['uncounted'][:3])} multiplies cannot be counted")
    except KeyError as missing:
        raise NotMeasured(f"the comparison of the export has no {missing}") from None
    if value is None:
        raise NotMeasured("no layer that is meant to run in int8 was found, or the runtime does not tell")
    value = _finite(metric, value)
    if not 0 <= value <= most:
        raise Impossible(f"{metric} is {value:g} %")
    return _exact(value, "percent", confidence)


def _drop(measured: Measurements, arm_name: str) -> float:
    drop = measured.facts.get("validation_drop_pt")
    if arm_name != measured.student or drop is None:
        raise NotMeasured("known of a student that was trained through its integers only")
    return _finite("validation_drop_pt", drop)


def _emulated(measured: Measurements, arm_name: str, metric: str, confidence: float) -> Estimate:
    """Agreement with the fake-quant student, or accuracy lost against this machine's execution, in points."""
    emulated = measured.emulated
    if arm_name != measured.student or emulated is None:
        raise NotMeasured("the target's CPU is this machine's")
    if emulated.test is None or emulated.probes is None:
        raise NotMeasured(f"not run: {emulated.facts['how']}")
    if not (np.isfinite(emulated.test).all() and np.isfinite(emulated.probes).all()):
        raise NotFinite("the emulated CPU gave logits that are not finite")
    if metric == "emulated_agreement_pct":
        parity = measured.arms[arm_name].parity
        if parity and not _telling(parity):
            raise Untelling("the probes get too few answers to tell a difference")
        wanted = emulated.reference[: len(emulated.probes)].argmax(axis=1)
        same = emulated.probes.argmax(axis=1) == wanted
        return proportion(int(same.sum()), len(same), confidence)
    count = len(emulated.test)
    here, there = answers(measured, arm_name)[:count], np.asarray(emulated.test.argmax(axis=1), np.int64)
    bounds = stats.paired_bounds(
        stats.accuracy,
        np.subtract,
        measured.labels[:count],
        here,
        there,
        emulated.test.shape[1],
        confidence=confidence,
        seed=scores.SEED,
    )
    return score_of(bounds, 100, "points", count, confidence)


def _portable(measured: Measurements, arm_name: str, confidence: float) -> Estimate:
    """Agreement of this machine's answers with those of the CPU that agrees least; exact where the proof is all there is."""
    portable = measured.portable
    if arm_name != measured.student or portable is None or portable.isa != "host":
        raise NotMeasured("known of the student that is judged, of a target that names no CPU")
    if portable.why:
        raise Saturates(portable.why)
    compared = [facts for facts in portable.executed.values() if facts["run"]]
    if not all(facts["finite"] for facts in compared):
        raise NotFinite("a CPU gave logits that are not finite")
    if not compared:
        return Estimate(
            100.0,
            100.0,
            100.0,
            "percent",
            1,
            "exact",
            confidence,
            "proven from its weights, executed on no other CPU",
        )
    shares = [proportion(facts["agreeing"], facts["examples"], confidence) for facts in compared]
    return min(shares, key=lambda share: share.lower or 0.0)


def _telling(parity: dict[str, Any]) -> bool:
    """A model that gives one answer agrees with anything: at least three answers (two of two), and so many besides the one that
    prevails that a file which gives that alone fails. Classes may be rare: of rare defects one in twenty is enough."""
    return bool(
        parity["classes_predicted"] >= min(3, parity["classes"]) and parity["prevailing"] <= MOST_PREVAILING
    )


def _finite(metric: str, value: float) -> float:
    if not np.isfinite(value):
        raise NotFinite(f"{metric} is {value}")
    return float(value)
