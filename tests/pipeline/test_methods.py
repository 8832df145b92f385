"""Every way to int8 and beside it, through the whole pipeline on a small recipe."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import TINY, Cli

from edgecomp.benchmark import layer_speed
from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.layer_speed import Times
from edgecomp.config.job import load_job, on_this_machine
from edgecomp.pipeline.fingerprints import fingerprinted
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import measuring
from edgecomp.pipeline.stages.measuring import executed_in_integers
from edgecomp.progress import silent
from edgecomp.quantization import fused

pytestmark = pytest.mark.slow
ONE_TARGET = "targets=[openvino-cpu]"


def run(cli: Cli, folder: Path, *overrides: str) -> dict[str, Any]:
    """What the run's verdict says, its rows by name."""
    done = cli("run", "digits", *TINY, *overrides, "--out", str(folder), "--json")
    assert "verdict" in done.json, done.err
    assert done.code in (0, 1, 3), done.err
    assert "report" in (folder / "manifest.json").read_text(encoding="utf-8")
    assert json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))["verdict"]["gates"]
    verdict: dict[str, Any] = json.loads((folder / "gate" / "verdict.json").read_text(encoding="utf-8"))
    verdict["rows"] = {(row["target"], row["name"]): row for row in verdict["gates"]}
    verdict["ran"] = [line.split()[2] for line in done.err.splitlines() if " s " in line and "(" in line]
    return verdict


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def test_baselines_of_the_same_student_stand_beside_it_in_one_report(cli: Cli, folder: Path) -> None:
    pytest.importorskip("nncf", reason="needs the extra `nncf`")
    verdict = run(cli, folder, "quantize.baselines=[ptq-ort,ptq-nncf]")
    assert not {"teacher", "distill", "quantize", "precision"} & set(verdict["ran"])
    report = (folder / "report" / "report.html").read_text(encoding="utf-8")
    for target in ("onnxruntime-cpu", "openvino-cpu"):
        figures = verdict["figures"][target]
        assert set(figures) == {"teacher", "student_fp32", "student_int8", "ptq_ort", "ptq_nncf"}
        for arm in ("student_int8", "ptq_ort", "ptq_nncf"):
            assert figures[arm]["int8_share_pct"]["value"] > 99
            assert (
                figures[arm]["parameter_bytes"]["value"]
                < 0.4 * figures["student_fp32"]["parameter_bytes"]["value"]
            )
    assert "ONNX Runtime&#39;s PTQ" in report or "ONNX Runtime's PTQ" in report


@pytest.mark.parametrize("rate", [4e-4, 10.0], ids=["trained well", "trained badly"])
def test_each_target_gets_the_better_of_trained_and_not(cli: Cli, folder: Path, rate: float) -> None:
    """Judged by that very file, held against what its own arm is held against; a training that spoils the student costs nothing."""
    only = [
        "quantize.ptq_minutes=0.001",
        f"quantize.learning_rate={rate}",
        "distill.loop.alarms={stuck_loss: warn, exploding_gradient: warn, collapsed_divergence: warn}",
    ]
    verdict = run(cli, folder, "quantize.method=best", *only)
    assert not {"teacher", "distill"} & set(verdict["ran"])
    for target, name in (("onnxruntime-cpu", "model.onnx"), ("openvino-cpu", "model.bin")):
        assert set(verdict["figures"][target]) == {"teacher", "student_fp32", "best"}
        told = json.loads((folder / "best" / target / "best.json").read_text(encoding="utf-8"))
        scores = {one["name"]: one["validation_score_pct"] for one in told["scores"]}
        assert list(scores) == ["ptq_best", "student_int8"]
        wins = scores["student_int8"] is not None and scores["student_int8"] > scores["ptq_best"]
        assert told["chosen"] == ("student_int8" if wins else "ptq_best")
        if rate > 1:
            assert not wins
        onnx = (
            "export/onnx/student_int8.onnx"
            if name.endswith("onnx")
            else f"export/openvino/student_int8/{name}"
        )
        made = folder / (onnx if wins else f"ptq/{target}/{name}")
        assert (folder / "deploy" / target / name).read_bytes() == made.read_bytes()
        assert verdict["rows"][target, "export_agreement_pct"]["estimate"]["value"] > 98
        assert (target, "export_block_sqnr_db") not in verdict["rows"]
        assert verdict["rows"][target, "parameter_bytes"]["verdict"] == "PASS"
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert (
        "the better of that and of the student that was trained through its integers is what is judged"
        in page
    )


