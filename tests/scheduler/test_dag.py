"""Airflow itself parses and runs the DAG of a small recipe (`tox run -e airflow`)."""

import os
import subprocess
from pathlib import Path

import pytest
from running import TINY

from edgecomp import load
from edgecomp.api.operations import airflow_dag


def test_airflow_runs_every_step_and_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thresholds of so small a run are not the point: the verdict's task may fail, and every other one succeeds."""
    scheduler = os.environ.get("EDGECOMP_AIRFLOW")
    if not scheduler:
        pytest.skip("EDGECOMP_AIRFLOW names no environment with apache-airflow: tox run -e airflow")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dags").mkdir()
    steps = airflow_dag("digits", TINY, out=tmp_path / "run", to=tmp_path / "dags" / "small.py")
    settings = {
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }

    def airflow(*words: str) -> str:
        done = subprocess.run(
            [f"{scheduler}/bin/airflow", *words],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, **settings},
        )
        return done.stdout + done.stderr

    airflow("db", "migrate")
    said = airflow("dags", "test", "small")
    for step in steps:
        assert f"task_id={step.replace('/', '.')}" in said, said[-3000:]
    result = load(tmp_path / "run")
    print(f"{len(steps)} steps, verdict {result.verdict}")
    assert result.verdict in said
    assert sorted(result.figures) == ["onnxruntime-cpu", "openvino-cpu"]
