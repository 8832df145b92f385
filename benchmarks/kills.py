"""Kills `run` and `compare` at random moments, and looks at what is left: bytes, processes and files.

    python benchmarks/kills.py run --kills 40
    python benchmarks/kills.py compare --kills 40

A run of the small recipe is killed, with SIGKILL, and started again until it gets through; then a fresh one, until there were so many
kills. Each must end with the bytes of one that was never killed. A comparison is started afresh each time. After the last start of
each, nothing of ours may be left: no process, no temporary file, neither in the folder nor in TMPDIR.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

TINY = [
    "data.image_size=16", "data.views=2", "teacher.arguments.blocks=1", "teacher.arguments.width=8", "teacher.epochs=2", "student.arguments.width=4",
    "distill.epochs=2", "quantize.epochs=2", "bench.restarts=1", "bench.warmup=2", "bench.iterations=16", "bench.offline_batches=2",
    "bench.emulated_examples=500", "beside=[]",
]  # fmt: skip
REPRODUCED = (
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("run", "compare"))
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        trial = Trial(Path(name))
        bad = (runs if asked.what == "run" else comparisons)(trial, asked.kills, random.Random(asked.seed))
    print(f"{trial.kills} kills, {bad} of them or of the starts after them left something wrong")
    sys.exit(1 if bad else 0)


class Trial:
    """A folder with a TMPDIR of its own, and everything that was started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.temporary, self.kills = folder, folder / "tmp", 0
        self.temporary.mkdir()
        self.mark = f"EDGECOMP_KILLS={uuid.uuid4().hex}"
        own = {
            "TMPDIR": str(self.temporary),
            "EDGECOMP_HISTORY": str(folder / "h.sqlite"),
            "GITHUB_ACTIONS": "",
        }
        self.environment = {**os.environ, **own, **dict([self.mark.split("=")])}

    def start(self, *arguments: str, kill_after_s: float | None = None) -> int:
        """The exit code; -9 where it was killed."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "edgecomp", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
            try:
                process.wait(kill_after_s)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                self.kills += 1
            return process.wait()

    def processes(self) -> list[str]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if (
                    self.mark.encode() in (folder / "environ").read_bytes()
                    and (folder / "stat").read_text().split()[2] != "Z"
                ):
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:120])
            except OSError:
                continue  # it has ended
        return found

    def left(self, within_s: float = 10.0) -> list[str]:
        """Processes that do not end soon, and temporary files."""
        end = time.monotonic() + within_s
        while (alive := self.processes()) and time.monotonic() < end:
            time.sleep(0.2)
        hidden = [path for path in self.folder.rglob(".*") if path.name not in (".lock", ".gitignore")]
        return [*alive, *(str(path) for path in [*self.temporary.iterdir(), *hidden])]


def runs(trial: Trial, kills: int, chance: random.Random) -> int:
    began = time.monotonic()
    trial.start("run", "digits", *TINY, "--out", "whole")
    took, wanted, bad, number = time.monotonic() - began, made(trial.folder / "whole"), 0, 0
    print(f"never killed: {took:.0f} s, {len(wanted)} files", flush=True)
    while trial.kills < kills:
        number += 1
        out = f"run{number}"
        deaths = 0
        while trial.kills < kills and (
            trial.start("run", "digits", *TINY, "--out", out, kill_after_s=chance.uniform(0.5, took))
            == -signal.SIGKILL
        ):
            deaths += 1
        trial.start("run", "digits", *TINY, "--out", out)
        found = made(trial.folder / out)
        different = sorted(path for path in {*wanted, *found} if wanted.get(path) != found.get(path))
        left = trial.left()
        bad += bool(different or left)
        print(
            f"{out}: killed {deaths} times; different: {different or 'nothing'}; left: {left or 'nothing'}",
            flush=True,
        )
    return bad


def made(folder: Path) -> dict[str, str]:
    """What must be the same byte for byte: everything but what was measured."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for room in REPRODUCED
        for path in sorted((folder / room).rglob("*"))
        if path.is_file()
        and path.suffix in (".safetensors", ".onnx", ".xml", ".bin", ".h5", ".npy", ".pt2", ".ts", ".npz")
    }


def comparisons(trial: Trial, kills: int, chance: random.Random) -> int:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ports[:1], ports[1:], [weights]
    )
    for name in ("a", "b"):
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
            trial.folder / f"{name}.onnx",
        )
    before = {name: (trial.folder / name).read_bytes() for name in ("a.onnx", "b.onnx")}
    arguments = (
        "compare",
        "a.onnx",
        "b.onnx",
        "-t",
        "onnxruntime-cpu",
        "--max-time",
        "20",
        "--junit",
        "j.xml",
    )
    began = time.monotonic()
    trial.start(*arguments)
    took, bad = time.monotonic() - began, 0
    print(f"never killed: {took:.1f} s", flush=True)
    while trial.kills < kills:
        code = trial.start(*arguments, kill_after_s=chance.uniform(0.2, took))
        if alive := [one for one in trial.left() if "/" not in one[:1]]:
            print(f"after kill {trial.kills}: still running: {alive}", flush=True)
            bad += 1
        if code not in (-signal.SIGKILL, 0, 3, 4):
            print(f"exit {code}", flush=True)
            bad += 1
    code = trial.start(*arguments)
    left = trial.left()
    same = all((trial.folder / name).read_bytes() == content for name, content in before.items())
    print(
        f"the start after: exit {code}; inputs {'as they were' if same else 'CHANGED'}; left: {left or 'nothing'}"
    )
    return bad + bool(left) + (not same) + (code not in (0, 3))


if __name__ == "__main__":
    main()