def test_a_post_training_method_is_judged_in_place_of_the_trained_one(cli: Cli, folder: Path) -> None:
    """Its health as well, with the fp32 student's attacks: there is no network of it to follow the gradients of."""
    pytest.importorskip("art", reason="pip install 'edgecomp[health]'")
    attacked = "+health={examples: 60, attacks: {fgsm: {strength: 0.1}}}"
    verdict = run(
        cli, folder, ONE_TARGET, "quantize.method=ptq-ort", "quantize.calibration=percentile", attacked
    )
    with np.load(folder / "attacks" / "fgsm.npz") as made:
        assert set(made) == {"teacher", "student_fp32"}
    assert ("openvino-cpu", "attacks_withstood_pct") in verdict["rows"]
    for figures in verdict["figures"]["openvino-cpu"].values():
        assert "adversarial_accuracy_pct" in figures
    assert not {"distill", "quantize", "precision"} & set(verdict["ran"])
    rows = verdict["rows"]
    assert rows["openvino-cpu", "export_sqnr_db"]["verdict"] == "PASS"
    assert rows["openvino-cpu", "int8_share_pct"]["verdict"] == "PASS"
    assert ("openvino-cpu", "export_block_sqnr_db") not in rows
    assert any("export_block_sqnr_db taken out" in change for change in verdict["policy"]["changes"])


def test_a_student_that_is_not_quantised_is_deployed_in_fp32(cli: Cli, folder: Path) -> None:
    shutil.rmtree(folder / "deploy")  # of a student in integers: a run's first deploys after it compares
    verdict = run(cli, folder, ONE_TARGET, "quantize.method=none")
    assert set(verdict["figures"]["openvino-cpu"]) == {"teacher", "student_fp32"}
    assert verdict["rows"]["openvino-cpu", "export_agreement_pct"]["estimate"]["value"] == 100
    assert any("int8_share_pct taken out" in change for change in verdict["policy"]["changes"])
    exported = folder / "export" / "openvino" / "student_fp32" / "model.bin"
    assert (folder / "deploy" / "openvino-cpu" / "model.bin").read_bytes() == exported.read_bytes()


def test_layers_in_float_are_listed_with_their_reason_and_cost_and_do_not_count(
    cli: Cli, folder: Path
) -> None:
    verdict = run(cli, folder, ONE_TARGET, "quantize.float_layers={head: the last one}")
    share = verdict["rows"]["openvino-cpu", "int8_share_pct"]
    assert (share["estimate"]["value"], share["verdict"]) == (100, "PASS")
    report = json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))
    (layer,) = report["float_layers"]
    assert (layer["layer"], layer["reason"]) == ("head", "the last one")
    assert isinstance(layer["cost_ms"]["openvino-cpu"], float)


