"""The shipped recipe as the README runs it: what the project promises of it."""

import json
import shutil
import time
from pathlib import Path

import onnx
import pytest
from packing import holds
from running import Cli

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, float]:
    folder = tmp_path_factory.mktemp("digits") / "run"
    begin = time.monotonic()
    done = cli("run", "digits", "--out", str(folder), "--json")
    seconds = time.monotonic() - begin
    if done.code == 3:  # the machine was too busy to tell: what a user is advised to do is done once
        assert cli("bench", str(folder)).code == 0
        done = cli("run", "digits", "--out", str(folder), "--json")
    assert done.code == 0, done.err
    return folder, done.json, seconds


def test_every_gate_passes_and_it_takes_about_a_minute(run: tuple[Path, dict, float]) -> None:
    _, summary, seconds = run
    assert summary["verdict"] == "PASS"
    assert {row["verdict"] for row in summary["gates"]} == {"PASS"}
    assert seconds < 150  # 90 s is the promise on two quiet cores; the machine of a test may be busy


def test_a_pack_of_it_holds(run: tuple[Path, dict, float]) -> None:
    holds(run[0])


def test_the_int8_students_are_within_a_point_of_the_fp32_student(run: tuple[Path, dict, float]) -> None:
    figures = json.loads((run[0] / "gate" / "verdict.json").read_text(encoding="utf-8"))["figures"]
    for target in ("onnxruntime-cpu", "openvino-cpu"):
        accuracy = {arm: figures[target][arm]["accuracy_pct"]["value"] for arm in figures[target]}
        assert accuracy["teacher"] > 97
        assert accuracy["student_int8"] >= accuracy["student_fp32"] - 1


def test_every_convolution_runs_in_integers_in_both_runtimes(run: tuple[Path, dict, float]) -> None:
    parity = {
        target: json.loads((run[0] / "parity" / target / "parity.json").read_text(encoding="utf-8"))
        for target in ("onnxruntime-cpu", "openvino-cpu")
    }
    layers = {
        target: [layer for layer in content["student_int8"]["layers"] if layer["macs"]]
        for target, content in parity.items()
    }
    assert [layer["type"] for layer in layers["onnxruntime-cpu"]] == ["QLinearConv"] * 9 + ["QGemm"]
    convolutions = [layer for layer in layers["openvino-cpu"] if layer["type"] == "Convolution"]
    assert len(convolutions) == 9
    assert {layer["precision"] for layer in layers["openvino-cpu"]} == {"int8"}
    model = onnx.load(run[0] / "deploy" / "onnxruntime-cpu" / "model.onnx")
    stored = [item.data_type for item in model.graph.initializer if len(item.dims) >= 2]
    assert stored == [onnx.TensorProto.INT8] * 10


def test_a_new_process_trains_the_same_bytes(cli: Cli, run: tuple[Path, dict, float], tmp_path: Path) -> None:
    """That it exports the same bytes is seen on a smaller run, in test_kill.py."""
    folder = Path(shutil.copytree(run[0], tmp_path / "again"))
    before = {
        path: path.read_bytes()
        for room in ("distill", "quantize", "precision")
        for path in (folder / room).rglob("*.*")
    }
    assert cli("run", str(folder), "--only", "distill").code == 0
    assert {path: path.read_bytes() for path in before} == before
