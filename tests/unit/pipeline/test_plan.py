"""A plan refuses what a run would refuse before it trains, and leaves nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from running import TINY, Cli

from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.config.job import load_job, on_this_machine
from edgecomp.errors import CaptureError, DataError, EdgecompError, RuntimeOptionError, UsageError
from edgecomp.pipeline import execution, steps
from edgecomp.pipeline.loaders import Run
from edgecomp.progress import silent

Tried = Callable[..., list[str]]


@pytest.fixture
def tried(tmp_path: Path) -> Tried:
    """What is noted of a recipe that a plan tries out."""

    def notes(recipe: str, *overrides: str) -> list[str]:
        job = on_this_machine(load_job(recipe, [*overrides, "threads=1"]))
        heard: list[str] = []
        folder = RunFolder(tmp_path / "run")
        run = Run(job, folder.path, silent, heard.append)
        execution.try_out(run, folder, steps.steps(run))
        assert not folder.path.exists()
        return heard

    return notes


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["student.arguments.widht=3"], "network 'resnet' has no argument 'widht'; did you mean 'width'?"),
        (["student.network=mlp"], r"'mlp' has no argument 'blocks'.*`arguments: null` clears"),
        (["teacher.arguments.depth=3"], "teacher.network: network 'resnet' has no argument 'depth'"),
        (["student.network=teacher"], r"which to keep, and nothing else: arguments: \{layers: \[0, 2, 5\]\}"),
    ],
)
def test_arguments_that_a_network_does_not_have_are_refused_at_once(
    overrides: list[str], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        load_job("digits", overrides)


def test_arguments_of_a_factory_are_checked_by_its_signature(tmp_path: Path) -> None:
    (tmp_path / "signed.py").write_text(
        "def build(channels, classes, depth, width=8): ...\ndef anything(**given): ...\n", encoding="utf-8"
    )
    path = tmp_path / "mine.yaml"
    path.write_text(
        "defaults: [digits, _self_]\nname: mine\nstudent: { arguments: null }\n", encoding="utf-8"
    )
    student = "student.network=signed:"
    load_job(str(path), [f"{student}build", "student.arguments.depth=2"])
    load_job(str(path), [f"{student}anything", "student.arguments.whatever=2"])
    with pytest.raises(UsageError, match="'signed:build' needs its argument 'depth'"):
        load_job(str(path), [f"{student}build"])
    with pytest.raises(UsageError, match="no argument 'widht'; did you mean 'width'"):
        load_job(str(path), [f"{student}build", "student.arguments.widht=2"])


@pytest.mark.parametrize(
    ("override", "kind", "complaint"),
    [
        ("student.arguments.width=-3", UsageError, "argument 'width' is -3; write whole numbers"),
        ("quantize.float_layers={hed: small}", CaptureError, "no layer 'hed'; did you mean 'head'"),
        ("data.test_fraction=0.001", DataError, "raise data.test_fraction"),
        ("targets=[FOLDER/mine.yaml]", RuntimeOptionError, "has no option 'spining'"),
        ("distill.hidden=[{student: headd, teacher: head}]", EdgecompError, "headd"),
    ],
)
def test_what_can_be_tried_without_training_is_tried(
    override: str, kind: type[EdgecompError], complaint: str, tried: Tried, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(
        "extends: onnxruntime-cpu\nname: mine\noptions: { spining: false }\n", encoding="utf-8"
    )
    with pytest.raises(kind, match=complaint):
        tried("digits", "data.image_size=8", override.replace("FOLDER", str(tmp_path)))


def test_student_and_teacher_that_are_the_same_network_are_said_at_once(tried: Tried) -> None:
    assert tried("digits", "data.image_size=8") == []
    (note,) = tried("digits", "data.image_size=8", "student.arguments={blocks: 3}")
    assert "student and teacher are the same network, of 272,186 parameters" in note


def test_a_gpu_target_without_a_gpu_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    job = on_this_machine(load_job("digits", ["targets=[tensorrt]", "ungated_targets=[torch-gpu]"]))
    monkeypatch.setattr(execution, "gpus", lambda: ())
    heard: list[str] = []
    execution.check_machine(job, heard.append)
    assert [note.split(":")[0] for note in heard] == ["target tensorrt", "target torch-gpu"]
    assert "no GPU here" in heard[0]
    assert "INCONCLUSIVE" in heard[0]
    monkeypatch.setattr(execution, "gpus", lambda: ("nvidia0",))
    execution.check_machine(job, heard.append)
    assert len(heard) == 2


def test_a_plan_says_in_json_what_it_notes(cli: Cli, tmp_path: Path) -> None:
    same = ["student.arguments={blocks: 1, width: 8}", "data.image_size=8"]
    done = cli("run", "digits", *TINY, *same, "--plan", "--json", "--out", str(tmp_path / "run"))
    assert done.code == 0, done.err
    assert done.json["steps"] == len(done.json["plan"]) == 17
    assert "same network" in done.json["notes"][0]
    assert not (tmp_path / "run").exists()


def test_a_refused_run_leaves_no_folder_and_nobody_elses_file(cli: Cli, tmp_path: Path) -> None:
    np.savez(tmp_path / "n.npz", inputs=np.ones((50, 3), np.float32), label=np.zeros(50, np.int64))
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "defaults: [digits, _self_]\nname: mine\n"
        "data: { source: numpy, path: n.npz, image_size: null, shift: 0 }\n"
        "teacher: { network: mlp, arguments: null }\nstudent: { network: mlp, arguments: null }\n",
        encoding="utf-8",
    )
    before = sorted(tmp_path.rglob("*"))
    done = cli("run", str(recipe), "--out", str(tmp_path / "new" / "run"))
    assert done.code == 2
    assert "has one class" in done.err
    assert sorted(tmp_path.rglob("*")) == before
    mine = tmp_path / "was-there"
    mine.mkdir()
    assert cli("run", str(recipe), "--out", str(mine)).code == 2
    assert mine.is_dir()


def test_what_a_run_has_finished_is_not_forgotten(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.locked():
        (folder.path / "manifest.json").write_text(json.dumps({"format": 1}), encoding="utf-8")
        folder.forget()
        assert (folder.path / "manifest.json").is_file()
    with RunFolder(folder.path).locked():
        (folder.path / "manifest.json").unlink()
        RunFolder(folder.path).forget()
    assert folder.path.is_dir(), "it was there before"
    other = RunFolder(tmp_path / "a" / "b")
    with other.locked():
        (tmp_path / "a" / "notes.txt").write_text("mine", encoding="utf-8")
        other.forget()
    assert sorted(path.name for path in (tmp_path / "a").rglob("*")) == ["notes.txt"]
