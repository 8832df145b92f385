"""kill -9 at random moments of every stage's work, and inside writes; then run again: the same bytes.

EDGECOMP_KILLS sets how many times each stage is killed (1 in CI, 3 or more for the full test).
"""

import hashlib
import json
import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import TINY, Cli, environment, left_running, warm

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("EDGECOMP_KILLS", "1"))
REPRODUCED = (".safetensors", ".onnx", ".xml", ".bin", ".h5", ".npy", ".json", ".pt2", ".ts", ".npz")
STEPS = (
    "data",
    "teacher",
    "soft_labels",
    "distill",
    "quantize",
    "precision",
    "export",
    "parity/openvino-cpu",
    "deploy/openvino-cpu",
    "bench/onnxruntime-cpu",
    "bench/openvino-cpu",
    "gate",
    "report",
)


def made(folder: Path) -> dict[str, str]:
    """Every file that the same seed must make again, byte for byte; measurements are not among them."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for room in (
            "data",
            "teacher",
            "soft_labels",
            "distill",
            "quantize",
            "precision",
            "export",
            "parity",
            "deploy",
        )
        for path in sorted((folder / room).rglob("*"))
        if path.suffix in REPRODUCED
    }


@pytest.fixture(scope="module")
def start() -> Iterator[Any]:
    """Runs in forks of a process of this module's own: some of them are killed."""
    with warm(environment()) as start:
        yield start


def run(start: Any, folder: Path, **killed: Any) -> int | None:
    """The exit code of a run that is to be killed somewhere."""
    said = folder.parent / "said"
    said.mkdir(exist_ok=True)
    env, to = environment() | temporary(folder), {"out": said / "out", "err": said / "err"}
    to["err"].unlink(missing_ok=True)
    return start(
        ["run", "digits", *TINY, "--out", str(folder)], cwd=said, env=env, timeout_s=None, **to, **killed
    )


def kill_in(step: str, start: Any, folder: Path, delay: float) -> bool:
    """Starts a run that must make `step`, and kills it `delay` seconds after that has begun; False if it got through.

    What an earlier kill came too late for is taken away, so that there is work to be killed in.
    """
    shutil.rmtree(folder / step, ignore_errors=True)
    return run(start, folder, kill=(f" s {step} (", delay)) == -signal.SIGKILL


def temporary(folder: Path) -> dict[str, str]:
    """Where the temporary files of a run of its own are."""
    place = folder.parent / "temporary"
    place.mkdir(exist_ok=True)
    return {"TMPDIR": str(place)}


@pytest.fixture(scope="module")
def killed(start: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """One run, killed KILLS times in each stage while it went on from where the last kill had left it."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    chance = random.Random(0)
    kills = {
        step: sum(kill_in(step, start, folder, chance.uniform(0.0, 0.35)) for _ in range(KILLS))
        for step in STEPS
    }
    return folder, kills


def test_a_run_killed_in_every_stage_ends_with_the_same_bytes_and_leaves_nothing(
    cli: Cli, killed: tuple[Path, dict[str, int]], tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, kills = killed
    monkeypatch.setenv("TMPDIR", temporary(folder)["TMPDIR"])
    assert left_running(folder) == []
    print(f"{sum(kills.values())} of {len(STEPS) * KILLS} killed")
    assert sum(kills.values()) >= len(STEPS) * KILLS - 2, f"too many runs ended before their kill: {kills}"
    done = cli("run", "digits", *TINY, "--out", str(folder), "--json")
    assert done.json["verdict"] in ("PASS", "FAIL", "INCONCLUSIVE")
    assert made(folder) == made(tiny_run)
    assert len(made(folder)) > 20
    left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert set(left) <= {".lock"}
    listed = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["steps"].values()
    known = {"job.json", "manifest.json", ".lock"}.union(*(record["outputs"] for record in listed))
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    log = {path for path in there if path == "training.csv" or path.startswith("tracked/")}  # of the training
    assert there - log == known
    assert list((folder.parent / "temporary").iterdir()) == []
    assert left_running(folder) == []


def test_a_run_killed_inside_its_writes_ends_with_the_same_bytes(
    cli: Cli, start: Any, tiny_run: Path, tmp_path: Path
) -> None:
    """Killed at growing numbers of writes until one run gets through."""
    folder = tmp_path / "run"
    chance = random.Random(1)
    deaths = 0
    for _ in range(60):
        if run(start, folder, dies=chance.randint(8, 48)) != -signal.SIGKILL:
            break
        deaths += 1
    assert 3 <= deaths < 60, "a step has more writes than a run may make before it is killed: none can end"
    assert cli("run", "digits", *TINY, "--out", str(folder), "--json").json["verdict"]
    assert made(folder) == made(tiny_run)
