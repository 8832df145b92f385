"""What a target's memory and a missing device do to a verdict."""

import json
import shutil
from pathlib import Path

import pytest
from running import TINY, Cli

from edgecomp.benchmark.hosts.confinement import MemoryLimit
from edgecomp.benchmark.hosts.process import py_spy
from edgecomp.machine import gpus
from edgecomp.metrics.registry import METRICS

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def profile(folder: Path, **settings: object) -> str:
    file = folder.parent / "small.yaml"
    file.write_text(
        json.dumps({"format": 1, "name": "small", "extends": "onnxruntime-cpu", **settings}), encoding="utf-8"
    )
    return str(file)


def test_a_student_over_its_targets_memory_fails_and_the_other_target_is_measured(
    cli: Cli, folder: Path
) -> None:
    with MemoryLimit(2**26) as limited:
        if not limited.certain:
            pytest.skip(f"no cgroup can be made here: {limited.why}")
    small = profile(folder, memory="16 MiB")
    done = cli("run", "digits", *TINY, f"targets=[{small},openvino-cpu]", "--out", str(folder), "--json")
    assert done.code == 1, done.err
    rows = {(row["target"], row["name"]): row for row in done.json["gates"]}
    dead = rows["small", "peak_memory_bytes"]
    assert (dead["verdict"], dead["reason"]) == ("FAIL", "budget_exceeded")
    assert rows["openvino-cpu", "peak_memory_bytes"]["estimate"] is not None
    verdict = json.loads((folder / "gate" / "verdict.json").read_text(encoding="utf-8"))
    sentence = next(row["sentence"] for row in verdict["gates"] if row["target"] == "small")
    assert "over the target's memory of 16.0 MiB (cgroup" in sentence
    assert "teacher" in verdict["figures"]["small"]  # what it is compared with need not fit
    assert "over the target&#39;s memory" in (folder / "report" / "report.html").read_text(encoding="utf-8")


def test_a_memory_that_suffices_is_kept_and_named(cli: Cli, folder: Path) -> None:
    small = profile(folder, memory="256 MiB", cores=1)
    cli("run", "digits", *TINY, f"targets=[{small}]", "--out", str(folder))
    facts = json.loads((folder / "bench" / "small" / "measurements.json").read_text(encoding="utf-8"))[
        "facts"
    ]
    assert facts["confinement"]["limit_bytes"] == 256 * 2**20
    assert facts["confinement"]["how"] != "measured only"
    assert len(facts["cores"]) == 1
    assert facts["quality"]["grade"] in "ABCD"
    assert facts["audit"]["student_int8"]["timed_error"] < 0.1
    report = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert f"memory 256.0 MiB by {facts['confinement']['how']}" in report


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU here")
def test_a_gpu_target_without_a_gpu_is_exported_and_never_a_pass(cli: Cli, folder: Path) -> None:
    done = cli(
        "run",
        "digits",
        *TINY,
        "targets=[tensorrt]",
        "ungated_targets=[torch-gpu]",
        "--out",
        str(folder),
        "--json",
    )
    assert done.code in (1, 3), done.err
    of_device = [row for row in done.json["gates"] if METRICS[row["metric"]].is_of_the_device]
    assert {row["verdict"] for row in of_device} == {"INCONCLUSIVE"}
    assert {row["reason"] for row in of_device} == {"not_run"}
    assert (folder / "deploy" / "tensorrt" / "model.onnx").is_file()
    report = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "no GPU here" in report


def test_more_cores_than_there_are_is_refused_before_anything_runs(cli: Cli, folder: Path) -> None:
    done = cli(
        "run", "digits", *TINY, f"targets=[{profile(folder, cores=999)}]", "--out", str(folder / "new")
    )
    assert done.code == 2
    assert "target small has 999 cores, this machine" in done.err
    assert not (folder / "new").exists()


def test_what_is_deployed_is_profiled_in_a_run_apart(cli: Cli, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "profile"
    done = cli("bench", str(folder), "-t", "onnxruntime-cpu", "--profile", "--restarts", "1", "--max-time", "2",
               "--out", str(out), "--json")  # fmt: skip
    assert done.code == 0, done.err
    content = json.loads((out / "bench.json").read_text(encoding="utf-8"))
    layers = content["profile"]["layers"]
    assert sum("QLinearConv" in layer["type"] for layer in layers) >= 6
    training = json.loads((out / "training.json").read_text(encoding="utf-8"))
    assert training["peak_bytes"] > training["parameters_bytes"]
    assert any("convolution" in one["name"] for one in training["operators"])
    assert (out / training["trace"]).is_file()
    page = (out / "bench.html").read_text(encoding="utf-8")
    assert "Where the time goes" in page
    assert "A training step" in page
    if py_spy() is None:
        assert "pip install py-spy" in page
    else:
        assert "<svg" in (out / "flame.svg").read_text(encoding="utf-8")
    assert not list(folder.glob("*.tmp"))
