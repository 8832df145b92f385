"""The registry of metrics: one table, one row a metric. Everything that is known of a metric stands in its row.

To add one: a row here, and where nothing there estimates it yet, a function in edgecomp.metrics.estimators. What estimators take and
give is said in edgecomp.metrics.estimates; they are named by text and imported when they are used, so that this file stays light.
"""

from dataclasses import dataclass, replace
from typing import Literal

from edgecomp.metrics.samples import (
    COLD_START,
    GENERATION_WALL,
    IMPORTS_PEAK,
    LOAD,
    OFFLINE_WALL,
    PEAK_MEMORY,
    SINGLE_STREAM_CPU,
    SINGLE_STREAM_WALL,
    STREAM_WALL,
    TOKEN_CPU,
    TOKEN_WALL,
)

Source = Literal[
    "restarts",  # raw samples of restarts: one value each
    "file",  # the model file, exactly
    "answers",  # answers to the test examples
    "health",  # answers to attacked, corrupted and training examples
    "outputs",  # all outputs of both models of a comparison
    "export",  # the exported file beside the fake-quant student
    "kernels",  # which of its layers the runtime executes in integers
    "emulation",  # the student as the target's CPU executes it
    "other CPUs",  # … and as CPUs execute it that it may meet
    "validation",  # the validation split
    "sensor",  # the package's energy counter
    "scenario",  # a scenario of `edgecomp bench` alone
]


@dataclass(frozen=True)
class Metric:
    """What one figure is, and how it comes from what was measured.

    id: `name_stat_unit`; dimension: as in metrics.units.UNITS; better: the direction; title: as tables say it.
    source: what it is estimated from; estimator: FILE:FUNCTION in edgecomp.metrics.estimators, of the kind that its source takes
    (edgecomp.metrics.estimates).
    samples, percentile: of a metric of restarts, its raw samples, and which of a restart's is its value, where it has many.
    clock: of a metric of time; `start` is wall time of a start, of which there is no CPU time.
    comparator: FILE:FUNCTION that holds it against another model's where its source does not say how; relative: whether it may be
    held against another model's at all.
    compared: what a comparison makes of it: measured of `both` models, of the `pair` alone, of `either` its pair or a run's student and teacher, or not
    at all.
    less: raw samples that are taken off; only then may a restart's value be 0.
    sampled: of outputs, whether it is bounded, as a share of the examples is.
    tasks: of edgecomp.tasks, those that have it; all where none is named.
    """

    id: str
    dimension: Literal[
        "time",
        "bytes",
        "rate",
        "percent",
        "points",
        "decibel",
        "energy",
        "label",
        "score",
        "nats",
        "multiple",
    ]
    better: Literal["lower", "higher"]
    title: str
    source: Source
    estimator: str = ""
    samples: str = ""
    percentile: float | None = None
    clock: Literal["wall", "cpu", "start"] | None = None
    comparator: str = ""
    compared: Literal["both", "pair", "either"] | None = None
    less: str = ""
    tasks: tuple[str, ...] = ()
    sampled: bool = False

    @property
    def relative(self) -> bool:
        """Whether it may be held against another model's figure."""
        return self.source in ("restarts", "file") or bool(self.comparator)

    @property
    def is_of_an_output(self) -> bool:
        """Whether each of several outputs has its own."""
        of_file = (BLOCK_SQNR, "score")  # of all that a file computes, and of all outputs at once
        return self.source in ("answers", "outputs", "export", "emulation") and self.id not in of_file

    @property
    def is_of_the_device(self) -> bool:
        """Whether it takes the device itself: what another one answers is known, and not how fast, from what memory, by which kernels."""
        return self.source in ("restarts", "sensor", "scenario", "kernels")

    @property
    def times_calls(self) -> bool:
        """Whether it times inferences, which must then be the model's own."""
        return self.clock in ("wall", "cpu")

    def is_of(self, task: str) -> bool:
        """Whether answers of `task`, a row of edgecomp.tasks.TASKS, are measured by it. Of a language model a folder is executed, not a file whose blocks and kernels
        are looked at, and no batch."""
        if self.tasks or task not in LANGUAGE:
            return not self.tasks or task in self.tasks
        return self.id == EXPORT_AGREEMENT or (
            self.source in ("restarts", "file") and self.id not in (THROUGHPUT, STREAM)
        )

    @property
    def is_exact(self) -> bool:
        """Whether chance has no part in it."""
        return self.source in ("file", "outputs") and not self.sampled


