"""`edgecomp compare` with labels of several outputs: each is judged by its own task, in one comparison."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparing import compare
from test_any_task import ONE, WEIGHTS, linear, normal, policy

TASK = ("--task", "kind=classification,amount=regression")
ROWS: dict[str, Any] = {
    "macro_f1_pct": {"against": "baseline", "margin": "3 pt"},
    "baseline_agreement_pct": {"min": "98 %"},
    "explained": {"metric": "r2_pct", "output": "amount", "min": "99 %"},
}


def labelled(folder: Path, **more: Any) -> np.ndarray:
    x = normal()
    kind, amount = (x @ WEIGHTS).argmax(axis=1), x @ ONE
    np.savez(folder / "d.npz", **({"x": x, "label.kind": kind, "label.amount": amount[:, 0]} | more))
    return x


@pytest.mark.parametrize("turned", [False, True])
def test_each_output_is_judged_by_its_own_labels(tmp_path: Path, turned: bool) -> None:
    labelled(tmp_path)
    both = {"kind": WEIGHTS, "amount": ONE}
    linear(tmp_path / "a.onnx", **dict(reversed(both.items())) if turned else both)
    worse = both | {"amount": 1.5 * ONE}
    linear(tmp_path / "b.onnx", **dict(reversed(worse.items())) if turned else worse)
    done = compare(tmp_path, "a.onnx", "a.onnx", *policy(tmp_path, **ROWS), *TASK)
    assert done.code == 0, done.err
    assert {name: row["verdict"] for name, row in done.rows.items()} == dict.fromkeys(
        ["explained", "macro_f1_pct[kind]", "r2_pct[amount]", "baseline_agreement_pct[kind]", "baseline_agreement_pct[amount]"],
        "PASS",
    )  # fmt: skip
    assert done.json["judged"]["output"] == "amount, kind"
    done = compare(tmp_path, "a.onnx", "b.onnx", *policy(tmp_path, **ROWS), *TASK)
    verdicts = {name: row["verdict"] for name, row in done.rows.items()}
    assert (done.code, verdicts["r2_pct[amount]"], verdicts["explained"]) == (1, "FAIL", "FAIL"), done.err
    assert (verdicts["macro_f1_pct[kind]"], verdicts["baseline_agreement_pct[kind]"]) == ("PASS", "PASS")
    x = np.load(tmp_path / "d.npz")["x"]
    figures, total = {row["name"]: row["estimate"] for row in done.json["gates"]}, x.sum(axis=1)
    assert figures["explained"] == pytest.approx(100 * (1 - (0.25 * total**2).mean() / total.var()), rel=1e-4)


def test_a_score_of_ones_own_gets_every_output_and_label_by_name(tmp_path: Path) -> None:
    labelled(tmp_path)
    linear(tmp_path / "a.onnx", kind=WEIGHTS, amount=ONE)
    (tmp_path / "own.py").write_text(
        "def both(outputs, labels):\n"
        "    right = outputs['kind'].argmax(axis=1) == labels['kind']\n"
        "    return right * (abs(outputs['amount'] - labels['amount'])[:, 0] < 0.01)\n",
        encoding="utf-8",
    )
    rows = ROWS | {"score": {"against": "baseline", "margin": "0.05 score"}}
    done = compare(tmp_path, "a.onnx", "a.onnx", *policy(tmp_path, **rows), *TASK, "--score", "own.py:both")
    assert done.code == 0, done.err
    assert done.verdict(tmp_path)["figures"]["onnxruntime-cpu"]["candidate"]["score"]["value"] == 1.0


@pytest.mark.parametrize(
    ("task", "more", "said"),
    [
        ("knd=classification,amount=regression", {}, "no output 'knd'; did you mean 'kind'?"),
        ("kind=clasification", {}, "did you mean 'classification'?"),
        ("kind=segmentation,amount=regression", {}, "'segmentation' is no task of one of several outputs"),
        (TASK[1], {"label.amount": normal()}, "label.amount is of 4 numbers an example, and output amount"),
        (TASK[1], {"label.kind": np.full(400, 7)}, "output kind: the labels are not one class of 3"),
    ],
)  # fmt: skip
def test_labels_and_tasks_that_do_not_fit_are_told(
    tmp_path: Path, task: str, more: dict[str, Any], said: str
) -> None:
    labelled(tmp_path, **more)
    linear(tmp_path / "a.onnx", kind=WEIGHTS, amount=ONE)
    done = compare(tmp_path, "a.onnx", "a.onnx", *policy(tmp_path, **ROWS), "--task", task)
    assert (done.code, said in " ".join(done.err.split())) == (2, True), done.err


def test_labels_of_one_output_alone_are_told(tmp_path: Path) -> None:
    x = normal()
    np.savez(tmp_path / "d.npz", x=x, **{"label.kind": (x @ WEIGHTS).argmax(axis=1)})
    linear(tmp_path / "a.onnx", kind=WEIGHTS, amount=ONE)
    done = compare(tmp_path, "a.onnx", "a.onnx", *policy(tmp_path, **ROWS), *TASK)
    assert (done.code, "has no label.amount" in " ".join(done.err.split())) == (2, True), done.err