def test_the_costliest_layers_go_to_float_until_the_drop_is_within_the_limit(cli: Cli, folder: Path) -> None:
    ternary = ["quantize.weight_bits=2", "quantize.simulate=true", "distill.epochs=6", "quantize.epochs=1"]
    done = cli("run", "digits", *TINY, ONE_TARGET, *ternary, "--until", "export", "--out", str(folder))
    assert done.code == 0, done.err
    all_in_integers = (folder / "export" / "openvino" / "student_int8" / "model.bin").stat().st_size
    chosen = json.loads((folder / "precision" / "precision.json").read_text(encoding="utf-8"))
    assert chosen["float_layers"] == {}
    drop = chosen["fp32_accuracy_pct"] - chosen["int8"]["accuracy_pct"]
    assert drop > 2, "ternary weights after one epoch lose something to win back"
    after = run(cli, folder, ONE_TARGET, *ternary, f"quantize.max_drop={0.6 * drop:.2f} pt")
    assert not {"distill", "quantize"} & set(after["ran"])
    chosen = json.loads((folder / "precision" / "precision.json").read_text(encoding="utf-8"))
    assert chosen["reached"]
    assert chosen["float_layers"]
    assert chosen["fp32_accuracy_pct"] - chosen["accuracy_pct"] <= 0.6 * drop + 0.01
    assert after["rows"]["openvino-cpu", "int8_share_pct"]["verdict"] == "PASS"
    assert (folder / "export" / "openvino" / "student_int8" / "model.bin").stat().st_size > all_in_integers


def test_a_post_training_method_leaves_the_costliest_layers_in_float_and_trains_nothing(
    cli: Cli, folder: Path
) -> None:
    clipped = ["quantize.method=ptq-ort", "quantize.calibration=percentile", "quantize.percentile=60"]
    none = [*clipped, "quantize.max_drop=0 pt", "--until", "export", "--out", str(folder)]
    done = cli("run", "digits", *TINY, ONE_TARGET, *none)
    assert done.code == 0, done.err
    tried = json.loads((folder / "precision" / "precision.json").read_text(encoding="utf-8"))
    assert not tried[
        "reached"
    ]  # so much is clipped that more than half of the layers would have to be in float
    assert tried["float_layers"] == {}
    best = max(score for count, score in tried["tried"].items() if int(count))
    assert best > tried["tried"]["0"]
    drop = tried["fp32_accuracy_pct"] - best + 0.01
    after = run(cli, folder, ONE_TARGET, *clipped, f"quantize.max_drop={drop:.2f} pt")
    assert not {"distill", "quantize"} & set(after["ran"])
    chosen = json.loads((folder / "precision" / "precision.json").read_text(encoding="utf-8"))
    assert chosen["reached"]
    assert 0 < len(chosen["float_layers"]) <= len(chosen["sensitivities"]) // 2
    report = json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))
    assert [one["layer"] for one in report["float_layers"]] == list(chosen["float_layers"])
    share = after["rows"]["openvino-cpu", "int8_share_pct"]
    assert (share["estimate"]["value"], share["verdict"]) == (100, "PASS")  # of those that are meant to be


def test_a_teacher_that_is_taken_as_it_is_has_no_loss_to_draw_and_a_report_all_the_same(
    cli: Cli, tmp_path: Path
) -> None:
    verdict = run(cli, tmp_path / "run", ONE_TARGET, "teacher.epochs=0", "quantize.method=none")
    assert "report" in verdict["ran"]
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text(encoding="utf-8"))
    assert [set(epoch) for epoch in report["history"]["teacher"]] == [{"validation_score_pct"}]


@pytest.mark.skipif(not any(map(shutil.which, fused.COMPILERS)), reason="needs a C++ compiler")
def test_hints_bf16_a_fused_kernel_and_another_calibration_end_in_int8_all_the_same(
    cli: Cli, folder: Path
) -> None:
    hints = "distill.hidden=[{student: layers.1, teacher: layers.1, weight: 0.5}]"
    verdict = run(
        cli,
        folder,
        "targets=[onnxruntime-cpu]",
        hints,
        "precision=bf16",
        "quantize.calibration=mse",
        "quantize.kernel=fused",
    )
    for row in ("export_sqnr_db", "export_block_sqnr_db", "int8_share_pct"):
        found = verdict["rows"]["onnxruntime-cpu", row]
        assert found["verdict"] == "PASS", found["sentence"]
    parity = json.loads((folder / "parity" / "onnxruntime-cpu" / "parity.json").read_text(encoding="utf-8"))
    as_written = parity["student_int8"]["agreeing_unoptimised"] / parity["student_int8"]["examples"]
    assert (
        as_written >= 0.99
    )  # hardly trained, one logit in a hundred is within 0.7 % of a deviation of the next


