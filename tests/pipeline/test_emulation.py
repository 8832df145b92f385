"""The same file on a CPU that is not here: executed where qemu-user is installed, never a PASS where it is not."""

import dataclasses
import json
import platform
import shutil
from pathlib import Path

import numpy as np
import pytest
from running import TINY, Cli

from edgecomp.benchmark.hosts import emulators
from edgecomp.config.policy import Threshold
from edgecomp.gate.judge import judge_check
from edgecomp.gate.verdict import Reason, Verdict
from edgecomp.metrics.measurements import Emulated, Measurements

ARM = emulators.availability("armv8-a", "onnxruntime-cpu")
HASWELL = """
extends: onnxruntime-avx2
name: haswell
budget: { emulated_agreement_pct: 90 %, emulated_loss_pt: 9 pt }
"""


@pytest.mark.slow
@pytest.mark.skipif(
    emulators.availability("x86-64-avx2")[0] is None, reason=emulators.availability("x86-64-avx2")[1]
)
def test_the_gate_sees_what_another_cpu_gives(cli: Cli, tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "haswell.yaml").write_text(HASWELL, encoding="utf-8")
    folder = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    done = cli("run", "digits", *TINY, f"targets=[{tmp_path}/haswell.yaml]", "--out", str(folder), "--json")
    assert "distill (" not in done.err, "the fp32 student is no scheme's"
    rows = {row["name"]: row for row in done.json["gates"]}
    facts = json.loads((folder / "emulation" / "haswell" / "emulation.json").read_text(encoding="utf-8"))
    assert facts["run"]
    assert "onnxruntime" in facts["versions"]
    assert rows["emulated_agreement_pct"]["estimate"] >= 98
    assert rows["emulated_agreement_pct"]["verdict"] == rows["emulated_loss_pt"]["verdict"] == "PASS"
    assert "portable_agreement_pct" not in rows, "the target names its CPU"


@pytest.mark.slow
@pytest.mark.skipif(ARM[0] is None, reason=ARM[1])
def test_an_arm_core_gives_the_answers_of_the_fake_quant_student(
    cli: Cli, tiny_run: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    targets = "targets=[onnxruntime-armv8,onnxruntime-armv8.2]"
    done = cli("run", "digits", *TINY, targets, "bench.emulated_examples=200", "--out", str(folder), "--json")
    rows = {(row["target"], row["name"]): row for row in done.json["gates"]}
    for target, cpu in (("onnxruntime-armv8", "cortex-a72"), ("onnxruntime-armv8.2", "neoverse-n1")):
        assert rows[target, "emulated_agreement_pct"]["estimate"] >= 98
        assert abs(rows[target, "emulated_loss_pt"]["estimate"]) <= 1
        facts = json.loads((folder / "emulation" / target / "emulation.json").read_text(encoding="utf-8"))
        assert f"-cpu {cpu}, python3" in facts["how"]
        assert facts["how"].endswith(f"onnxruntime {facts['versions']['onnxruntime']}")


def test_without_an_emulator_the_row_is_not_run_and_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    other = "armv8-a" if platform.machine() == "x86_64" else "x86-64-avx2"
    command, how = emulators.availability(other)
    assert command is None
    assert "install qemu-user" in how
    reference = np.eye(3, dtype=np.float32)[np.arange(90) % 3]
    emulated = Emulated({"run": False, "how": how}, None, None, reference)
    measured = Measurements("t", "r", {}, np.arange(90) % 3, 32, {}, emulated=emulated)
    threshold = Threshold(metric="emulated_agreement_pct", min="97 %")
    row = judge_check("t", "emulated_agreement_pct", threshold, measured)
    assert row.verdict is Verdict.INCONCLUSIVE
    present = dataclasses.replace(measured, arms={"student_int8": arm(reference)})
    row = judge_check("t", "emulated_agreement_pct", threshold, present)
    assert (row.verdict, row.reason) == (Verdict.INCONCLUSIVE, Reason.NOT_RUN)
    assert "install qemu-user" in row.sentence


def arm(logits):
    from edgecomp.metrics.measurements import Arm

    return Arm({}, logits, {}, 1, {}, 1)
