"""No output is an input, lies in a run folder, or cannot be written, and every time ends: told before anything is measured."""

import math
import os
from pathlib import Path

import pytest

from edgecomp.artifacts.places import check_duration, check_outputs, check_writable
from edgecomp.artifacts.rerun import Step
from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.benchmark import standalone as bench
from edgecomp.comparison.command import Asked
from edgecomp.errors import UsageError


@pytest.mark.parametrize("seconds", [math.inf, math.nan, -math.inf, 0.0, -1.0, 1e12])
def test_a_time_that_does_not_end_is_told(seconds: float) -> None:
    with pytest.raises(UsageError, match=r"--minutes .*: write minutes, up to 43,200"):
        check_duration(60 * seconds, "--minutes", 60)
    with pytest.raises(UsageError, match=r"--max-time .*: write seconds, up to 2,592,000"):
        Asked(Path("a"), Path("b"), "t", max_time_s=seconds)
    with pytest.raises(UsageError, match="--max-time"):
        bench.Options(max_time_s=seconds)
    check_duration(60.0, "--minutes", 60)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("file/x/j.xml", "file is a file"),
        ("folder", "it is a folder"),
        ("/proc/x/j.xml", "/proc: No such file"),
        ("/dev/null", "it is a device or a pipe"),
        ("pipe", "it is a device or a pipe"),
    ],
)
def test_a_place_where_nothing_can_be_written_is_told(tmp_path: Path, path: str, words: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=rf"--junit {tmp_path / path} cannot be written: .*{words}"):
        check_writable(tmp_path / path, "--junit")


def test_asking_whether_a_place_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder" / "j.xml", "--junit")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["model.onnx", "sub/../model.onnx", "link.onnx", "hard.onnx", "far/model.onnx", "deployed/infer.py"],
)
def test_an_input_is_no_output_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    for folder in ("sub", "deployed"):
        (tmp_path / folder).mkdir()
    (tmp_path / "model.onnx").write_text("weights")
    (tmp_path / "deployed" / "infer.py").write_text("print()")
    (tmp_path / "link.onnx").symlink_to(tmp_path / "model.onnx")
    (tmp_path / "far").symlink_to(tmp_path)
    os.link(tmp_path / "model.onnx", tmp_path / "hard.onnx")
    with pytest.raises(UsageError, match=r"--junit .* would overwrite .*, which is read: name another place"):
        check_writable(tmp_path / name, "--junit", [tmp_path / "model.onnx", tmp_path / "deployed"])


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--metrics .* is what --junit names"):
        check_outputs(
            {"--junit": tmp_path / "a", "--out": None, "--metrics": tmp_path / "x" / ".." / "a"}, []
        )


def test_nothing_else_is_written_into_a_run_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.run(Step("gate", "gate", lambda out, _: None, {}), "r")
    with pytest.raises(
        UsageError, match=r"--plot .* lies in the run folder .*run, and nothing else is written there"
    ):
        check_writable(run.path / "gate" / "trend.svg", "--plot")
    check_writable(tmp_path / "trend.svg", "--plot")