# Metrics that other rooms name: what they decide by, draw or measure.
ACCURACY = "accuracy_pct"
CPU_P50 = "cpu_p50_ms"
LATENCY_P50 = "latency_p50_ms"
LATENCY_P99 = "latency_p99_ms"
PEAK = "peak_memory_bytes"
INT8_SHARE = "int8_share_pct"
PORTABLE_AGREEMENT = "portable_agreement_pct"
BLOCK_SQNR = "export_block_sqnr_db"
VALIDATION_DROP = "validation_drop_pt"
OLD_TASK_DROP = "old_task_drop_pt"
WORST_SLICE = "worst_slice_pct"
CALIBRATION_ERROR = "calibration_error_pct"
ADVERSARIAL_ACCURACY = "adversarial_accuracy_pct"
ATTACKS_WITHSTOOD = "attacks_withstood_pct"
CORRUPTED_ACCURACY = "corrupted_accuracy_pct"
MEMBERSHIP_ADVANTAGE = "membership_advantage_pt"
KEY_SAMPLES = "key_samples_pct"
TOP_AGREEMENT = "top_agreement_pct"
TEACHER_ERROR = "teacher_error_pct"
MULTI_STREAM_P99 = "multi_stream_p99_ms"
SERVER = "server_per_s"
BATCHED_SERVER = "batched_server_per_s"
STREAM = "stream_per_s"
THROUGHPUT = "throughput_p50_per_s"
FILE_SIZE = "file_size_bytes"
PARAMETERS = "parameter_bytes"
ENERGY = "energy_per_inference_mj"

ALARM_RECALL = "alarm_recall_pct"
ALARMS = ("classification", "probabilities", "binary", "multilabel")

LANGUAGE = ("causal-lm",)
EXPORT_AGREEMENT = "export_agreement_pct"
TIME_TO_FIRST_TOKEN = "ttft_p95_ms"

CLASSES = ("classification", "probabilities", "binary")


def _time(
    name: str,
    title: str,
    clock: Literal["wall", "cpu", "start"],
    samples: str,
    percentile: float | None = None,
) -> Metric:
    estimator = "latency:of_calls" if percentile is not None else "latency:of_starts"
    return Metric(
        name, "time", "lower", title, "restarts", estimator, samples, percentile, clock, compared="both"
    )


def _score(
    name: str, title: str, estimator: str, comparator: str, tasks: tuple[str, ...] = CLASSES
) -> Metric:
    return Metric(
        name,
        "percent",
        "higher",
        title,
        "answers",
        estimator,
        comparator=comparator,
        compared="both",
        tasks=tasks,
    )


def _gap(name: str, title: str, estimator: str) -> Metric:
    return Metric(name, "points", "lower", title, "answers", estimator, tasks=CLASSES)


def _error(name: str, title: str, estimator: str, comparator: str) -> Metric:
    return Metric(
        name, "label", "lower", title, "answers", estimator, comparator=comparator, tasks=("regression",)
    )


