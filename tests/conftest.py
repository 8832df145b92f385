"""Shared by all tests: the command line, and one small finished run."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import TINY, Cli, Outcome, command, environment, warm

# What measures times, or is judged by them: beside another test it would be another machine. The rest runs two at a time, each
# with one thread of PyTorch's where it does not ask for more, as a recipe does.
ALONE = (
    "pipeline/test_digits.py",
    "pipeline/test_gate_trials.py",
    "pipeline/test_recipes.py",
    "unit/benchmark/test_layer_speed.py",
    "unit/benchmark/test_served.py",
    "unit/benchmark/test_side_by_side.py",
    "unit/benchmark/test_standalone.py",
    "unit/benchmark/test_worker.py",
    "unit/comparison/test_command.py",
    "unit/comparison/test_selftest.py",
    "unit/benchmark/test_examples.py",
)
os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported, by whichever test that is
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).as_posix().startswith(ALONE):
            item.add_marker("alone")


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """Runs `edgecomp ARGUMENTS` in a process of its own: a fork of one that has imported what it needs, unless Python itself is set otherwise."""
    started = environment()
    said = tmp_path_factory.mktemp("said")

    def of_python(env: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in env.items() if name.startswith(("PYTHON", "OMP_", "LD_"))}

    with warm(started) as start:

        def run(*arguments: str, cwd: Path | None = None) -> Outcome:
            env = environment()
            if of_python(env) != of_python(started):
                done = subprocess.run(
                    command(*arguments), capture_output=True, text=True, check=False, cwd=cwd, env=env
                )
                return Outcome(done.returncode, done.stdout, done.stderr)
            out, err = said / "out", said / "err"
            code = start(arguments, cwd=cwd or Path.cwd(), env=env, out=out, err=err, timeout_s=None)
            assert code is not None
            return Outcome(code, out.read_text("utf-8"), err.read_text("utf-8"))

        yield run


@pytest.fixture(scope="session")
def tiny_run(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the small recipe; tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("tiny") / "run"
    done = cli("run", "digits", *TINY, "--out", str(folder))
    assert (folder / "report" / "report.html").is_file(), done.err
    return folder


@pytest.fixture(scope="session")
def pytorch_run(cli: Cli, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run with PyTorch's own files, measured beside the targets."""
    folder = Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("pytorch") / "run"))
    done = cli("run", "digits", *TINY, "ungated_targets=[pytorch-cpu,torchscript-cpu]", "--out", str(folder))
    assert (folder / "pytorch" / "teacher.pt2").is_file(), done.err
    return folder


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data sets, which is no part of the repository."""
    folder = Path(os.environ.get("EDGECOMP_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: EDGECOMP_DATA names their folder")
    return folder.absolute()
