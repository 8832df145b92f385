"""The row that a file gives the same answers on other CPUs: proven from its weights, executed where that can be."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_judge import PARITY

from edgecomp.config.policy import Threshold
from edgecomp.gate.document import Check
from edgecomp.gate.judge import judge_check
from edgecomp.gate.next_step import RunRemedies, next_step
from edgecomp.gate.verdict import Reason, Verdict
from edgecomp.metrics.measurements import Arm, Measurements, Portable

ROW = Threshold.model_validate({"metric": "portable_agreement_pct", "min": "97 %"})
WHY = "2 of 9 layers can saturate where a CPU adds two products in 16 bits"
NOT_RUN = {"run": False, "how": "install qemu-user"}


def executed(agreeing: int, examples: int = 500, finite: bool = True) -> dict[str, Any]:
    return {"run": True, "how": "so", "agreeing": agreeing, "examples": examples, "finite": finite}


def measured(portable: Portable | None, parity: dict[str, Any] | None = None) -> Measurements:
    logits = np.eye(3, dtype=np.float32)[np.arange(90) % 3]
    arm = Arm({}, logits, {}, 1, {}, 1, parity or PARITY)
    return Measurements(
        "board", "onnxruntime-cpu", {"student_int8": arm}, np.arange(90) % 3, 32, {}, portable=portable
    )


def judged(portable: Portable | None) -> Check:
    return judge_check("board", "portable_agreement_pct", ROW, measured(portable))


def of(
    why: str = "", isa: str = "host", host: str = "x86-64-avx512-vnni", **cpus: dict[str, Any]
) -> Portable:
    return Portable(isa, host, why, cpus)


def test_the_proof_alone_passes_and_says_that_nothing_was_executed() -> None:
    row = judged(of(avx2=NOT_RUN, arm=NOT_RUN))
    assert row.verdict is Verdict.PASS
    assert row.estimate is not None
    assert row.estimate.note == "proven from its weights, executed on no other CPU"


def test_the_cpu_that_agrees_least_decides() -> None:
    assert judged(of(avx2=executed(500), arm=executed(499))).verdict is Verdict.PASS
    assert judged(of(avx2=executed(500), arm=executed(400))).verdict is Verdict.FAIL
    assert judged(of(avx2=executed(400), arm=NOT_RUN)).verdict is Verdict.FAIL
    undecided = judged(of(avx2=executed(500), arm=executed(97, 100)))
    assert undecided.verdict is Verdict.INCONCLUSIVE


def test_a_layer_that_can_saturate_fails_whatever_a_sample_gave() -> None:
    row = judged(of(WHY, avx2=executed(500), arm=executed(500)))
    assert (row.verdict, row.reason) == (Verdict.FAIL, Reason.SATURATES)
    assert WHY in row.sentence


@pytest.mark.parametrize("portable", [None, of(isa="x86-64-avx2")])
def test_what_was_not_asked_is_not_run(portable: Portable | None) -> None:
    row = judged(portable)
    assert (row.verdict, row.reason) == (Verdict.INCONCLUSIVE, Reason.NOT_RUN)


def test_answers_that_are_not_finite_are_invalid() -> None:
    assert judged(of(avx2=executed(500, finite=False))).verdict is Verdict.INVALID


AGREEMENT = Threshold.model_validate({"metric": "export_agreement_pct", "min": "98.5 %"})


@pytest.mark.parametrize(
    ("isa", "host", "says"),
    [
        ("host", "x86-64-avx2", "cpu-u8-narrow"),
        ("host", "x86-64-avx512-vnni", "cpu-u8-narrow"),
        (
            "x86-64-avx512-vnni",
            "x86-64-avx2",
            "this machine is x86-64-avx2, and the target x86-64-avx512-vnni",
        ),
    ],
)
def test_the_verdict_says_first_that_sums_are_cut_off_with_the_layers_and_the_remedy(
    isa: str, host: str, says: str
) -> None:
    found = measured(of(WHY, isa, host), PARITY | {"agreeing": 380})
    rows = [
        judge_check("board", "export_agreement_pct", AGREEMENT, found),
        *([judge_check("board", "portable_agreement_pct", ROW, found)] if isa == "host" else []),
    ]
    said = next_step(Verdict.FAIL, rows, RunRemedies({"board": found}))
    assert said.startswith(f"board: {WHY}")
    assert says in said
    assert "quantize.epochs" not in said


def test_a_file_that_is_wide_for_its_own_cpu_is_not_blamed_for_it_where_that_runs() -> None:
    found = measured(of(WHY, "x86-64-avx512-vnni", "x86-64-avx512-vnni"), PARITY | {"agreeing": 380})
    row = judge_check("board", "export_agreement_pct", AGREEMENT, found)
    assert "saturate" not in next_step(Verdict.FAIL, [row], RunRemedies({"board": found}))
    assert "saturate" not in next_step(
        Verdict.FAIL, [row], RunRemedies({"board": replace(found, portable=None)})
    )
