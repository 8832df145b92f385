"""The gate on measurements of every kind: good ones get their verdict, broken ones never PASS or crash."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import judging
import numpy as np
import numpy.typing as npt
import pytest

from edgecomp.config.policy import Policy, Threshold, overridden
from edgecomp.gate.document import Check
from edgecomp.gate.judge import decide, judge, judge_check, limit_of
from edgecomp.gate.next_step import RunRemedies, next_step
from edgecomp.gate.stage import figures
from edgecomp.gate.verdict import EXIT_CODES, Reason, Verdict, combine, exit_code
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.report.figures import estimate_text

CLASSES = 3
LABELS = np.arange(90) % CLASSES
RIGHT = np.eye(CLASSES, dtype=np.float32)[LABELS]
WRONG = np.eye(CLASSES, dtype=np.float32)[(LABELS + 1) % CLASSES]
PARITY = {
    "examples": 450,
    "agreeing": 450,
    "mean_absolute_error": 0.01,
    "logit_deviation": 3.0,
    "int8_share_pct": 100.0,
    "sqnr_db": 40.0,
    "classes": 3,
    "classes_predicted": 3,
    "prevailing": 0.4,
    "blocks": {"layers.0": 40.0, "layers.1": 30.0},
}

LATENCY = {"metric": "latency_p50_ms", "max": "2 ms"}
FASTER = {"metric": "latency_p50_ms", "against": "teacher", "max": "0.8 x"}
THROUGHPUT = {"metric": "throughput_p50_per_s", "against": "teacher", "min": "1.5 x"}
MEMORY = {"metric": "model_memory_bytes", "max": "1 GiB"}
SMALLER = {"metric": "model_memory_bytes", "against": "teacher", "max": "0.8 x"}
SIZE = {"metric": "parameter_bytes", "against": "teacher", "max": "0.2 x"}
FILE = {"metric": "file_size_bytes", "max": "1 MiB"}
F1 = {"metric": "macro_f1_pct", "min": "80 %"}
F1_POINTS = {"metric": "macro_f1_pct", "against": "teacher", "margin": "10 pt"}
F1_RATIO = {"metric": "macro_f1_pct", "against": "teacher", "margin": "20 %"}
ACCURACY = {"metric": "accuracy_pct", "min": "80 %"}
ACCURACY_RATIO = {"metric": "accuracy_pct", "against": "teacher", "margin": "20 %"}
AGREEMENT = {"metric": "teacher_agreement_pct", "min": "90 %"}
EXPORT_AGREEMENT = {"metric": "export_agreement_pct", "min": "98.5 %"}
EXPORT_ERROR = {"metric": "export_error_pct", "max": "2 %"}
SQNR = {"metric": "export_sqnr_db", "min": "20 dB"}
BLOCKS = {"metric": "export_block_sqnr_db", "min": "20 dB"}
INT8 = {"metric": "int8_share_pct", "min": "100 %"}

EVERY_ROW = [
    LATENCY, FASTER, THROUGHPUT, MEMORY, SMALLER, SIZE, FILE, F1, F1_POINTS, F1_RATIO, ACCURACY, ACCURACY_RATIO,
    AGREEMENT, EXPORT_AGREEMENT, EXPORT_ERROR, SQNR, BLOCKS, INT8,
]  # fmt: skip


SERIES = (
    "warmup_wall_ns",
    "single_stream_wall_ns",
    "single_stream_cpu_ns",
    "offline_wall_ns",
    "offline_cpu_ns",
)


def arm(
    *,
    ms: float = 1.0,
    restarts: int = 5,
    logits: npt.NDArray[Any] = RIGHT,
    size: int = 1000,
    samples: dict[str, npt.NDArray[Any]] | None = None,
) -> Arm:
    ns = round(ms * 1e6)
    series = {name: np.full((restarts, 20), ns) for name in SERIES}
    single = {name: np.full(restarts, ns) for name in ("cold_start_ns", "load_ns")}
    memory = {
        "peak_memory_bytes": np.full(restarts, 50_000_000 + size * 1000),
        "imports_peak_bytes": np.full(restarts, 50_000_000),
    }
    return Arm(
        samples=series | single | memory | (samples or {}),
        logits=logits,
        memory={},
        file_size_bytes=size,
        file_sha256={},
        parameter_bytes=size,
    )


def measurements(
    student: Arm | None = None,
    teacher: Arm | None = None,
    *,
    labels: npt.NDArray[Any] = LABELS,
    parity: dict[str, Any] | None = PARITY,
) -> Measurements:
    return Measurements(
        target="board",
        runtime="some",
        arms={
            "student_int8": dataclasses.replace(student or arm(ms=0.5, size=100), parity=parity),
            "teacher": teacher or arm(),
        },
        labels=labels,
        offline_batch=32,
        facts={},
    )


def without(measured: Measurements, name: str) -> Measurements:
    return dataclasses.replace(
        measured, arms={arm: data for arm, data in measured.arms.items() if arm != name}
    )


def row(threshold: dict[str, Any], measured: Measurements | None) -> Check:
    return judge_check("board", "row", Threshold.model_validate(threshold), measured)


def of_row(threshold: dict[str, Any]) -> str:
    return "-".join(str(threshold[key]) for key in ("metric", "against") if key in threshold)


# Good measurements


@pytest.mark.parametrize("threshold", EVERY_ROW, ids=of_row)
def test_a_good_student_passes_every_kind_of_row(threshold: dict[str, Any]) -> None:
    found = row(threshold, measurements())
    assert (found.verdict, found.reason) == (Verdict.PASS, Reason.WITHIN_LIMIT)
    assert found.estimate is not None
    assert found.estimate.low is not None
    assert found.estimate.estimate is not None
    assert found.estimate.high is not None
    assert found.estimate.low <= found.estimate.estimate <= found.estimate.high


@pytest.mark.parametrize(
    ("threshold", "student"),
    [
        (LATENCY, arm(ms=3)),
        (FASTER, arm(ms=0.9)),
        (THROUGHPUT, arm(ms=0.9)),
        (MEMORY, arm(size=2_000_000)),
        (SMALLER, arm(size=900)),
        (SIZE, arm(size=201)),
        (FILE, arm(size=2**20 + 1)),
        (F1, arm(logits=WRONG)),
        (F1_POINTS, arm(logits=WRONG)),
        (F1_RATIO, arm(logits=WRONG)),
        (ACCURACY, arm(logits=WRONG)),
        (ACCURACY_RATIO, arm(logits=WRONG)),
        (AGREEMENT, arm(logits=WRONG)),
    ],
    ids=lambda value: of_row(value) if isinstance(value, dict) else "",
)
def test_a_bad_student_fails_every_kind_of_row(threshold: dict[str, Any], student: Arm) -> None:
    found = row(threshold, measurements(student))
    assert (found.verdict, found.reason) == (Verdict.FAIL, Reason.OVER_LIMIT)
    assert next_step(Verdict.FAIL, [found], RunRemedies({"board": measurements()})).startswith("board: ")


def test_a_figure_on_its_limit_passes() -> None:
    assert row(SIZE, measurements(arm(size=200))).verdict is Verdict.PASS
    assert row({**LATENCY, "max": "0.5 ms"}, measurements()).verdict is Verdict.PASS
    assert row({**THROUGHPUT, "min": "2 x"}, measurements()).verdict is Verdict.PASS


def test_an_interval_that_holds_the_limit_is_undecided() -> None:
    walls = np.repeat([[500_000], [600_000], [700_000], [800_000], [900_000]], 20, axis=1)
    found = row(FASTER, measurements(arm(samples={"single_stream_wall_ns": walls})))
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, Reason.UNDECIDED)


def test_a_margin_is_a_limit_on_the_worse_side() -> None:
    for metric, margin, limit in (
        ("macro_f1_pct", "3 pt", -3.0),
        ("macro_f1_pct", "5 %", 0.95),
        ("latency_p50_ms", "5 %", 1.05),
        ("throughput_p50_per_s", "5 %", 0.95),
    ):
        threshold = Threshold(metric=metric, against="teacher", margin=margin)
        assert limit_of(threshold) == pytest.approx(limit)


# What is missing or broken


@pytest.mark.parametrize("threshold", EVERY_ROW, ids=of_row)
def test_what_was_not_measured_is_inconclusive(threshold: dict[str, Any]) -> None:
    for measured in (None, without(measurements(), "student_int8")):
        found = row(threshold, measured)
        assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, Reason.NOT_RUN)
        assert found.estimate is None


@pytest.mark.parametrize(
    "threshold", [one for one in EVERY_ROW if "against" in one] + [AGREEMENT], ids=of_row
)
def test_a_comparison_without_its_reference_is_inconclusive(threshold: dict[str, Any]) -> None:
    found = row(threshold, without(measurements(), "teacher"))
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, Reason.NOT_RUN)


@pytest.mark.parametrize("threshold", [EXPORT_AGREEMENT, EXPORT_ERROR, INT8], ids=of_row)
def test_an_export_that_was_not_compared_is_inconclusive(threshold: dict[str, Any]) -> None:
    absent: tuple[dict[str, Any] | None, ...] = (None, {})
    for parity in absent:
        assert row(threshold, measurements(parity=parity)).reason is Reason.NOT_RUN


@pytest.mark.parametrize("threshold", [EXPORT_AGREEMENT, EXPORT_ERROR, SQNR, BLOCKS], ids=of_row)
@pytest.mark.parametrize(
    "probes", [{"classes_predicted": 1, "prevailing": 1.0}, {"prevailing": 0.98}], ids=str
)
def test_probes_that_get_one_answer_prove_nothing(threshold: dict[str, Any], probes: dict[str, Any]) -> None:
    found = row(threshold, measurements(parity=PARITY | probes))
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, Reason.UNTELLING)


def test_rare_classes_prove_something_too() -> None:
    """One defect in twenty: a file that never finds one agrees on 95 %, and fails."""
    rare = PARITY | {"classes": 2, "classes_predicted": 2, "prevailing": 0.95}
    assert row(EXPORT_AGREEMENT, measurements(parity=rare)).verdict is Verdict.PASS
    blind = rare | {"examples": 2048, "agreeing": 1946}
    assert row(EXPORT_AGREEMENT, measurements(parity=blind)).verdict is Verdict.FAIL


def test_a_model_that_is_its_own_teacher_is_told_the_words_of_quantize() -> None:
    found = row(ACCURACY, measurements(arm(logits=WRONG)))
    assert "distill.epochs" in next_step(Verdict.FAIL, [found], RunRemedies({"board": measurements()}))
    told = next_step(Verdict.FAIL, [found], RunRemedies({"board": measurements()}, own_teacher=True))
    assert "--time MINUTES" in told
    assert "distill.epochs" not in told
    assert "student.arguments" not in told


@pytest.mark.parametrize("threshold", [FASTER, THROUGHPUT, SIZE, F1_POINTS, ACCURACY_RATIO], ids=of_row)
def test_a_reference_that_is_not_what_was_trained_is_no_bar(threshold: dict[str, Any]) -> None:
    good = dataclasses.replace(measurements(), facts={"as_trained_sqnr_db": {"teacher": 45.0}})
    assert row(threshold, good).verdict is Verdict.PASS
    for sqnr_db in (29.0, -200.0, math.nan):
        wrong = dataclasses.replace(good, facts={"as_trained_sqnr_db": {"teacher": sqnr_db}})
        found = row(threshold, wrong)
        assert (found.verdict, found.reason) == (Verdict.INVALID, Reason.NOT_ITSELF)
        assert "not the network that was trained" in found.sentence


def test_a_network_that_is_wrong_in_float_is_told_so_before_its_integers_are_blamed() -> None:
    parity = PARITY | {"agreeing": 300}
    for sqnr_db, said in ((120.0, "integer kernels"), (7.3, "7.3 dB"), (math.nan, "nan dB")):
        known = dataclasses.replace(
            measurements(parity=parity), facts={"as_trained_sqnr_db": {"student_fp32": sqnr_db}}
        )
        found = row(EXPORT_AGREEMENT, known)
        assert found.verdict is Verdict.FAIL
        advice = next_step(found.verdict, [found], RunRemedies({found.target: known}))
        assert said in advice
        assert ("integers are not to blame" in advice) is (sqnr_db != 120)
    teacher = dataclasses.replace(measurements(), facts={"as_trained_sqnr_db": {"teacher": 7.3}})
    found = row(FASTER, teacher)
    advice = next_step(found.verdict, [found], RunRemedies({found.target: teacher}))
    assert "the file of teacher, in float, is not the network" in advice
    assert "measure again" not in advice


def test_a_runtime_that_does_not_tell_its_precision_is_inconclusive() -> None:
    parity = {key: value for key, value in PARITY.items() if key != "int8_share_pct"}
    assert row(INT8, measurements(parity=parity)).reason is Reason.NOT_RUN


def test_a_layer_that_cannot_be_counted_is_inconclusive_and_named() -> None:
    found = row(INT8, measurements(parity=PARITY | {"int8_share_pct": None, "uncounted": ["repeat (Loop)"]}))
    assert found.reason is Reason.NOT_RUN
    assert "repeat (Loop)" in found.sentence


@pytest.mark.parametrize("threshold", [LATENCY, FASTER, THROUGHPUT, MEMORY, SMALLER], ids=of_row)
@pytest.mark.parametrize("restarts", [1, 2, 3, 4])
def test_fewer_than_five_restarts_bound_nothing(threshold: dict[str, Any], restarts: int) -> None:
    measured = measurements(arm(ms=0.1, size=1, restarts=restarts), arm(restarts=restarts))
    found = row(threshold, measured)
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, Reason.TOO_FEW_SAMPLES)
    assert found.estimate is not None
    assert "it takes 5" in found.sentence


def test_a_99th_percentile_takes_459_samples_of_every_restart() -> None:
    threshold = {"metric": "latency_p99_ms", "max": "2 ms"}
    for count, verdict in ((458, Verdict.INCONCLUSIVE), (459, Verdict.PASS)):
        walls = np.full((5, count), 500_000)
        assert row(threshold, measurements(arm(samples={"single_stream_wall_ns": walls}))).verdict is verdict


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("threshold", [F1, F1_POINTS, F1_RATIO, ACCURACY, AGREEMENT], ids=of_row)
def test_one_logit_that_is_not_finite_makes_the_row_invalid(threshold: dict[str, Any], broken: float) -> None:
    logits = RIGHT.copy()
    logits[7, 1] = broken
    found = row(threshold, measurements(arm(logits=logits)))
    assert (found.verdict, found.reason) == (Verdict.INVALID, Reason.NOT_FINITE)
    if threshold is F1_POINTS:
        assert row(threshold, measurements(teacher=arm(logits=logits))).verdict is Verdict.INVALID


@pytest.mark.parametrize(
    ("threshold", "parity"),
    [
        (EXPORT_ERROR, {"mean_absolute_error": math.nan}),
        (EXPORT_ERROR, {"mean_absolute_error": math.inf}),
        (EXPORT_ERROR, {"logit_deviation": math.nan}),
        (EXPORT_ERROR, {"logit_deviation": math.inf}),
        (EXPORT_ERROR, {"logit_deviation": 0.0}),
        (BLOCKS, {"blocks": {"layers.0": 40.0, "layers.1": math.nan}}),
        (BLOCKS, {"blocks": {"layers.0": math.nan, "layers.1": 40.0}}),
        (INT8, {"int8_share_pct": math.nan}),
        (INT8, {"int8_share_pct": math.inf}),
    ],
    ids=str,
)
def test_an_export_whose_figures_are_not_finite_is_invalid(
    threshold: dict[str, Any], parity: dict[str, Any]
) -> None:
    found = row(threshold, measurements(parity=PARITY | parity))
    assert (found.verdict, found.reason) == (Verdict.INVALID, Reason.NOT_FINITE)


NOT_MEASUREMENTS: dict[str, tuple[dict[str, Any], Measurements]] = {
    # Time runs forwards, and something always takes some of it.
    "no time at all": (LATENCY, measurements(arm(ms=0))),
    "no time at all, against": (FASTER, measurements(arm(ms=0))),
    "a clock that runs backwards": (LATENCY, measurements(arm(ms=-1))),
    "a throughput without time": (THROUGHPUT, measurements(arm(ms=0))),
    "a reference without time": (FASTER, measurements(teacher=arm(ms=0))),
    "no batches": (THROUGHPUT, measurements(arm(samples={"offline_wall_ns": np.zeros((5, 0), int)}))),
    "no inferences": (LATENCY, measurements(arm(samples={"single_stream_wall_ns": np.zeros((5, 0), int)}))),
    "no restarts": (LATENCY, measurements(arm(restarts=0))),
    # A ratio is taken within a restart.
    "one reference restart": (FASTER, measurements(arm(ms=0.5), arm(restarts=1))),
    "one student restart": (FASTER, measurements(arm(ms=0.5, restarts=1), arm())),
    "six and five restarts": (FASTER, measurements(arm(ms=0.5, restarts=6), arm())),
    # Peak memory includes the imports.
    "less memory than the imports": (MEMORY, measurements(arm(size=-1))),
    "a reference with less than its imports": (SMALLER, measurements(teacher=arm(size=-1000))),
    # Unsigned integers wrap.
    "unsigned memory": (
        SMALLER,
        measurements(
            teacher=arm(
                samples={
                    "peak_memory_bytes": np.full(5, 10, np.uint64),
                    "imports_peak_bytes": np.full(5, 20, np.uint64),
                }
            )
        ),
    ),
    "a sample that is missing": (
        LATENCY,
        measurements(dataclasses.replace(arm(), samples={})),
    ),
    # A model takes some bytes.
    "an empty file": (FILE, measurements(arm(size=0))),
    "no parameters": (SIZE, measurements(arm(size=0))),
    "a reference without parameters": (SIZE, measurements(teacher=arm(size=0))),
    # One label for each example, each label one of the classes.
    "no examples": (F1, measurements(arm(logits=RIGHT[:0]), labels=LABELS[:0])),
    "answers missing": (F1, measurements(arm(logits=RIGHT[:-1]))),
    "reference's answers missing": (F1_POINTS, measurements(teacher=arm(logits=RIGHT[:-1]))),
    "negative labels": (F1_POINTS, measurements(labels=LABELS - 1)),
    "labels in a column": (F1_POINTS, measurements(labels=LABELS[:, None])),
    "labels that are no integers": (F1_POINTS, measurements(labels=LABELS.astype(float))),
    "labels that are no numbers": (AGREEMENT, measurements(labels=np.full(len(LABELS), math.nan))),
    "one logit an example": (
        F1_POINTS,
        measurements(arm(logits=RIGHT[:, :1]), arm(logits=RIGHT[:, :1])),
    ),
    "one logit, one class": (
        ACCURACY,
        measurements(arm(logits=RIGHT[:, :1]), labels=np.zeros(len(LABELS), int)),
    ),
    "no logits": (F1, measurements(arm(logits=RIGHT[:, :0]))),
    "logits without classes": (F1, measurements(arm(logits=RIGHT[:, 0]))),
    "logits of pixels": (F1, measurements(arm(logits=np.zeros((len(LABELS), CLASSES, 4), np.float32)))),
    # A score that is 0, or can be, has no multiples.
    "a reference that is always wrong": (F1_RATIO, measurements(teacher=arm(logits=WRONG))),
    "both always wrong": (F1_RATIO, measurements(arm(logits=WRONG), arm(logits=WRONG))),
    "a reference that is almost always wrong": (
        ACCURACY_RATIO,
        measurements(
            arm(logits=np.vstack([RIGHT[:1], WRONG[1:]])),
            arm(logits=np.vstack([WRONG[:1], RIGHT[1:2], WRONG[2:]])),
        ),
    ),
    # Counts and shares.
    "no probes": (EXPORT_AGREEMENT, measurements(parity=PARITY | {"examples": 0, "agreeing": 0})),
    "more agree than were asked": (EXPORT_AGREEMENT, measurements(parity=PARITY | {"agreeing": 451})),
    "a negative error": (EXPORT_ERROR, measurements(parity=PARITY | {"mean_absolute_error": -1.0})),
    "a share over 100 %": (INT8, measurements(parity=PARITY | {"int8_share_pct": 300.0})),
    "a count that is missing": (EXPORT_AGREEMENT, measurements(parity={"examples": 450})),
}


@pytest.mark.parametrize(("threshold", "measured"), NOT_MEASUREMENTS.values(), ids=NOT_MEASUREMENTS)
def test_what_cannot_be_a_measurement_gets_a_verdict_that_is_not_pass(
    threshold: dict[str, Any], measured: Measurements
) -> None:
    assert row(threshold, measured).verdict is not Verdict.PASS


def test_a_student_that_has_no_output_for_a_class_never_passes() -> None:
    """Its macro F1 is a mean over all classes of the test split, not over those it knows."""
    labels = np.repeat([0, 1, 2], [60, 25, 5])
    blind = np.eye(2, dtype=np.float32)[np.where(labels == 2, 0, labels)]
    teacher = arm(logits=np.eye(3, dtype=np.float32)[labels])
    for threshold in (F1, F1_POINTS):
        assert (
            row(threshold, measurements(arm(logits=blind), teacher, labels=labels)).verdict
            is not Verdict.PASS
        )


def test_figures_leaves_out_what_has_no_figure() -> None:
    empty = measurements(parity=PARITY | {"examples": 0, "agreeing": 0})
    found = figures(empty)
    assert "export_agreement_pct" not in found["student_int8"]
    assert found["student_int8"]["latency_p50_ms"].estimate == pytest.approx(0.5)
    assert "latency_p99_ms" not in found["student_int8"]
    assert "export_error_pct" not in found["teacher"]


def test_a_limit_that_overflows_its_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        Threshold.model_validate({"metric": "latency_p50_ms", "max": "1e308 s"})


def test_decide_names_no_bound_that_it_does_not_have() -> None:
    estimate = judging.figure(1.0, None, None, count=2, note="2 restarts bound nothing")
    for passes in ("below", "above"):
        verdict, reason, why = decide(estimate, 5.0, passes)
        assert (verdict, reason) == (Verdict.INCONCLUSIVE, Reason.TOO_FEW_SAMPLES)
        assert "2 restarts bound nothing" in why


# The whole


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ([], Verdict.INVALID),
        ([Verdict.PASS], Verdict.PASS),
        ([Verdict.PASS, Verdict.INCONCLUSIVE], Verdict.INCONCLUSIVE),
        ([Verdict.INCONCLUSIVE, Verdict.INVALID, Verdict.PASS], Verdict.INVALID),
        ([Verdict.PASS, Verdict.INVALID, Verdict.FAIL, Verdict.INCONCLUSIVE], Verdict.FAIL),
        ([Verdict.INVALID, Verdict.FAIL], Verdict.FAIL),
    ],
)
def test_the_whole_is_as_bad_as_its_worst_row(verdicts: list[Verdict], whole: Verdict) -> None:
    assert combine(verdicts) is whole
    assert combine(reversed(verdicts)) is whole
    assert combine(iter(verdicts)) is whole


@pytest.mark.parametrize(
    ("verdict", "block", "warn"),
    [
        (Verdict.PASS, 0, 0),
        (Verdict.FAIL, 1, 1),
        (Verdict.INCONCLUSIVE, 3, 0),
        (Verdict.INVALID, 4, 4),
    ],
)
def test_only_pass_and_a_waived_inconclusive_exit_with_0(verdict: Verdict, block: int, warn: int) -> None:
    assert exit_code(verdict, "block") == block
    assert exit_code(verdict, "warn") == warn


def test_every_verdict_has_an_exit_code_of_its_own() -> None:
    assert set(EXIT_CODES) == set(Verdict)
    assert len(set(EXIT_CODES.values())) == len(Verdict)


def test_rows_are_judged_in_order_and_a_target_without_measurements_is_not_left_out() -> None:
    rows = Policy.model_validate({"name": "some", "rows": {"size": SIZE, "fast": FASTER}}).rows
    judged = judge({"board": rows, "absent": rows}, {"board": measurements()})
    assert [(one.target, one.name) for one in judged] == [
        ("board", "size"),
        ("board", "fast"),
        ("absent", "size"),
        ("absent", "fast"),
    ]
    assert [one.verdict for one in judged] == [Verdict.PASS] * 2 + [Verdict.INCONCLUSIVE] * 2
    assert combine(one.verdict for one in judged) is Verdict.INCONCLUSIVE


def test_the_same_measurements_give_the_same_row_from_memory_and_from_files(tmp_path: Path) -> None:
    measured = measurements()
    measured.save(tmp_path)
    for threshold in EVERY_ROW:
        assert row(threshold, Measurements.load(tmp_path)) == row(threshold, measured)


def test_an_override_moves_the_limit_that_is_judged() -> None:
    for change, verdict in (
        ({"max": "1 x"}, Verdict.PASS),
        ({"margin": "5 %"}, Verdict.PASS),
        ({}, Verdict.FAIL),
    ):
        rows = overridden({"parameter_bytes": SIZE}, {"parameter_bytes": change})
        assert row(rows["parameter_bytes"], measurements(arm(size=900))).verdict is verdict


@pytest.mark.parametrize("threshold", [*EVERY_ROW, {"metric": "emulated_loss_pt", "max": "1 pt"}], ids=of_row)
@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_row_and_verdict_has_a_next_step(threshold: dict[str, Any], verdict: Verdict) -> None:
    for measured in (measurements(), measurements(parity=None)):
        found = row(threshold, measured).but(verdict=verdict)
        assert next_step(verdict, [found], RunRemedies({"board": measured})).endswith(".")


def test_a_file_that_saturates_on_the_devices_cpu_is_not_sent_back_to_training() -> None:
    found = row(EXPORT_AGREEMENT, measurements(parity=PARITY | {"agreeing": 300}))
    emulated = found.but(metric="emulated_agreement_pct", verdict=Verdict.FAIL)
    assert "cpu-u8-narrow" in next_step(Verdict.FAIL, [emulated], RunRemedies({"board": measurements()}))


def test_a_wrong_export_is_told_from_integer_rounding() -> None:
    def advice(unoptimised: int | None) -> str:
        told = {} if unoptimised is None else {"agreeing_unoptimised": unoptimised}
        measured = measurements(parity=PARITY | {"agreeing": 300} | told)
        found = row(EXPORT_AGREEMENT, measured)
        assert found.verdict is Verdict.FAIL
        return next_step(Verdict.FAIL, [found], RunRemedies({"board": measured}))

    assert "integer kernels round it" in advice(450)
    assert "exported wrongly" in advice(440)
    assert "integer kernels round it" in advice(None)  # OpenVINO does not tell


@pytest.mark.parametrize(
    ("audit", "reason"),
    [
        ({"timed_error": None, "repeated_over_fresh": 1.0}, Reason.NOT_FINITE),
        ({"timed_error": 0.5, "repeated_over_fresh": 1.0}, Reason.NOT_ITSELF),
        ({"timed_error": 0.0, "repeated_over_fresh": 0.1}, Reason.NOT_ITSELF),
    ],
)
def test_a_model_that_is_not_itself_while_it_is_timed_is_invalid(
    audit: dict[str, Any], reason: Reason
) -> None:
    measured = dataclasses.replace(measurements(), facts={"audit": {"student_int8": audit}})
    found = row({"metric": "latency_p50_ms", "max": "20 ms"}, measured)
    assert (found.verdict, found.reason) == (Verdict.INVALID, reason)


def test_an_undecided_score_says_how_many_examples_would_tell() -> None:
    found = judging.figure(-2.0, -4.0, 0.0, "points", count=450, unit="examples")
    _, reason, why = decide(found, -3.0, "above")
    assert reason is Reason.UNDECIDED
    assert why.endswith(
        "; some 1,800 examples would tell, there are 450"
    )  # an interval of half the width: four times as many
    _, _, why = decide(found.model_copy(update={"estimate": -3.0}), -3.0, "above")
    assert "no reasonable number of them would tell" in why
    _, _, why = decide(found.model_copy(update={"unit": "restarts"}), -3.0, "above")
    assert "would tell" not in why


def test_a_margin_in_per_cent_is_answered_in_per_cent() -> None:
    """As the limit beside it, and the waiver's."""
    larger = measurements(arm(size=2811), arm(size=1000))
    found = row({"metric": "file_size_bytes", "against": "teacher", "margin": "5 %"}, larger)
    assert found.estimate is not None
    assert (found.estimate.dimension, found.estimate.estimate) == ("ratio", 2.811)
    assert "exactly +181.10 % is not below +5.00 %" in found.sentence
    assert estimate_text(found.estimate) == "+181.10 %"