def test_a_float_layer_that_is_not_there_is_refused_with_those_that_are(cli: Cli, folder: Path) -> None:
    done = cli("run", "digits", *TINY, "quantize.float_layers={hed: why}", "--out", str(folder))
    assert done.code == 2
    assert "no layer 'hed'; did you mean 'head'?" in " ".join(done.err.split())


def test_layers_are_left_in_float_by_speed_with_what_they_take(cli: Cli, folder: Path) -> None:
    verdict = run(cli, folder, "quantize.precision_by=speed", "bench.warmup=3")
    assert {"speed", "quantize", "precision"} <= set(verdict["ran"])
    assert "distill" not in verdict["ran"]
    found = json.loads((folder / "speed" / "speed.json").read_text(encoding="utf-8"))
    assert {name: one["int8"] > 0 for name, one in found["over_fp32"].items()} == {
        "onnxruntime-cpu": True,
        "openvino-cpu": True,
    }
    report = json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))
    told = {one["layer"]: one["reason"] for one in report["float_layers"]}
    assert told == found["float_layers"]
    assert all("µs an inference against" in reason for reason in told.values())


@pytest.mark.parametrize(
    ("int8", "chosen", "left"),
    [
        ({"onnxruntime-cpu": 1.5, "openvino-cpu": 0.5}, {"onnxruntime-cpu": 0.9}, {"layers.0.conv1", "head"}),
        (
            {"onnxruntime-cpu": 1.5, "openvino-cpu": 1.4},
            {"onnxruntime-cpu": 1.4, "openvino-cpu": 1.0},
            {"head"},
        ),
        ({"onnxruntime-cpu": 1.5, "openvino-cpu": 1.4}, {"onnxruntime-cpu": 1.4, "openvino-cpu": 1.3}, set()),
        ({"onnxruntime-cpu": 0.9, "openvino-cpu": 0.5}, {}, set()),
    ],
    ids=["one loses", "worth it on one of two", "worth it on none", "none loses"],
)
def test_only_what_is_worth_it_on_a_target_that_loses_is_left_in_float(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    int8: dict[str, float],
    chosen: dict[str, float],
    left: set[str],
) -> None:
    job = load_job("digits", [*TINY, "targets=[onnxruntime-cpu,openvino-cpu]", "quantize.precision_by=speed"])
    made_run = Run(fingerprinted(on_this_machine(job)), folder, lambda items, *_: iter(items))

    def told(files: dict[str, Path], place: Place, asked: Path) -> dict[str, float]:
        assert all(file.is_file() for file in files.values())
        return {"int8": int8[place.runtime]} | (
            {"chosen": chosen[place.runtime]} if "chosen" in files else {}
        )

    slow = {"onnxruntime-cpu": ["layers.0.conv1", "head"], "openvino-cpu": ["head"]}
    monkeypatch.setattr(layer_speed, "over_fp32", told)
    monkeypatch.setattr(
        layer_speed,
        "slower_in_integers",
        lambda files, place, *_: dict.fromkeys(slow[place.runtime], Times(3.0, 2.0)),
    )
    (tmp_path / "out").mkdir()
    measuring.speed(made_run, tmp_path / "out", tmp_path)
    found = json.loads((tmp_path / "out" / "speed.json").read_text(encoding="utf-8"))
    assert set(found["float_layers"]) == left
    assert set(found["over_fp32"]) == {"onnxruntime-cpu", "openvino-cpu"}


def test_a_gpu_s_target_is_not_timed_on_the_cpu() -> None:
    job = load_job("digits", [*TINY, "targets=[tensorrt]", "quantize.precision_by=speed"])
    assert executed_in_integers(Run(job, Path(), silent)) == []
