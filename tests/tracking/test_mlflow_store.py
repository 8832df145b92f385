"""A run in a local MLflow store, read again by MLflow's own client."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from running import Cli

from edgecomp.errors import UsageError
from edgecomp.report.page.mlflow_run import log_run, parameters

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

READ = """
import json, sys
from pathlib import Path
from mlflow.artifacts import download_artifacts
from mlflow.tracking import MlflowClient
client = MlflowClient(tracking_uri=sys.argv[1])
(run,) = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
folder = Path(download_artifacts(run_id=run.info.run_id, artifact_path="report", tracking_uri=sys.argv[1], dst_path=sys.argv[2]))
print(json.dumps({"metrics": run.data.metrics, "params": run.data.params, "tags": run.data.tags, "status": run.info.status,
                  "files": {file.name: file.stat().st_size for file in folder.iterdir()}}))
"""


def test_a_run_its_figures_and_its_report_are_there(tiny_run: Path, cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="tox run -e mlflow", exc_type=ImportError)
    store = tmp_path / "store"
    done = cli("report", str(tiny_run), "--mlflow", str(store))
    assert "MLflow run " in done.err
    uri = f"sqlite:///{store / 'mlflow.db'}"
    (tmp_path / "out").mkdir()
    read = subprocess.run(
        [sys.executable, "-c", READ, uri, str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    found = json.loads(read.stdout.splitlines()[-1])
    verdict = json.loads((tiny_run / "gate" / "verdict.json").read_text(encoding="utf-8"))
    for target, arms in verdict["figures"].items():
        for arm, figures in arms.items():
            for metric, figure in figures.items():
                assert found["metrics"][f"{target}/{arm}/{metric}"] == pytest.approx(figure["value"])
    assert found["params"]["distill.epochs"] == "2"
    assert found["tags"]["edgecomp.verdict"] == verdict["verdict"]
    assert found["status"] == "FINISHED"
    assert found["files"] == {file.name: file.stat().st_size for file in (tiny_run / "report").iterdir()}


REGISTERED = """
import json, sys
from pathlib import Path
from mlflow.artifacts import download_artifacts
from mlflow.tracking import MlflowClient
client = MlflowClient(tracking_uri=sys.argv[1])
found = {model.name: dict(model.aliases) for model in client.search_registered_models()}
uri = client.get_model_version_download_uri("digits.onnxruntime-cpu", "1")
folder = Path(download_artifacts(artifact_uri=uri, tracking_uri=sys.argv[1], dst_path=sys.argv[2]))
print(json.dumps({"aliases": found, "files": {file.name: file.stat().st_size for file in folder.iterdir()}}))
"""


def test_a_release_is_a_candidate_and_a_champion_where_it_may_ship(
    tiny_run: Path, cli: Cli, tmp_path: Path
) -> None:
    pytest.importorskip("mlflow", reason="tox run -e mlflow", exc_type=ImportError)
    from edgecomp.config.job import read_job
    from edgecomp.gate.document import read

    store, job = tmp_path / "store", read_job(tiny_run)
    done = cli("report", str(tiny_run), "--mlflow", str(store), "--register")
    assert "MLflow run " in done.err
    document = read(tiny_run / "gate" / "verdict.json")
    assert document.exit_code != 0  # of so small a run
    ships = document.model_copy(update={"exit_code": 0})
    log_run(job, ships, tiny_run / "report", str(store), register=True)
    log_run(job, document, tiny_run / "report", str(store), register=True)
    (tmp_path / "out").mkdir()
    asked = [sys.executable, "-c", REGISTERED, f"sqlite:///{store / 'mlflow.db'}", str(tmp_path / "out")]
    found = json.loads(
        subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    )
    versions = {"candidate": "3", "champion": "2"}
    assert {
        name: {alias: str(one) for alias, one in aliases.items()}
        for name, aliases in found["aliases"].items()
    } == {
        "digits.onnxruntime-cpu": versions,
        "digits.openvino-cpu": versions,
    }
    deployed = tiny_run / "deploy" / "onnxruntime-cpu"
    assert found["files"] == {file.name: file.stat().st_size for file in deployed.iterdir()}
    assert cli("report", str(tiny_run), "--register").code == 2


def test_a_store_that_cannot_be_used_is_told(tiny_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="tox run -e mlflow", exc_type=ImportError)
    from edgecomp.config.job import read_job
    from edgecomp.gate.document import read

    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be used"):
        log_run(
            read_job(tiny_run),
            read(tiny_run / "gate" / "verdict.json"),
            tiny_run / "report",
            str(tmp_path / "file"),
        )


def test_settings_are_named_by_their_place() -> None:
    given = {"seed": 0, "distill": {"epochs": 2, "terms": []}, "declared": {}}
    assert dict(parameters(given)) == {
        "seed": "0",
        "distill.epochs": "2",
        "distill.terms": "[]",
        "declared": "{}",
    }
