"""The same file on a CPU that is not here: executed where qemu-user is installed, never a PASS where it is not."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from running import TINY, Cli

from edgecomp.bench.hosts import emulators
from edgecomp.gate.judge import judge_row
from edgecomp.gate.verdict import Reason, Verdict
from edgecomp.measurements import Emulated, Measurements
from edgecomp.policies import Threshold

ARM = emulators.availability("armv8-a", "onnxruntime-cpu")
HASWELL = """
name: haswell-{scheme}
runtime: onnxruntime-cpu
isa: x86-64-avx2
scheme: {scheme}
budget: {{ emulated_agreement_pct: 90 %, emulated_loss_pt: 9 pt }}
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs qemu-user: apt-get install qemu-user")
def test_narrow_weights_do_not_saturate_without_vnni_and_the_gate_sees_it(
    cli: Cli, tiny_run: Path, tmp_path: Path
) -> None:
    for scheme in ("cpu-u8", "cpu-u8-narrow"):
        (tmp_path / f"{scheme}.yaml").write_text(HASWELL.format(scheme=scheme), encoding="utf-8")
    folder = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    agreement = {}
    for scheme in ("cpu-u8", "cpu-u8-narrow"):
        done = cli(
            "run", "digits", *TINY, f"targets=[{tmp_path}/{scheme}.yaml]", "--out", str(folder), "--json"
        )
        assert "distill (" not in done.err, "the fp32 student is no scheme's"
        rows = {row["name"]: row for row in done.json["gates"]}
        agreement[scheme] = rows["emulated_agreement_pct"]["estimate"]
        facts = json.loads(
            (folder / "emulation" / f"haswell-{scheme}" / "emulation.json").read_text(encoding="utf-8")
        )
        assert facts["run"]
        assert "-cpu Haswell" in facts["how"]
        assert "onnxruntime" in facts["versions"]
    assert agreement["cpu-u8-narrow"] >= 98
    assert agreement["cpu-u8-narrow"] >= agreement["cpu-u8"]
    assert rows["emulated_agreement_pct"]["verdict"] == rows["emulated_loss_pt"]["verdict"] == "PASS"


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
    command, how = emulators.availability("x86-64-avx2")
    assert command is None
    assert "install qemu-user" in how
    reference = np.eye(3, dtype=np.float32)[np.arange(90) % 3]
    emulated = Emulated({"run": False, "how": how}, None, None, reference)
    measured = Measurements("t", "r", {}, np.arange(90) % 3, 32, {}, emulated=emulated)
    threshold = Threshold(metric="emulated_agreement_pct", min="97 %")
    row = judge_row("t", "emulated_agreement_pct", threshold, measured)
    assert row.verdict is Verdict.INCONCLUSIVE
    present = dataclasses.replace(measured, arms={"student_int8": arm(reference)})
    row = judge_row("t", "emulated_agreement_pct", threshold, present)
    assert (row.verdict, row.reason) == (Verdict.INCONCLUSIVE, Reason.NOT_RUN)
    assert "install qemu-user" in row.sentence


def arm(logits):
    from edgecomp.measurements import Arm

    return Arm({}, logits, {}, 1, {}, 1)
