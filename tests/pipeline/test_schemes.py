"""Targets of several quantisation schemes in one run."""

import json
import shutil
from pathlib import Path

import pytest
from running import TINY, Cli

from edgecomp.machine import gpus, host_isa, saturates
from edgecomp.metrics.registry import METRICS

pytestmark = pytest.mark.slow
NARROW, WIDE, GPU, IN_FLOAT = "onnxruntime-cpu", "onnxruntime-armv8.2", "tensorrt", "torch-gpu"
LINEAR = "torch-gpu-int8"
TARGETS = f"targets=[{NARROW},{WIDE},{GPU},{IN_FLOAT},{LINEAR}]"
BASELINES = "quantize.baselines=[ptq-ort]"


def weights(folder: Path, scheme: str = "") -> bytes:
    return (folder / scheme / "quantize" / "student_int8.safetensors").read_bytes()


@pytest.fixture(scope="module")
def two(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schemes") / "run"
    done = cli("run", "digits", *TINY, TARGETS, BASELINES, "--out", str(folder), "--json")
    assert done.code in (1, 3), done.err
    (folder / "told.txt").write_text(done.out + done.err, encoding="utf-8")
    return folder


def test_each_scheme_gives_the_very_student_of_a_run_of_its_own(two: Path, cli: Cli, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(two, tmp_path / "alone"))
    only = (f"targets=[{WIDE}]", BASELINES, "--until", "export")
    done = cli("run", "digits", *TINY, *only, "--out", str(alone), "--json")
    assert done.code == 0, done.err
    assert "distill (" not in done.err  # the fp32 student is shared
    assert weights(alone) == weights(two, "cpu-u8") != weights(two)
    assert weights(two, "gpu-s8") not in (weights(two), weights(two, "cpu-u8"))
    for name in ("student_int8.onnx", "ptq_ort.onnx"):
        own, together = (alone / "export" / "onnx" / name), (two / "cpu-u8" / "export" / "onnx" / name)
        assert own.read_bytes() == together.read_bytes()
    assert not (two / "cpu-u8" / "export" / "onnx" / "teacher.onnx").exists()


def test_every_target_is_sent_and_held_against_the_student_of_its_scheme(two: Path) -> None:
    for target, scheme in ((NARROW, ""), (WIDE, "cpu-u8"), (GPU, "gpu-s8")):
        exported = two / scheme / "export" / "onnx" / "student_int8.onnx"
        assert (two / "deploy" / target / "model.onnx").read_bytes() == exported.read_bytes()
    in_float = two / "pytorch" / "student_fp32.pt2"
    assert (two / "deploy" / IN_FLOAT / "model.pt2").read_bytes() == in_float.read_bytes()
    in_integers = two / "gpu-s8" / "pytorch" / "student_int8.pt2"
    assert (two / "deploy" / LINEAR / "model.pt2").read_bytes() == in_integers.read_bytes()
    parity = json.loads((two / "parity" / LINEAR / "parity.json").read_text(encoding="utf-8"))
    assert "ptq_ort" not in parity  # no tool writes PyTorch's files
    assert min(parity["student_int8"]["blocks"].values()) > 20
    for target in (NARROW, WIDE, GPU):
        parity = json.loads((two / "parity" / target / "parity.json").read_text(encoding="utf-8"))
        own_cpu_saturates = target == WIDE and saturates(host_isa())  # as an Arm CPU does not
        agreeing = "agreeing_unoptimised" if own_cpu_saturates else "agreeing"
        assert parity["student_int8"][agreeing] >= 0.97 * parity["student_int8"]["examples"]
        assert parity["ptq_ort"]["examples"] == parity["student_int8"]["examples"]


def test_a_report_says_each_schemes_student(two: Path, cli: Cli) -> None:
    page = (two / "report" / "report.html").read_text(encoding="utf-8")
    for scheme in ("cpu-u8-narrow", "cpu-u8", "gpu-s8"):
        assert scheme in page
    again = cli("run", "digits", *TINY, TARGETS, BASELINES, "--out", str(two), "--plan")
    assert "parity/tensorrt" in again.out  # which is not run without a GPU, and tried again
    assert "quantize" not in again.out


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU here")
@pytest.mark.parametrize(
    ("target", "by"),
    [
        (GPU, "ONNX Runtime with its optimisations off"),
        (IN_FLOAT, "PyTorch, eager"),
        (LINEAR, "PyTorch, eager"),
    ],
)
def test_of_a_gpu_target_without_a_gpu_answers_are_judged_and_nothing_else_is(
    two: Path, target: str, by: str
) -> None:
    verdict = json.loads((two / "gate" / "verdict.json").read_text(encoding="utf-8"))
    checks = {check["name"]: check for check in verdict["gates"] if check["target"] == target}
    said = f"executed on this CPU by {by}; the GPU did not run"
    for check in checks.values():
        if METRICS[check["metric"]].is_of_the_device:
            assert (check["verdict"], check["reason"]) == ("INCONCLUSIVE", "not_run")
            assert "no GPU here" in check["sentence"]
        else:
            assert check["reason"] != "not_run", check["sentence"]
            assert METRICS[check["metric"]].source == "file" or said in check["sentence"]
    for name in ("export_agreement_pct", "export_error_pct"):  # nothing is rounded otherwise than in training
        assert checks[name]["verdict"] == "PASS", checks[name]["sentence"]
    assert ("int8_share_pct" in checks) == (target != IN_FLOAT)
    assert "macro_f1_pct" in verdict["figures"][target]["teacher"]
    assert "latency_p50_ms" not in verdict["figures"][target]["teacher"]
    for place in ("report/report.html", "report/report.md", "told.txt"):
        assert said in " ".join((two / place).read_text(encoding="utf-8").split()), place
    assert (two / "parity" / target / "not-run.txt").is_file()
    assert (two / "bench" / target / "not-run.txt").is_file()
