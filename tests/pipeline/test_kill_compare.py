"""kill -9 at random moments of a comparison: the next one sweeps every file that was left, and no process is.

EDGECOMP_KILLS sets how many kills there are, in fives (1 in CI).
"""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from comparing import classifier, examples
from running import command, environment, left_running

pytestmark = pytest.mark.slow

KILLS = 5 * int(os.environ.get("EDGECOMP_KILLS", "1"))


def compared(folder: Path, kill_after_s: float | None = None) -> int:
    arguments = (
        "base.onnx",
        "new.onnx",
        "-t",
        "onnxruntime-cpu",
        "-d",
        "d.npz",
        "--junit",
        "out/j.xml",
        "--max-time",
        "1",
    )
    temporary = {"TMPDIR": str(folder / "temporary"), "EDGECOMP_HISTORY": str(folder / "h.sqlite")}
    process = subprocess.Popen(
        command("compare", *arguments),
        cwd=folder,
        env=environment() | temporary,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        process.send_signal(signal.SIGKILL)
    return process.wait()


def test_a_comparison_that_is_killed_leaves_nothing_behind_after_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    classifier(tmp_path / "base.onnx")
    classifier(tmp_path / "new.onnx", weights=np.eye(4) * 1.5)
    examples(tmp_path / "d.npz")
    began = time.monotonic()
    whole = compared(tmp_path)
    assert whole in (0, 3, 4)  # one second says little of a machine
    took_s = time.monotonic() - began
    chance = random.Random(0)
    killed = left = 0
    for _ in range(KILLS):
        killed += compared(tmp_path, chance.uniform(0.0, took_s)) == -signal.SIGKILL
        assert left_running(tmp_path) == []
        left += any((tmp_path / "temporary").iterdir())
    print(f"{killed} of {KILLS} killed, {left} with files left")
    assert killed >= KILLS // 2
    assert compared(tmp_path) in (0, 3, 4)
    assert left_running(tmp_path) == []
    assert list((tmp_path / "temporary").iterdir()) == []
    results = sorted((tmp_path / "runs" / "compare" / "new-onnxruntime-cpu").iterdir())
    assert len(results) >= 2
    for result in results:
        assert {"verdict.json", "samples.npz"} <= {path.name for path in result.iterdir()}, result
    everything = {path.name for path in tmp_path.rglob("*")} - {path.name for path in results}
    assert everything <= {
        "base.onnx", "new.onnx", "d.npz", "temporary", "runs", "compare", "new-onnxruntime-cpu", "verdict.json", "samples.npz", "answers.npz",
        "compare.html", "out", "j.xml", "h.sqlite",
    }  # fmt: skip
