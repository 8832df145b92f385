import json
import os
import re
import subprocess
from importlib.metadata import requires
from pathlib import Path

import pytest
import typer
from running import Cli, environment
from running import command as command_of

import edgecomp
from edgecomp import __version__
from edgecomp.cli import app as command_line
from edgecomp.cli import runs
from edgecomp.cli.exit import ended
from edgecomp.config.job import load_job
from edgecomp.config.schema import shipped
from edgecomp.pipeline import execution

# Sixteen at most, for ever: run, quantize, bench, compare, search, verify, pack, report, history, init, doctor, selftest and the
# groups list, data, prepare and workflow.
COMMANDS = (
    "run",
    "search",
    "quantize",
    "bench",
    "compare",
    "report",
    "pack",
    "verify",
    "history",
    "init",
    "doctor",
    "selftest",
    "list",
    "prepare",
    "data",
    "workflow",
)
DEPRECATED = ("distill", "export", "gate", "targets", "prepare-emulator")


def test_there_are_few_commands() -> None:
    found = typer.main.get_group(command_line.app).commands
    assert tuple(name for name, command in found.items() if not command.hidden) == COMMANDS
    assert tuple(name for name, command in found.items() if command.hidden) == DEPRECATED
    assert tuple(found["list"].commands) == ("targets", "recipes", "metrics", "networks")  # type: ignore[attr-defined]
    assert tuple(found["prepare"].commands) == ("device", "emulator", "server", "encrypted")  # type: ignore[attr-defined]
    assert tuple(found["data"].commands) == ("drift", "clean", "label")  # type: ignore[attr-defined]
    assert tuple(found["workflow"].commands) == ("airflow", "dvc", "flower", "update")  # type: ignore[attr-defined]


REQUIRED = {
    "datasets", "filelock", "h5py", "hydra-core", "jinja2", "matplotlib", "numpy", "onnx", "onnxruntime", "onnxscript", "openvino", "pillow",
    "psutil", "pyarrow", "pydantic", "pyyaml", "rich", "safetensors", "scikit-learn", "scipy", "torch", "typer",
}  # fmt: skip


def test_nothing_more_is_required_to_install_it() -> None:
    """All else is an extra; of what is to come only accelerate may join."""
    required = {
        re.split(r"[^a-z0-9-]", line)[0] for line in requires("edgecomp") or [] if "extra ==" not in line
    }
    assert required <= REQUIRED | {"accelerate"}


def test_every_command_is_a_function_of_python() -> None:
    for name in ("run", "bench", "compare", "load", "plan"):
        assert callable(getattr(edgecomp, name)), name


@pytest.mark.parametrize(
    ("old", "new"),
    [(["targets"], ["list", "targets"]), (["gate", "nowhere"], ["run", "nowhere", "--only", "gate"])],
)
def test_an_old_name_works_and_says_the_new_one(cli: Cli, old: list[str], new: list[str]) -> None:
    before, now = cli(*old), cli(*new)
    assert (before.code, before.out) == (now.code, now.out)
    assert f"edgecomp {' '.join(new)}`; it is gone from 0.3.0 on" in " ".join(before.err.split())
    assert "deprecated" not in now.err


@pytest.mark.parametrize(("command", "kept"), [("run", True), ("compare", False), ("bench", False)])
def test_only_a_run_says_that_what_was_finished_is_kept(
    monkeypatch: pytest.MonkeyPatch, command: str, kept: bool
) -> None:
    monkeypatch.setattr("sys.argv", ["edgecomp", command, "a", "b"])
    assert ended("terminated").startswith("terminated")
    assert ("is kept" in ended("terminated")) == kept


