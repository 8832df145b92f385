"""`edgecomp search` on the real digits, small: from a recipe to a student that fits, and on to its verdict; what is refused."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from running import TINY, Cli, command, environment

from edgecomp.shrink.candidates import OVER, TRAINED, load_all

pytest.importorskip("optuna", reason="pip install 'edgecomp[search]'")

SMALL = [
    *TINY,
    "threads=1",
    "teacher.arguments.width=16",
    "quantize.calibration_batches=2",
    "targets=[onnxruntime-cpu]",
    "+search.epochs=1",
    "+search.restarts=1",
]
SPACE = "+search.space={arguments.width: [2, 3, 16]}"


@pytest.mark.slow
def test_it_finds_a_student_goes_on_after_a_kill_and_runs_to_a_verdict(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    asked = ("search", "digits", *SMALL, SPACE, "--trials", "9", "--out", str(folder), "--json")
    killed = subprocess.Popen(
        command(*asked), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 180
    while not list(folder.glob("points/*/candidate.json")) or not list(folder.glob("points/*/work")):
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = {one.name for one in load_all(folder)}
    done = cli(*asked)
    assert done.code == 0, done.err
    assert "teacher (" not in done.err  # it is not trained again
    found = load_all(folder)
    assert before < {one.name for one in found}
    assert done.json["stopped"] == "every point was tried, 3 in all"
    assert len(found) == 3
    assert {one.became for one in found} == {
        TRAINED,
        OVER,
    }  # the wide one's parameters are too many beside the teacher's
    over = next(one for one in found if one.became == OVER)
    assert over.training_s == 0
    assert "parameter_bytes" in over.why
    trained = next(one for one in found if one.became == TRAINED)
    assert trained.cost is not None
    assert set(trained.cost.figures["onnxruntime-cpu"]) >= {
        "latency_p50_ms",
        "latency_p99_ms",
        "peak_memory_bytes",
    }
    front = json.loads((folder / "front.json").read_text(encoding="utf-8"))
    assert front["chosen"] == front["front"][-1]
    assert front["spent"]["measuring_s"] > 0
    assert front["spent"]["training_s"] > 0
    assert front["foretold"]["put_aside"] == 0  # there are too few to foretell anything from
    works = [one["cost"]["work"] for one in front["candidates"].values() if one["cost"]]
    assert works
    assert all(
        macs > 0
        for work in works
        for kind, (_, macs, _) in work.items()
        if "convolution" in kind or "linear" in kind
    )
    said = cli("run", done.json["recipe"], "--out", str(folder / "run"), "--json")
    assert said.code in (0, 1, 3), said.err
    assert "teacher (" not in said.err
    job = json.loads((folder / "run" / "job.json").read_text(encoding="utf-8"))
    chosen = done.json["chosen"]
    assert job["recipe"]["student"]["arguments"]["width"] == chosen["arguments.width"]
    rows = {row["name"]: row["verdict"] for row in said.json["gates"]}
    assert rows["parameter_bytes"] == "PASS"
    other = cli("search", "digits", *SMALL, SPACE, "seed=1", "--out", str(folder))
    assert other.code == 2
    assert "holds a search of another seed" in " ".join(other.err.split())


@pytest.mark.slow
def test_a_budget_that_no_point_keeps_is_found_before_any_training(cli: Cli, tmp_path: Path) -> None:
    asked = (*SMALL, SPACE, "thresholds.latency_p50_ms.max='1 us'", "--out", str(tmp_path / "none"))
    done = cli("search", "digits", *asked)
    assert done.code == 2
    said = " ".join(done.err.split())
    assert "no point of the space keeps the budget: the cheapest, width 2, was measured" in said
    assert "≤ 1 us" in said
    assert "training" not in said


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("-t", "onnxruntime-cpuu"), "did you mean 'onnxruntime-cpu'"),
        (("+search.space=resnt",), "did you mean 'resnet'"),
        (("+search.space={arguments.width: [8]}",), "one point in it, width 8"),
        (("+search.space={arguments.width: {low: 32, high: 8}}",), "upside down"),
        (("-t", "onnxruntime-avx2"), "whose times cannot be measured on this machine"),
        (
            ("-t", "pytorch-cpu", "quantize.method=none"),
            "candidates are measured in ONNX Runtime and OpenVINO",
        ),
        (("quantize.method=ptq-ort",), "take quantize.method=qad, or none"),
        (("--trials", "1"), "two at least"),
    ],
)
def test_what_cannot_be_searched_is_told_at_once(
    cli: Cli, tmp_path: Path, asked: tuple[str, ...], said: str
) -> None:
    done = cli("search", "digits", "ungated_targets=[]", *asked, "--out", str(tmp_path / "none"))
    assert done.code == 2
    assert said in " ".join(done.err.replace("│", " ").split())
    assert not (tmp_path / "none").exists()
