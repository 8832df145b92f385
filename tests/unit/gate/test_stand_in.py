"""A target whose own runtime is not here: what another one answers is judged, what takes the device is not run, and it never passes."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from edgecomp.config.policy import Threshold
from edgecomp.gate.document import Check
from edgecomp.gate.judge import DEVICE, judge_check, never_ran
from edgecomp.gate.next_step import RunRemedies, next_step
from edgecomp.gate.verdict import Reason, Verdict, combine
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.runtimes import TABLE

LABELS = np.arange(90) % 3
RIGHT, WRONG = (np.eye(3, dtype=np.float32)[(LABELS + shift) % 3] for shift in (0, 1))
SAID = TABLE["onnxruntime-tensorrt"].stand_in.said  # type: ignore[union-attr]
PARITY = {
    "examples": 450, "agreeing": 450, "classes": 3, "classes_predicted": 3, "prevailing": 0.4, "stand_in": SAID,
}  # fmt: skip
F1, SIZE = {"metric": "macro_f1_pct", "min": "80 %"}, {"metric": "file_size_bytes", "max": "1 MiB"}
AGREEMENT = {"metric": "export_agreement_pct", "min": "98.5 %"}
OF_THE_DEVICE: list[dict[str, Any]] = [
    {"metric": "latency_p99_ms", "max": "10 ms"},
    {"metric": "latency_p50_ms", "against": "teacher", "max": "0.8 x"},
    {"metric": "throughput_p50_per_s", "against": "teacher", "min": "3 x"},
    {"metric": "peak_memory_bytes", "max": "1 GiB"},
    {"metric": "energy_per_inference_mj", "max": "1 mJ"},
    {"metric": "int8_share_pct", "min": "100 %"},
]


def measured(logits: Any = RIGHT) -> Measurements:
    def arm(logits: Any) -> Arm:
        return Arm({}, logits, {}, file_size_bytes=100, file_sha256={}, parameter_bytes=100)

    return Measurements(
        target="gpu",
        runtime="onnxruntime-tensorrt",
        arms={"student_int8": dataclasses.replace(arm(logits), parity=PARITY), "teacher": arm(RIGHT)},
        labels=LABELS,
        offline_batch=1,
        not_run="no GPU here",
        facts={"stand_in": SAID},
    )


def row(threshold: dict[str, Any], given: Measurements) -> Check:
    return judge_check("gpu", "row", Threshold.model_validate(threshold), given)


@pytest.mark.parametrize("threshold", OF_THE_DEVICE, ids=lambda one: str(one["metric"]))
def test_what_takes_the_device_is_not_run(threshold: dict[str, Any]) -> None:
    found = row(threshold, measured())
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, Reason.NOT_RUN)
    assert "no GPU here" in found.sentence


@pytest.mark.parametrize("threshold", [F1, AGREEMENT], ids=["answers", "export"])
def test_answers_are_judged_and_it_is_said_who_gave_them(threshold: dict[str, Any]) -> None:
    found = row(threshold, measured())
    assert found.verdict is Verdict.PASS
    assert found.sentence.endswith(f"({SAID}).")
    assert row(F1, measured(WRONG)).verdict is Verdict.FAIL


def test_a_file_is_what_it_is_on_every_machine() -> None:
    found = row(SIZE, measured())
    assert found.verdict is Verdict.PASS
    assert SAID not in found.sentence


def test_a_parity_that_another_runtime_gave_says_so_beside_figures_of_the_device_itself() -> None:
    """The bench was run again on a machine with a GPU, and the comparison of the file was not."""
    found = row(AGREEMENT, dataclasses.replace(measured(), not_run="", facts={}))
    assert found.sentence.endswith(f"({SAID}).")


def test_a_target_of_which_answers_alone_are_asked_does_not_pass() -> None:
    good = [row(F1, measured()), row(SIZE, measured())]
    assert combine(check.verdict for check in good) is Verdict.PASS
    (more,) = never_ran("gpu", measured(), good)
    assert (more.name, more.verdict, more.reason) == (DEVICE, Verdict.INCONCLUSIVE, Reason.NOT_RUN)
    assert next_step(Verdict.INCONCLUSIVE, [*good, more], RunRemedies({"gpu": measured()})).endswith(
        "run it there, or name the target under `ungated_targets`."
    )


def test_a_check_that_only_advises_does_not_stand_for_it() -> None:
    not_run = row(OF_THE_DEVICE[0], measured())
    assert never_ran("gpu", measured(), [not_run]) == []
    assert len(never_ran("gpu", measured(), [not_run.but(severity="warn")])) == 1
    assert never_ran("gpu", dataclasses.replace(measured(), facts={}), []) == []