def test_help_answers_at_once_and_names_every_command(cli: Cli) -> None:
    times = []
    for _ in range(3):
        before = os.times()
        done = cli("--help")
        after = os.times()
        times.append(  # of CPU: what else the machine does is not edgecomp's
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    assert done.code == 0
    for name in COMMANDS:
        assert name in done.out
    assert "130 interrupted, 143 terminated" in " ".join(done.out.split())
    assert min(times) < 0.4


def test_the_version_is_the_packages(cli: Cli) -> None:
    assert cli("--version").out == f"edgecomp {__version__}\n"


def test_targets_are_listed_with_their_budgets(cli: Cli) -> None:
    done = cli("list", "targets")
    assert done.code == 0
    for part in ("openvino-cpu", "onnxruntime-cpu", "pytorch-cpu", "≤ 50 ms", "≤ 200 MiB"):
        assert part in done.out
    profiles = {profile["name"]: profile for profile in json.loads(cli("list", "targets", "--json").out)}
    assert profiles["openvino-cpu"]["options"] == {"inference_precision": "f32"}


def test_doctor_says_what_this_machine_can_do(cli: Cli) -> None:
    done = cli("doctor")
    assert done.code == 0
    for part in (
        "runtime openvino-cpu",
        "runtime onnxruntime-cpu",
        "AVX2",
        "AVX-512",
        "VNNI",
        "BF16",
        "cgroup",
        "GPU",
    ):
        assert part in done.out
    findings = json.loads(cli("doctor", "--json").out)
    assert findings["runtime onnxruntime-cpu"]["available"] is True


def test_a_plan_runs_nothing(cli: Cli, tmp_path: object) -> None:
    done = cli("run", "digits", "--plan", "--out", f"{tmp_path}/none")
    assert done.code == 0
    assert "17 of 17 steps would run" in " ".join(done.out.split())
    assert "data" in done.out


def test_the_bench_of_a_run_folder_says_in_json_what_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "job.json").write_text(
        load_job("digits", ["ungated_targets=[]"]).model_dump_json(), encoding="utf-8"
    )
    monkeypatch.setattr(execution, "execute_stage", lambda *_: None)
    command_line.app(["bench", str(tmp_path), "--json"], standalone_mode=False)
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    made = {f"bench/{name}": f"{tmp_path}/bench/{name}" for name in ("onnxruntime-cpu", "openvino-cpu")}
    assert said == {"verdict": None, "exit_code": 0, "artifacts": made}


def test_the_help_names_every_shipped_recipe_and_shows_what_to_type(cli: Cli) -> None:
    names = sorted(file.stem for file in shipped("recipes").glob("*.yaml"))
    assert runs.RECIPES.split(", ") == names
    for command in ("run", "search", "quantize", "bench", "compare", "history", "selftest"):
        assert f"edgecomp {command} " in cli(command, "--help").out.partition("Examples:")[2]


def test_the_help_says_what_an_option_is_where_it_is_not_given(cli: Cli) -> None:
    """Brackets in a help text would be taken for markup, and nothing of them shown."""
    for command, default in (
        ("run", "runs/RECIPE"),
        ("bench", "under runs/bench"),
        ("compare", "release with labelled examples, same-outputs with others, no-slower without"),
        ("selftest", "a small network"),
    ):
        words = " ".join(cli(command, "--help").out.replace("│", " ").split())
        assert f"[default: ({default})]" in words


@pytest.mark.parametrize("arguments", [("list", "targets"), ("list", "targets", "--json"), ("--help",)])
def test_what_cannot_be_said_is_an_error_and_no_verdict(arguments: tuple[str, ...]) -> None:
    """On a full disk, and where nobody reads: 1 would be FAIL, and 0 PASS."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command_of(*arguments),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment(),
        )
    assert done.returncode == 70
    assert "No space left on device" in done.stderr
    read, write = os.pipe()
    os.close(read)
    closed = subprocess.run(
        command_of(*arguments),
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=environment(),
    )
    os.close(write)
    assert closed.returncode == 70
    assert len(closed.stderr.splitlines()) == 1, closed.stderr
    assert "nobody reads" in closed.stderr
