"""Shared by all tests: the CLI as a user runs it, and one small finished run."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# The whole pipeline on the real digits, small enough for a few seconds. Its thresholds are not the point.
TINY = [
    "data.image_size=16",
    "data.views=2",
    "teacher.arguments.blocks=1",
    "teacher.arguments.width=8",
    "teacher.epochs=2",
    "student.arguments.width=4",
    "distill.epochs=2",
    "quantize.epochs=2",
    "bench.restarts=1",
    "bench.warmup=2",
    "bench.iterations=16",
    "bench.offline_batches=2",
    "beside=[]",
]


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return content


Cli = Callable[..., Outcome]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "edgecomp", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Runs `edgecomp ARGUMENTS` in a process of its own."""

    def run(*arguments: str, cwd: Path | None = None) -> Outcome:
        done = subprocess.run(
            command(*arguments), capture_output=True, text=True, check=False, cwd=cwd, env=environment()
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def tiny_run(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the small recipe; tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("tiny") / "run"
    done = cli("run", "digits", *TINY, "--out", str(folder))
    assert (folder / "report" / "report.html").is_file(), done.err
    return folder
