"""A recipe as an Airflow DAG: its tasks are the run's steps, in order, and each goes up to its own. tests/scheduler has Airflow itself run it."""

import ast
import datetime
import runpy
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest

from edgecomp.api.operations import airflow_dag
from edgecomp.api.run import step_names
from edgecomp.errors import RecipeError, UsageError
from edgecomp.operations.airflow import dag


class Dag:
    def __init__(self, **told: Any) -> None:
        self.told = told

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Task:
    def __init__(self, **told: Any) -> None:
        self.told, self.after = told, []  # type: ignore[var-annotated]

    def __rshift__(self, other: "Task") -> None:
        self.after.append(other)


def read(file: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Airflow sees of it."""
    for name in ("airflow", "airflow.sdk", "airflow.providers", "airflow.providers.standard", "airflow.providers.standard.operators",
                 "airflow.providers.standard.operators.bash"):  # fmt: skip
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["airflow.sdk"].DAG = Dag  # type: ignore[attr-defined]
    sys.modules["airflow.providers.standard.operators.bash"].BashOperator = Task  # type: ignore[attr-defined]
    return runpy.run_path(str(file))


def test_a_task_a_step_one_after_another_and_then_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    steps = airflow_dag(
        "digits", ["student.arguments.width=8"], quick=True, schedule="@weekly", to="weekly.py"
    )
    assert steps == step_names("digits", ["student.arguments.width=8"], quick=True)[1]
    found = read(tmp_path / "weekly.py", monkeypatch)
    told, tasks = found["dag"].told, found["tasks"]
    assert (told["dag_id"], told["schedule"], told["max_active_runs"], told["catchup"]) == (
        "weekly",
        "@weekly",
        1,
        False,
    )
    assert told["default_args"]["retry_delay"] == datetime.timedelta(minutes=1)
    assert [task.told["task_id"] for task in tasks] == [
        *(step.replace("/", ".") for step in steps),
        "verdict",
    ]
    assert [task.after for task in tasks] == [*([after] for after in tasks[1:]), []]
    words = shlex.split(tasks[0].told["bash_command"])
    assert words[:6] == [sys.executable, "-m", "edgecomp", "run", "digits", "student.arguments.width=8"]
    assert words[-5:] == ["--out", "runs/digits-quick", "--quick", "--until", "data"]
    assert shlex.split(tasks[-1].told["bash_command"]) == words[:-2]
    assert tasks[-1].told["retries"] == 0
    assert {task.told["cwd"] for task in tasks} == {str(tmp_path)}


def test_words_reach_the_command_as_they_are() -> None:
    words = ["python", "-m", "edgecomp", "run", "it's x.yaml", "a=$(id)"]
    (run,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(dag("a", words, ["data"], Path("/tmp/a b"), None)).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "RUN"
    )
    assert shlex.split(run) == words


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        (("digits", []), UsageError, "name a .py"),
        (("digitz", []), UsageError, "digits"),
        (("digits", ["student.arguments.widt=8"]), RecipeError, "widt"),
    ],
)
def test_what_cannot_be_written_is_told(
    asked: tuple[Any, ...], error: type[Exception], words: str, tmp_path: Path
) -> None:
    to = tmp_path / ("dag.txt" if words == "name a .py" else "dag.py")
    with pytest.raises(error, match=words):
        airflow_dag(*asked, to=to)
    assert not to.exists()


def test_a_template_or_a_name_that_airflow_does_not_take_is_told() -> None:
    with pytest.raises(UsageError, match="is a template to Airflow"):
        dag("a", ["python", "-m", "edgecomp", "run", "{{ ds }}"], ["data"], Path("/"), None)
    with pytest.raises(UsageError, match="no name of a DAG"):
        dag("a b", ["python"], ["data"], Path("/"), None)
