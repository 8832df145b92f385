"""Temporary files: named after their owner, and swept when that is dead, by whoever comes next."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from running import environment

from edgecomp.files import scratch
from edgecomp.files.scratch import replacing

TAKES = """
import os, signal, tempfile
from edgecomp.files.scratch import take_a_folder
take_a_folder()
open(tempfile.mkdtemp() + "/big", "w").close()
print(tempfile.gettempdir(), flush=True)
"""
KILLED = TAKES + "os.kill(os.getpid(), signal.SIGKILL)"


def taken(script: str, folder: Path) -> Path:
    """The folder of temporary files that a process had, which was started with `folder` for them."""
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment() | {"TMPDIR": str(folder)}
    )
    return Path(done.stdout.strip())


def dead_owner() -> str:
    process = subprocess.run([sys.executable, "-c", "from edgecomp.files.scratch import owner; print(owner())"],
                             capture_output=True, text=True, check=True, env=environment())  # fmt: skip
    return process.stdout.strip()


def test_a_process_takes_its_temporary_files_along(tmp_path: Path) -> None:
    assert taken(TAKES, tmp_path).parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_start(tmp_path: Path) -> None:
    left = taken(KILLED, tmp_path)
    assert list(left.rglob("big"))
    living = tmp_path / f"edgecomp-{scratch.owner()}-x"
    other = (
        tmp_path / f"edgecomp-{os.getpid() + 10**6}-7-{'0' * 8}-x"
    )  # of another container, where it may live
    for kept in (living, other, tmp_path / "edgecomp-history-x", tmp_path / f"else-{dead_owner()}"):
        kept.mkdir()
    (tmp_path / f"edgecomp-{dead_owner()}-link").symlink_to(living)
    before = {path.name for path in tmp_path.iterdir()}
    taken(TAKES, tmp_path)
    gone = before - {path.name for path in tmp_path.iterdir()}
    assert gone == {left.name, next(name for name in before if name.endswith("-link"))}
    assert living.is_dir()


def test_an_owner_is_dead_when_it_has_ended_whoever_has_its_number_now() -> None:
    process, started, realm = scratch.owner().split("-")
    assert not scratch.is_dead(scratch.owner())
    assert scratch.is_dead(dead_owner())
    assert scratch.is_dead(f"{process}-{int(started) - 1}-{realm}")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        name = f"{child.pid}-{scratch._started(child.pid)}-{realm}"
        assert not scratch.is_dead(name)
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert scratch.is_dead(name)  # a zombie


def test_a_file_that_was_half_written_goes_when_it_is_written_again(tmp_path: Path) -> None:
    left = [
        f".a.json.{dead_owner()}.tmp",
        f".a.json.{scratch.owner()[:-1]}x.tmp",
        f".b.json.{dead_owner()}.tmp",
    ]
    for name in left:
        (tmp_path / name).write_text("half")
    with replacing(tmp_path / "a.json") as temporary:
        temporary.write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", *left[1:]}


@pytest.mark.parametrize("name", ["é" * 120, "x" * 255])
def test_long_names_have_temporary_ones_too(tmp_path: Path, name: str) -> None:
    with replacing(tmp_path / name) as temporary:
        temporary.write_text("whole")
    assert (tmp_path / name).read_text() == "whole"


def test_a_folder_beside_is_renamed_or_gone(tmp_path: Path) -> None:
    with scratch.folder_beside(tmp_path / "deep" / "result") as folder:
        (folder / "file").touch()
        folder.rename(tmp_path / "deep" / "result")
    with scratch.folder_beside(tmp_path / "deep" / "other") as folder:
        (folder / "file").touch()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["result"]


def test_a_machine_without_room_for_temporary_files_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    before = tempfile.tempdir
    scratch.take_a_folder()
    assert tempfile.tempdir == before
