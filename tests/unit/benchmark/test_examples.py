"""The ready-made CI files: what their services accept, and what they do."""

import os
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize(
    ("file", "schema", "more"),
    [
        *((name, "github-workflows", []) for name in ("github.yml", "github-weekly.yml")),
        *(
            (name, "gitlab-ci", ["--data-transform", "gitlab-ci"])
            for name in ("gitlab.yml", "gitlab-weekly.yml")
        ),
    ],
)
def test_the_service_accepts_it(file: str, schema: str, more: list[str]) -> None:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        f"vendor.{schema}",
        *more,
        str(EXAMPLES / file),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", ["github.yml", "gitlab.yml"])
def test_its_commands_exist(file: str, cli: object) -> None:
    """Every option of `edgecomp compare` that an example names."""
    from typer.main import get_group

    from edgecomp.cli.app import app

    known = {name for parameter in get_group(app).commands["compare"].params for name in parameter.opts}
    (line,) = [line for line in (EXAMPLES / file).read_text().splitlines() if "edgecomp compare" in line]
    named = {word for word in shlex.split(line.partition("edgecomp compare")[2]) if word.startswith("--")}
    assert named <= known


@pytest.mark.parametrize("file", ["github-weekly.yml", "gitlab-weekly.yml"])
def test_every_option_of_the_weekly_ones_exists(file: str) -> None:
    from typer.main import get_group

    from edgecomp.cli.app import app

    lines = [
        line.partition("edgecomp ")[2]
        for line in (EXAMPLES / file).read_text(encoding="utf-8").splitlines()
        if "edgecomp " in line
    ]
    asked = [shlex.split(line.partition("||")[0]) for line in lines if not line.startswith(("install", "#"))]
    assert [words[0] for words in asked] == ["run", "history", "data"]
    for name, *words in asked:
        command = get_group(app).commands[name]
        command = command.commands[words[0]] if hasattr(command, "commands") else command
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known


def test_pre_commit_accepts_it() -> None:
    pytest.importorskip("pre_commit", reason="pre-commit is of the extra lint")
    command = [
        sys.executable,
        "-m",
        "pre_commit",
        "validate-config",
        str(EXAMPLES / "pre-commit-config.yaml"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def model(path: Path, layers: int) -> None:
    weights = numpy_helper.from_array(np.eye(512, dtype=np.float32), "w")
    names = ["x", *(f"h{i}" for i in range(layers - 1)), "y"]
    nodes = [helper.make_node("MatMul", [before, "w"], [after]) for before, after in pairwise(names)]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 512]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


def test_the_hook_stops_a_commit_of_a_slower_model_and_lets_a_new_one_be(tmp_path: Path) -> None:
    (hook,) = yaml.safe_load((EXAMPLES / "pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "edgecomp").write_text(f'#!/bin/sh\nexec {sys.executable} -m edgecomp "$@"\n')
    (tools / "edgecomp").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "EDGECOMP_HISTORY": str(tmp_path / "h"),
    }

    def git(*arguments: str) -> None:
        own = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *own, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def run() -> subprocess.CompletedProcess[str]:
        command = [*shlex.split(hook["entry"]), "model.onnx", "new.onnx"]  # as pre-commit appends them
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    model(tmp_path / "model.onnx", 4)
    git("init", "-q")
    git("add", "model.onnx")
    git("commit", "-qm", "in use")
    model(tmp_path / "new.onnx", 40)
    assert run().returncode == 0
    model(tmp_path / "model.onnx", 40)
    stopped = run()
    assert stopped.returncode == 1, stopped.stderr
    assert "FAIL onnxruntime-cpu" in stopped.stdout
