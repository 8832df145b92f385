"""Recipes of a network of several outputs: what does not go together is told, and each output has the checks of its task."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from edgecomp.config.job import Job, load_job, read_job
from edgecomp.errors import RecipeError

RECIPE = """name: two
tasks:
  kind: { task: classification, label: kind }
  amount: { task: regression, label: amount, weight: 0.5 }
data: { source: numpy, path: rows.npz }
teacher: { network: mlp, epochs: 1 }
student: { network: mlp }
distill: { epochs: 1 }
targets: [onnxruntime-cpu]
"""


def job(tmp_path: Path, *overrides: str) -> Job:
    (tmp_path / "two.yaml").write_text(RECIPE, encoding="utf-8")
    return load_job(str(tmp_path / "two.yaml"), list(overrides))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["tasks.kind.weight=0"], "tasks.kind.weight: input should be greater than 0"),
        (["tasks.kind.task=segmentation"], "task segmentation is of a network's one output"),
        (["tasks.kind.label=null"], "task classification: name the column, or the array, of its labels"),
        (["tasks.kind.width=3"], "labels tell how many numbers the output is: leave width out"),
        (["tasks.kind.task=embedding"], "task embedding: say how many numbers the output is"),
        (["tasks.amount.task=outputs", "+tasks.amount.width=2"], "task outputs is not labelled: leave label out"),
        (["task=regression"], "leave one of them out"),
        (["data.label=y"], "each output names its own labels"),
        (["~tasks.kind"], "there is one output: write `task` and `data.label`"),
        (["+thresholds.f1={metric: macro_f1_pct, output: knd, min: 50 %}"], "no output is called 'knd'; did you mean 'kind'?"),
        (["+thresholds.f1={metric: macro_f1_pct, output: amount, min: 50 %}"], "and output 'amount' is of task regression"),
        (["+thresholds.f1={metric: int8_share_pct, output: kind, min: 50 %}"], "int8_share_pct is not of an output"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(tmp_path: Path, overrides: Sequence[str], said: str) -> None:
    with pytest.raises(RecipeError) as told:
        job(tmp_path, *overrides)
    assert said in str(told.value)


def test_each_output_has_the_checks_of_its_task(tmp_path: Path) -> None:
    rows = job(tmp_path).rows["onnxruntime-cpu"]
    assert (rows["macro_f1_pct[kind]"].output, rows["r2_pct[amount]"].output) == ("kind", "amount")
    assert rows["r2_pct[amount]"].limit == rows["macro_f1_pct[kind]"].limit
    assert {
        "export_sqnr_db[kind]",
        "export_sqnr_db[amount]",
        "export_block_sqnr_db",
        "int8_share_pct",
    } <= set(rows)
    assert not {"macro_f1_pct", "export_sqnr_db", "macro_f1_pct[amount]"} & set(rows)
    rows = job(tmp_path, "+thresholds.mine={metric: r2_pct, output: amount, min: 50 %}").rows[
        "onnxruntime-cpu"
    ]
    assert {"mine", "r2_pct[amount]"} <= set(rows)  # it says something else
    own = "+thresholds.mine={metric: r2_pct, output: amount, against: teacher, margin: 1 pt}"
    rows = job(tmp_path, own).rows["onnxruntime-cpu"]
    assert (rows["mine"].output, "r2_pct[amount]" in rows) == ("amount", False)


def test_a_job_is_read_again_as_it_was(tmp_path: Path) -> None:
    made = job(tmp_path)
    (tmp_path / "job.json").write_text(made.model_dump_json(), encoding="utf-8")
    assert read_job(tmp_path) == made
    assert "tasks" not in load_job("digits", []).recipe.model_dump()  # digests of before stay
