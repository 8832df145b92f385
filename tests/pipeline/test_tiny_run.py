"""The whole job on a small recipe: what runs, what does not run again, and what it leaves."""

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from running import TINY, Cli

from edgecomp import machine
from edgecomp.config.job import read_job
from edgecomp.gate.document import read
from edgecomp.pipeline.epoch_time import measure
from edgecomp.pipeline.loaders import Run
from edgecomp.progress import silent
from edgecomp.report.evidence import Splits
from edgecomp.report.stage import write_report

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def steps_run(err: str) -> list[str]:
    return [line.split()[2] for line in err.splitlines() if " s " in line and "(" in line]


ON_ONE_CORE = """
import os, sys
from pathlib import Path

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import torch
from edgecomp.config.job import load_job
from edgecomp.pipeline.loaders import Run, fresh_network
from edgecomp.progress import silent

job = load_job("digits", sys.argv[2:])
fresh_network(Run(job, Path(sys.argv[1]), silent), job.recipe.student)
print(job.recipe.threads, torch.get_num_threads())
"""


def test_training_takes_no_more_threads_than_it_has_cores(folder: Path) -> None:
    command = [sys.executable, "-c", ON_ONE_CORE, str(folder), *TINY, "threads=2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["2", "1"], done.stderr


def test_what_ships_gives_the_same_answers_on_other_cpus(folder: Path) -> None:
    verdict = json.loads((folder / "gate" / "verdict.json").read_text(encoding="utf-8"))
    rows = [row for row in verdict["gates"] if row["name"] == "portable_agreement_pct"]
    assert [row["verdict"] for row in rows] == ["PASS", "PASS"]
    for target in ("onnxruntime-cpu", "openvino-cpu"):
        found = json.loads((folder / "portable" / target / "portable.json").read_text(encoding="utf-8"))
        assert found["why"] == ""
        assert len(found["layers"]) == 10
        assert max(layer["largest_pair"] for layer in found["layers"]) <= 126
        assert found["host"] == machine.host_isa()
        for one in found["executed"].values():
            assert one["how"]
            assert not one["run"] or one["agreeing"] >= 0.97 * one["examples"]
    report = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "none of 10 layers can saturate on any CPU" in report
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    assert job["host"] == {"isa": machine.host_isa(), "precision": "fp32"}


def test_what_another_machine_measured_can_be_judged_here(cli: Cli, folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for record in manifest["steps"].values():
        record["made_from"] |= {key: "another" for key in ("cpu", "numpy") if key in record["made_from"]}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    before = json.loads((folder / "gate" / "verdict.json").read_text(encoding="utf-8"))
    judged = cli("run", str(folder), "--only", "gate")
    assert judged.code == before["exit_code"], judged.err
    planned = cli("run", "digits", *TINY, "--out", str(folder), "--plan")
    assert "changed: " in planned.out


def test_one_restart_bounds_nothing_so_the_verdict_is_not_pass(cli: Cli, folder: Path) -> None:
    done = cli("run", "digits", *TINY, "--out", str(folder), "--json")
    rows = {(row["target"], row["name"]): row for row in done.json["gates"]}
    assert rows["openvino-cpu", "latency_p50_ms"]["verdict"] == "INCONCLUSIVE"
    assert rows["openvino-cpu", "latency_p50_ms"]["reason"] == "too_few_samples"
    assert rows["openvino-cpu", "int8_share_pct"]["verdict"] == "PASS"
    assert done.json["verdict"] != "PASS"
    assert done.json["exit_code"] == done.code != 0


def test_the_last_line_is_json_and_everything_else_is_on_standard_error(cli: Cli, folder: Path) -> None:
    done = cli("run", "digits", *TINY, "--out", str(folder), "--json")
    assert len(done.out.splitlines()) == 1
    assert set(done.json) == {
        "verdict",
        "unwaived",
        "exit_code",
        "quick",
        "gates",
        "policy",
        "stand_ins",
        "artifacts",
        "report",
        "data",
    }
    wanted = {"target", "metric", "estimate", "interval", "limit", "verdict", "reason"}
    assert all(wanted <= set(row) for row in done.json["gates"])
    assert Path(done.json["report"]).is_file()
    assert all(Path(path).is_file() for path in done.json["artifacts"].values())
    assert "onnxruntime-cpu" in done.err


def test_on_github_the_log_is_annotated_and_the_jobs_page_has_a_table(
    cli: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    done = cli("run", "digits", *TINY, "--out", str(folder), "--json")
    assert any(line.startswith("::error title=INCONCLUSIVE%3A ") for line in done.err.splitlines())
    assert len(done.out.splitlines()) == 1
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").startswith("### edgecomp digits: ")
    metrics = (folder / "report" / "metrics.txt").read_text(encoding="utf-8")
    assert 'edgecomp_latency_p50_ms{target="openvino-cpu"}' in metrics


def test_a_second_identical_run_does_nothing_but_print_the_verdict(cli: Cli, folder: Path) -> None:
    before = {
        path: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.suffix in (".npz", ".onnx", ".html")
    }
    done = cli("run", "digits", *TINY, "--out", str(folder))
    assert steps_run(done.err) == []
    assert "macro_f1_pct" in done.out
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_changed_threshold_judges_and_reports_again_and_nothing_else(cli: Cli, folder: Path) -> None:
    lenient = "thresholds.macro_f1_pct.margin=99 pt"
    planned = cli("run", "digits", *TINY, lenient, "--out", str(folder), "--plan")
    assert [line.split()[0] for line in planned.out.splitlines()[:-1]] == ["gate", "report"]
    done = cli("run", "digits", *TINY, lenient, "--out", str(folder), "--json")
    assert steps_run(done.err) == ["gate", "report"]
    rows = {row["name"]: row for row in done.json["gates"] if row["target"] == "openvino-cpu"}
    assert rows["macro_f1_pct"]["verdict"] == "PASS"


def test_a_failing_threshold_is_exit_code_1_and_says_what_to_try(cli: Cli, folder: Path) -> None:
    changes = ["thresholds.parameter_bytes.max=0.001 x", "thresholds.macro_f1_pct=null"]
    done = cli("run", "digits", *TINY, *changes, "--out", str(folder))
    assert done.code == 1
    assert "FAIL" in done.out
    assert "try a smaller student" in " ".join(done.out.split())
    assert "macro_f1_pct taken out" in " ".join(done.out.split())
    for report in ("report.html", "report.md", "junit.xml"):
        assert "macro_f1_pct taken out" in (folder / "report" / report).read_text(encoding="utf-8")


def test_a_target_taken_out_is_not_judged_and_put_back_is_not_measured_again(cli: Cli, folder: Path) -> None:
    done = cli("run", "digits", *TINY, "targets=[openvino-cpu]", "--out", str(folder), "--json")
    assert {row["target"] for row in done.json["gates"]} == {"openvino-cpu"}
    assert steps_run(done.err) == ["gate", "report"]
    assert "onnxruntime-cpu" not in (folder / "report" / "report.md").read_text(encoding="utf-8")
    again = cli("run", "digits", *TINY, "--out", str(folder))
    assert steps_run(again.err) == ["gate", "report"]


@pytest.mark.parametrize(
    ("damaged", "remade"),
    [
        ("quantize/student_int8.safetensors", ["quantize"]),
        ("soft_labels/soft_labels.h5", ["soft_labels"]),
        ("deploy/openvino-cpu/model.bin", ["deploy/openvino-cpu"]),
        ("gate/verdict.json", ["gate"]),
    ],
)
def test_a_corrupted_artifact_is_named_and_made_again_to_the_same_bytes(
    cli: Cli, folder: Path, damaged: str, remade: list[str]
) -> None:
    file = folder / damaged
    original = file.read_bytes()
    file.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    done = cli("run", "digits", *TINY, "--out", str(folder))
    assert steps_run(done.err) == remade
    assert f"{damaged} is not what was written" in done.err
    assert file.read_bytes() == original


def test_stages_run_alone_and_refuse_stale_inputs(cli: Cli, folder: Path) -> None:
    done = cli("run", str(folder), "--only", "gate", "--json")
    assert steps_run(done.err) == ["gate", "report"]
    assert done.code == done.json["exit_code"]
    assert cli("report", str(folder)).code == done.code
    (folder / "bench" / "openvino-cpu" / "samples.npz").unlink()
    stale = cli("run", str(folder), "--only", "gate")
    assert stale.code == 2
    assert "gate needs bench/openvino-cpu (bench/openvino-cpu/samples.npz is missing)" in stale.err


def test_a_verdict_that_is_given_again_is_the_reports_as_well(cli: Cli, folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    job["rows"]["openvino-cpu"] = {"size": {"metric": "parameter_bytes", "max": "1 B"}}
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    done = cli("run", str(folder), "--only", "gate", "--json")
    assert (done.json["verdict"], done.code) == ("FAIL", 1), done.err
    assert (folder / "report" / "report.md").read_text(encoding="utf-8").startswith("# FAIL: digits")
    assert "1 B" in (folder / "report" / "junit.xml").read_text(encoding="utf-8")
    metrics = (folder / "report" / "metrics.txt").read_text(encoding="utf-8")
    assert 'edgecomp_gate_passed{target="openvino-cpu",row="size"} 0' in metrics


def test_what_is_deployed_is_whole_and_runs_without_edgecomp(folder: Path, tmp_path: Path) -> None:
    """Every import but the runtime and numpy is forbidden while the script runs."""
    for target, own in (("onnxruntime-cpu", "onnxruntime"), ("openvino-cpu", "openvino")):
        deployed = folder / "deploy" / target
        contract = json.loads((deployed / "contract.json").read_text(encoding="utf-8"))
        assert contract["inputs"][0]["shape"] == [None, 1, 16, 16]
        assert set(contract["versions"]) == {own}
        assert (deployed / "labels.txt").read_text(encoding="utf-8").split() == list("0123456789")
        lines = (deployed / "infer.py").read_text(encoding="utf-8").splitlines()
        assert len([line for line in lines if not line.startswith(('"', "import", "from"))]) <= 13
        guard = (
            "import runpy, sys\n"
            "class Guard:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name.split('.')[0] in {'edgecomp', 'torch', 'onnx', 'PIL', 'scipy'}:\n"
            "            raise ImportError(name)\n"
            "sys.meta_path.insert(0, Guard()); sys.argv = sys.argv[1:]\n"
            "runpy.run_path(sys.argv[0], run_name='__main__')\n"
        )
        script = [sys.executable, "-c", guard, str(deployed / "infer.py")]
        done = subprocess.run(script, capture_output=True, text=True, check=True, cwd=tmp_path)
        labels = done.stdout.split()
        assert len(labels) == 8
        assert set(labels) <= set("0123456789")


def test_the_report_is_one_self_contained_file_with_every_picture(folder: Path) -> None:
    html = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert html.count('role="img"') >= 26 + 2 * 6 + 7  # of checks, by target, and of training
    assert "http://" not in html.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    assert "src=" not in html.replace("-src=", "")
    for heading in (
        "Checks", "Latency", "Accuracy against latency and size", "Memory", "What is taken for what", "Changed answers", "Training", "Precision, layer by layer", "All figures",
        "What each runtime executes", "On other CPUs", "As sure as right?", "Provenance",
    ):  # fmt: skip
        assert f"<h2>{heading}</h2>" in html
    suites = ET.parse(folder / "report" / "junit.xml").getroot()
    assert [len(suite) for suite in suites] == [13, 13]
    content = json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))
    assert "bench/openvino-cpu/samples.npz" in content["samples"]
    assert "| PASS | openvino-cpu |" in (folder / "report" / "report.md").read_text(encoding="utf-8")


def test_a_plan_tries_what_has_changed_and_nothing_else(cli: Cli, folder: Path) -> None:
    asked = ["run", "digits", *TINY, "--out", str(folder), "--plan"]
    refused = cli(*asked, "quantize.float_layers={hed: small}")
    assert refused.code == 2
    assert "the student has no layer 'hed'; did you mean 'head'" in refused.err
    unchanged = cli(*asked, "--json")
    assert (unchanged.code, unchanged.json["plan"]) == (0, {})


def test_the_report_says_what_the_splits_hold(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))["data"]
    assert content["examples"] == {"train": 987, "calibration": 90, "validation": 270, "test": 450}
    assert content["duplicates"]["test_in_training"] == 0
    html = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert (
        "train 987, calibration 90, validation 270, test 450 examples. No example is in two of them." in html
    )
    noted = Splits.model_validate(content | {"notes": ["3 of 9 <test> examples are duplicates"]})
    verdict = read(folder / "gate" / "verdict.json")
    for said in (None, noted):  # None: of a run that was made before they were counted
        monkeypatch.setattr("edgecomp.report.evidence.of_data", lambda _, said=said: said)
        write_report(run_folder=folder, job=read_job(folder), verdict=verdict, folder=tmp_path)
        for name in ("report.html", "report.md"):
            text = (tmp_path / name).read_text(encoding="utf-8")
            assert ("3 of 9 &lt;test" in text) is (said is not None)


def test_an_epoch_is_timed_by_a_few_of_its_steps(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    took = measure(Run(read_job(folder), folder, silent))
    assert 0 < took.training_s < 120
    assert took.seconds > took.evaluation_s > 0
    assert took.afterwards_s > took.layers * took.evaluation_s > 0
    assert sorted(folder.rglob("*")) == before  # nothing is kept of them
