"""Runs command lines in forks of one warm process: as apart as processes are, and a hundred times as fast to start.

A line of JSON on standard input is a request: `argv` of the command line (or `data`, a recipe whose data step is made), `cwd`,
`env`, all of it, `out`, `err` and `timeout_s`, or null; the answer is the exit code, or null where the time ran out and its process group was
killed. It may be killed before: `kill`, a text that its `err` gets and how many seconds later, or `dies`, the number of the write in which it
does itself. What is imported here is what a run imports itself, none of which starts a thread; no runtime that is measured is.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from edgecomp.artifacts import run_folder
from edgecomp.cli import app
from edgecomp.export.onnx import programs
from edgecomp.files import scratch

WARM = (
    "accelerate",
    "h5py",
    "jinja2",
    "matplotlib.backends.backend_svg",
    "onnx",
    "onnxscript",
    "pandas",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.model_selection",
    "torch",
    "torch.export",
    "torch.onnx._internal.exporter._core",
    "torch.utils.tensorboard",
    "torch._dynamo",
)
"""What takes most of a command's first seconds."""


def data(recipe: str) -> None:
    """Makes the data step of a recipe, and no other."""
    from edgecomp.artifacts.run_folder import RunFolder
    from edgecomp.config.job import load_job, on_this_machine
    from edgecomp.pipeline import execution
    from edgecomp.pipeline import steps as pipeline
    from edgecomp.pipeline.fingerprints import fingerprinted
    from edgecomp.pipeline.loaders import Run
    from edgecomp.progress import silent

    job = fingerprinted(on_this_machine(load_job(recipe, [])))
    folder = RunFolder(Path("run"))
    steps = [step for step in pipeline.steps(Run(job, folder.path, silent)) if step.name == "data"]
    with folder.locked():
        execution.execute(job, folder, steps, lambda step, why: None)


def die_in_write(number: int) -> None:
    """This process dies, from now on, in the write of that number: its second half has not come to the disk yet."""
    left, fsync = number, run_folder.fsync

    def counted(path: Path) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            if path.is_file():
                os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(path)

    run_folder.fsync = scratch.fsync = counted


def child(asked: dict[str, Any]) -> None:
    os.setsid()
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    tempfile.tempdir = None  # which an import has looked up in another environment
    for number, name in ((1, "out"), (2, "err")):
        opened = os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["edgecomp", *asked["argv"]]
    if asked["argv"][:1] == ["data"]:
        app.app = lambda **_: data(asked["argv"][1])  # type: ignore[assignment]
    if "dies" in asked:
        die_in_write(asked["dies"])
    code: object = 70
    try:
        app.main()
    except SystemExit as error:
        code = 0 if error.code is None else error.code
    except BaseException:  # noqa: BLE001 - what main lets through is what is looked for
        import traceback

        traceback.print_exc()
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def wait(process: int, timeout_s: float | None, kill: tuple[str, float] | None, err: Path) -> int | None:
    end = time.monotonic() + (float("inf") if timeout_s is None else timeout_s)
    while time.monotonic() < end:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
        if kill and err.is_file() and kill[0] in err.read_text(encoding="utf-8"):
            time.sleep(kill[1])
            os.kill(process, signal.SIGKILL)
            kill = None
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def main() -> None:
    for module in WARM:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    programs.operators(opset_version=programs.OPSET)
    gc.collect()
    gc.freeze()  # no fork goes through what all of them have
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        asked = json.loads(line)
        process = os.fork()
        if process == 0:
            child(asked)
        answers.write(
            json.dumps(wait(process, asked["timeout_s"], asked.get("kill"), Path(asked["err"]))) + "\n"
        )
        answers.flush()


if __name__ == "__main__":
    main()
