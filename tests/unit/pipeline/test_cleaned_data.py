"""The data step of a recipe with `data.clean`: what went is told, personal data are pseudonyms, and the key of the step has the key's identity."""

import json
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from edgecomp.config.job import load_job, on_this_machine
from edgecomp.data.cleaning import findings
from edgecomp.data.cleaning.findings import NOT_AN_EXAMPLE, RULES
from edgecomp.data.personal.pseudonyms import KEY
from edgecomp.errors import DataError, RecipeError, UsageError
from edgecomp.pipeline.fingerprints import fingerprinted
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import learning
from edgecomp.pipeline.steps import steps
from edgecomp.progress import silent

RECIPE = """
name: cleaned
data: { source: huggingface, path: rows.parquet, inputs: [a, b], label: label }
teacher: { network: mlp, epochs: 1 }
student: { network: mlp }
distill: { epochs: 1 }
targets: [onnxruntime-cpu]
"""
RULES_OFF = ", ".join(f"{rule}: off" for rule in RULES if rule not in (*NOT_AN_EXAMPLE, "duplicate"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 200))
    a[150:160], b[150:160] = a[0:10], b[0:10]
    labels = ["x", "y"] * 100
    parquet.write_table(pyarrow.table({"a": a, "b": b, "label": labels}), tmp_path / "rows.parquet")
    (tmp_path / "cleaned.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path


def run_of(folder: Path, clean: str) -> Run:
    job = on_this_machine(
        fingerprinted(load_job(str(folder / "cleaned.yaml"), [f"+data.clean={clean}", "threads=1"]))
    )
    run = Run(job, folder / "run", silent)
    (run.folder / "data").mkdir(parents=True, exist_ok=True)
    return run


def test_what_went_is_told_and_kept_in_the_run_folder(folder: Path) -> None:
    run = run_of(folder, f"{{rules: {{{RULES_OFF}}}}}")
    learning.data(run, run.folder / "data", folder)
    told = json.loads((run.folder / "data" / "splits.json").read_text())
    assert sum(told["examples"].values()) == 190
    assert told["notes"] == [
        "cleaning, duplicate: 10 training examples with the inputs and the label of an earlier one; 10 removed"
    ]
    assert told["duplicates"]["repeated"] == 0
    table = findings.read(run.folder / "data" / "findings.csv")
    assert [one.row for one in table] == list(range(150, 160))
    assert json.loads((run.folder / "data" / "cleaning.json").read_text())["rules"] == {
        "duplicate": {"found": 10, "removed": 10}
    }
    findings.write(folder / "looked.csv", table[:3])
    again = run_of(folder, "{findings: looked.csv}")
    learning.data(again, again.folder / "data", folder)
    assert sum(json.loads((again.folder / "data" / "splits.json").read_text())["examples"].values()) == 197


def test_a_recipe_says_what_is_wrong(folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.clean\.rules\.duplicat"):
        load_job(str(folder / "cleaned.yaml"), ["+data.clean={rules: {duplicat: remove}}"])
    with pytest.raises(
        RecipeError, match=r"data\.clean changes which examples there are, and stored soft_labels"
    ):
        load_job(
            str(folder / "cleaned.yaml"), ["+data.clean={}", "+teachers.others={a: {soft_labels: x.npz}}"]
        )
    with pytest.raises(DataError, match=r"data\.clean: no such file, 'look.csv'"):
        run_of(folder, "{findings: look.csv}")


def test_another_key_or_table_makes_the_data_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_data(clean: str) -> object:
        return next(step for step in steps(run_of(folder, clean)) if step.name == "data").settings

    monkeypatch.delenv(KEY, raising=False)
    with pytest.raises(UsageError, match="there is no key for them"):
        run_of(folder, "{personal_data: replace}")
    keys = []
    for secret in ("a secret of some length", "another secret of length"):
        monkeypatch.setenv(KEY, secret)
        keys.append(of_data("{personal_data: replace}"))
        assert secret not in json.dumps(keys[-1])
    assert keys[0] != keys[1]
    assert of_data("{near: 0.9}") != of_data("{near: 0.8}")
    plain = on_this_machine(fingerprinted(load_job(str(folder / "cleaned.yaml"), ["threads=1"])))
    assert "clean" not in json.dumps(steps(Run(plain, folder / "run", silent))[0].settings)
