"""Steps that keep devices busy: of several devices at the same time, and what one of them raises."""

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgecomp.artifacts.rerun import Away, Step
from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.config.job import Job
from edgecomp.errors import EdgecompError, UsageError
from edgecomp.pipeline import execution
from edgecomp.progress import Stop

JOB = cast(Job, SimpleNamespace(recipe=SimpleNamespace(name="r")))


def step(name: str, do: Callable[[], Any], away: Away | None = None) -> Step:
    def make(out: Path, checkpoints: Path) -> None:
        do()
        (out / "file.txt").write_text(name, encoding="utf-8")

    return Step(name, "bench", make, {}, away=away)


def run(folder: RunFolder, *steps: Step) -> list[str]:
    with folder.locked():
        return execution.execute(JOB, folder, list(steps), lambda *_: None)


def made(folder: RunFolder) -> set[str]:
    manifest = RunFolder(folder.path).manifest()
    return set(manifest.steps) if manifest else set()


def test_devices_are_busy_at_once_and_this_machine_after_them(tmp_path: Path) -> None:
    stop, together, order = Stop(), threading.Barrier(2, timeout=10), list[str]()

    def at(name: str) -> Callable[[], None]:
        def do() -> None:
            together.wait()
            order.append(name)

        return do

    folder = RunFolder(tmp_path / "run")
    ran = run(
        folder,
        step("bench/a", at("away"), Away("a", stop)),
        step("bench/b", at("away"), Away("b", stop)),
        step("bench/here", lambda: order.append("here")),
    )
    assert sorted(ran) == ["bench/a", "bench/b", "bench/here"]
    assert order == ["away", "away", "here"]
    assert made(folder) == {"bench/a", "bench/b", "bench/here"}
    assert run(RunFolder(folder.path), step("bench/a", at("away"), Away("a", stop))) == []


def test_those_of_one_device_are_in_turn(tmp_path: Path) -> None:
    stop, busy = Stop(), threading.Lock()

    def alone() -> None:
        assert busy.acquire(blocking=False)
        busy.release()

    names = [f"bench/{number}" for number in range(4)]
    assert run(RunFolder(tmp_path / "run"), *(step(name, alone, Away("a", stop)) for name in names)) == names


@pytest.mark.parametrize("raised", [["bench/a"], ["bench/a", "bench/b"]])
def test_what_one_raises_is_told_when_the_others_have_ended(tmp_path: Path, raised: list[str]) -> None:
    stop, folder = Stop(), RunFolder(tmp_path / "run")

    def refuses(name: str) -> Callable[[], None]:
        def do() -> None:
            raise UsageError(f"{name}: its host key is not known")

        return do if name in raised else lambda: None

    names = ["bench/a", "bench/b", "bench/c"]
    with pytest.raises(EdgecompError) as told:
        run(
            folder,
            *(step(name, refuses(name), Away(name, stop)) for name in names),
            step("gate", lambda: None),
        )
    assert told.value.exit_code == 2
    assert all(f"{name}: its host key" in str(told.value) for name in raised)
    assert made(folder) == set(names) - set(raised)


def test_what_was_broken_off_is_no_result(tmp_path: Path) -> None:
    stop, folder = Stop(), RunFolder(tmp_path / "run")
    assert run(folder, step("bench/a", stop.tell, Away("a", stop))) == []
    assert made(folder) == set()