METRICS: dict[str, Metric] = {
    metric.id: metric
    for metric in (
        _time(LATENCY_P50, "latency, median (single stream, wall)", "wall", SINGLE_STREAM_WALL, 50),
        _time("latency_p90_ms", "latency, 90th percentile (single stream, wall)", "wall", SINGLE_STREAM_WALL, 90),
        _time(LATENCY_P99, "latency, 99th percentile (single stream, wall)", "wall", SINGLE_STREAM_WALL, 99),
        _time(CPU_P50, "CPU time of one inference, median", "cpu", SINGLE_STREAM_CPU, 50),
        _time("cpu_p99_ms", "CPU time of one inference, 99th percentile", "cpu", SINGLE_STREAM_CPU, 99),
        _time("cold_start_p50_ms", "process start to first answer", "start", COLD_START),
        _time("load_p50_ms", "model file to ready session", "start", LOAD),
        Metric(THROUGHPUT, "rate", "higher", "throughput (offline)", "restarts", "latency:throughput", OFFLINE_WALL, 50, "wall"),
        replace(_time(TIME_TO_FIRST_TOKEN, "time to first token, 95th percentile", "wall", SINGLE_STREAM_WALL, 95), tasks=LANGUAGE),
        replace(_time("tpot_p50_ms", "time per output token after the first, median", "wall", TOKEN_WALL, 50), tasks=LANGUAGE),
        replace(_time("tpot_cpu_p50_ms", "CPU time per output token after the first, median", "cpu", TOKEN_CPU, 50), tasks=LANGUAGE),
        Metric("token_throughput_p50_per_s", "rate", "higher", "tokens a second, the prompt's reading included", "restarts", "language.speed:tokens_per_second", GENERATION_WALL, 50, "wall", tasks=LANGUAGE),
        Metric("perplexity_ratio", "multiple", "lower", "perplexity on held-out text, over the teacher's or the baseline's", "answers", "language.texts:perplexity_ratio", compared="either", tasks=LANGUAGE),
        Metric("token_loss_nats", "nats", "lower", "cross-entropy of held-out text by token", "answers", "language.texts:token_loss", tasks=LANGUAGE),
        Metric("token_agreement_pct", "percent", "higher", "the likeliest next token is the teacher's or the baseline's", "answers", "language.texts:token_agreement", compared="either", tasks=LANGUAGE),
        Metric("choice_accuracy_pct", "percent", "higher", "the right one of several answers is the likeliest", "answers", "language.choices:accuracy", comparator="language.choices:accuracy_against", tasks=LANGUAGE),
        _score("next_token_pct", "the token that comes is the likeliest", "structured:token_accuracy", "structured:token_accuracy_against", LANGUAGE),
        Metric(MULTI_STREAM_P99, "time", "lower", "latency of a query of eight, 99th percentile (multi stream, wall)", "scenario"),
        Metric(SERVER, "rate", "higher", "highest rate whose p99 holds (server)", "scenario"),
        Metric(BATCHED_SERVER, "rate", "higher", "highest rate whose p99 holds (server, dynamic batching)", "scenario"),
        Metric(STREAM, "rate", "higher", "lines a second, from text to class (stream)", "restarts", "latency:stream", STREAM_WALL, 50, "wall"),
        Metric(ENERGY, "energy", "lower", "energy of one inference, the whole package's", "sensor", "resources:energy"),
        Metric(PEAK, "bytes", "lower", "peak memory of the worker process (VmHWM)", "restarts", "resources:peak_memory", PEAK_MEMORY, compared="both"),
        Metric("model_memory_bytes", "bytes", "lower", "peak memory over a worker that only imported its runtime", "restarts", "resources:peak_memory", PEAK_MEMORY, compared="both", less=IMPORTS_PEAK),
        Metric(FILE_SIZE, "bytes", "lower", "model file", "file", "resources:file", compared="both"),
        Metric(PARAMETERS, "bytes", "lower", "parameters' storage", "file", "resources:parameters"),
        _score(ACCURACY, "accuracy", "scores:accuracy", "scores:accuracy_against"),
        _score("macro_f1_pct", "macro F1", "scores:macro_f1", "scores:macro_f1_against"),
        _score("tail_macro_f1_pct", "macro F1 of the rarest classes, which have a fifth of the examples", "scores:tail_macro_f1", "scores:tail_macro_f1_against"),
        _score("worst_recall_pct", "recall of the class that fares worst", "scores:worst_class", "scores:worst_class_against"),
        _score(WORST_SLICE, "accuracy on the slice that fares worst", "scores:worst_slice", "scores:worst_slice_against"),
        Metric(ALARM_RECALL, "percent", "higher", "recall at a false-alarm rate of 1 % (of several labels the worst)", "answers", "alarms:recall", tasks=ALARMS),
        Metric("strict_alarm_recall_pct", "percent", "higher", "recall at a false-alarm rate of 0.1 % (of several labels the worst)", "answers", "alarms:strict_recall", tasks=ALARMS),
        Metric(CALIBRATION_ERROR, "percent", "lower", "calibration error: how much surer or less sure it is than right (root mean square)", "answers", "health.calibration:calibration_error", tasks=CLASSES),
        Metric(ADVERSARIAL_ACCURACY, "percent", "higher", "right under every declared attack", "health", "health.robustness:adversarial_accuracy", comparator="health.robustness:adversarial_accuracy_against", tasks=CLASSES),
        Metric(ATTACKS_WITHSTOOD, "percent", "higher", "right answers that no declared attack turns", "health", "health.robustness:attacks_withstood", tasks=CLASSES),
        Metric(CORRUPTED_ACCURACY, "percent", "higher", "accuracy on corrupted inputs, mean over corruptions and severities", "health", "health.robustness:corrupted_accuracy", comparator="health.robustness:corrupted_accuracy_against", tasks=CLASSES),
        Metric(KEY_SAMPLES, "percent", "higher", "key samples whose answer holds", "health", "health.key_samples:held", tasks=CLASSES),
        Metric(MEMBERSHIP_ADVANTAGE, "points", "lower", "how much better than chance training examples are told from others", "health", "health.membership:membership_advantage", tasks=CLASSES),
        _gap("demographic_parity_pt", "how much oftener one slice is given an answer than another (demographic parity difference)", "health.fairness:demographic_parity"),
        _gap("equalised_odds_pt", "the same among those of one label (equalised odds difference)", "health.fairness:equalised_odds"),
        _score("micro_f1_pct", "micro F1 of labels", "numbers:micro_f1", "numbers:micro_f1_against", ("multilabel",)),
        _score("label_macro_f1_pct", "macro F1 of labels", "numbers:macro_f1", "numbers:macro_f1_against", ("multilabel",)),
        _score("exact_match_pct", "every label right", "scores:exact_match", "scores:exact_match_against", ("multilabel",)),
        _score("r2_pct", "R², the share of the labels' variance that is explained", "numbers:r2", "numbers:r2_against", ("regression",)),
        _score("entity_f1_pct", "F1 of entities (micro)", "structured:entity_f1", "structured:entity_f1_against", ("token-classification",)),
        _score("token_accuracy_pct", "words whose tag is right", "structured:token_accuracy", "structured:token_accuracy_against", ("token-classification",)),
        _score("mean_iou_pct", "mean intersection over union", "structured:iou", "structured:iou_against", ("segmentation",)),
        _score("pixel_accuracy_pct", "pixels whose class is right", "structured:pixel_accuracy", "structured:pixel_accuracy_against", ("segmentation",)),
        _score("recall_at_1_pct", "the nearest other example is of the same class", "structured:recall_at_1", "structured:recall_at_1_against", ("embedding",)),
        _score("recall_at_5_pct", "one of the five nearest is of the same class", "structured:recall_at_5", "structured:recall_at_5_against", ("embedding",)),
        _score("spearman_pct", "rank correlation of the pairs' cosines with their scores (Spearman)", "structured:rank_correlation", "structured:rank_correlation_against", ("similarity",)),
        _score("ndcg_at_10_pct", "NDCG of the first ten items", "structured:ndcg_at_10", "structured:ndcg_at_10_against", ("ranking",)),
        _score("recall_at_10_pct", "relevant items among the first ten", "structured:recall_at_10", "structured:recall_at_10_against", ("ranking",)),
        _score("auc_pct", "pairs of a relevant and another item in order (AUC)", "structured:auc_of_users", "structured:auc_of_users_against", ("ranking",)),
        _score("fidelity_pct", "share of the variance of the teacher's outputs that is explained", "structured:fidelity", "structured:fidelity_against", ("outputs",)),
        Metric(TEACHER_ERROR, "percent", "lower", "mean error of the teacher's outputs, over their deviation", "answers", "structured:teacher_error", tasks=("outputs",)),
        Metric(TOP_AGREEMENT, "percent", "higher", "the largest output is the teacher's", "answers", "structured:top_agreement", tasks=("outputs",)),
        _error("mae_units", "mean absolute error", "numbers:mae", "numbers:mae_against"),
        _error("rmse_units", "root mean squared error", "numbers:rmse", "numbers:rmse_against"),
        Metric("score", "score", "higher", "score of your own, mean over examples", "answers", "own_score:mean", comparator="own_score:mean_against", compared="both"),
        Metric("teacher_agreement_pct", "percent", "higher", "same answer as the teacher", "answers", "scores:teacher_agreement"),
        Metric("baseline_agreement_pct", "percent", "higher", "same answer as the baseline", "answers", "scores:baseline_agreement", compared="pair"),
        Metric("output_error_pct", "percent", "lower", "mean error beside the baseline's, over its deviation", "outputs", "outputs:largest_error", compared="pair"),
        Metric("output_cosine_pct", "percent", "higher", "cosine of an example's values with the baseline's, mean", "outputs", "outputs:least_cosine", compared="pair"),
        Metric("output_agreement_pct", "percent", "higher", "the same value is the largest as in the baseline's", "outputs", "outputs:least_agreement", compared="pair", sampled=True),
        Metric("negative_flips_pct", "percent", "lower", "right in the baseline, wrong in the candidate", "answers", "scores:negative_flips", compared="pair", tasks=CLASSES),
        Metric(EXPORT_AGREEMENT, "percent", "higher", "exported file: same answer as the fake-quant student", "export", "export:agreement"),
        Metric("export_kl_nats", "nats", "lower", "exported file: KL divergence of the next token from the fake-quant student's", "export", "export:kl", tasks=LANGUAGE),
        Metric("export_error_pct", "percent", "lower", "exported file: mean logit error over the logits' deviation", "export", "export:error"),
        Metric("export_sqnr_db", "decibel", "higher", "exported file: signal to quantisation noise of the logits", "export", "export:sqnr"),
        Metric(BLOCK_SQNR, "decibel", "higher", "exported file: signal to quantisation noise of its worst block", "export", "export:worst_block"),
        Metric(OLD_TASK_DROP, "points", "lower", "accuracy lost on what the student knew before", "answers", "scores:old_task_drop", tasks=("classification",)),
        Metric("emulated_agreement_pct", "percent", "higher", "on the device's CPU: same answer as the fake-quant student", "emulation", "portability:emulated_agreement"),
        Metric("emulated_loss_pt", "points", "lower", "on the device's CPU: accuracy lost against this machine's", "emulation", "portability:emulated_loss", tasks=CLASSES),
        Metric(PORTABLE_AGREEMENT, "percent", "higher", "on other CPUs: same answer as here", "other CPUs", "portability:least_agreement"),
        Metric(VALIDATION_DROP, "points", "lower", "accuracy under the fp32 student, on the validation split", "validation", "scores:validation_drop"),
        Metric(INT8_SHARE, "percent", "higher", "weighted multiply-accumulates executed in int8", "kernels", "export:int8_share"),
    )
}  # fmt: skip
