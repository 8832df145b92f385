"""`edgecomp compare` beyond classes: labels of any task, a score of one's own, and every output by its name where nothing is labelled."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow
import pytest
from comparing import Compared, classifier, compare, examples
from onnx import TensorProto, helper, numpy_helper
from pyarrow import parquet

SCORES = """
import numpy as np


def accuracy(outputs, labels):
    return outputs.argmax(axis=1) == labels


def boxes(outputs, labels):
    assert set(outputs) == {"logits", "boxes"}, list(outputs)
    found = [[np.abs(np.subtract(box, near)).mean() for box in wanted] for near, wanted in zip(outputs["boxes"], labels)]
    return [-np.mean(one) for one in found]


def falls(outputs, labels):
    return labels["nothing"]
"""


def linear(path: Path, **outputs: Any) -> Path:
    """x [N, 4] → by name, x times these weights."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", f"w_{name}"], [name]) for name in outputs],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", np.shape(w)[1]]) for name, w in outputs.items()],
        [numpy_helper.from_array(np.asarray(w, np.float32), f"w_{name}") for name, w in outputs.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def policy(folder: Path, **rows: Any) -> tuple[str, ...]:
    (folder / "p.yaml").write_text(json.dumps({"format": 1, "name": "p", "rows": rows}))
    return "-t", "onnxruntime-cpu", "-d", "d.npz", "--policy", "p.yaml", "--json"


def normal(count: int = 400) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)


def beside(rows: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "output_error_pct": {"max": "5 %"},
        "output_cosine_pct": {"min": "99 %"},
        "output_agreement_pct": {"min": "98 %"},
    } | (rows or {})


WEIGHTS = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
BOXES = np.random.default_rng(2).normal(size=(4, 4)).astype(np.float32)
ONE = np.ones((4, 1), np.float32)


# Without labels


def test_every_output_is_judged_by_its_name(tmp_path: Path) -> None:
    linear(tmp_path / "base.onnx", y=WEIGHTS, boxes=BOXES, far=ONE)
    linear(tmp_path / "broken.onnx", y=WEIGHTS, boxes=-BOXES, far=ONE)
    np.savez(tmp_path / "d.npz", x=normal())
    told = policy(tmp_path, **beside())
    good = compare(tmp_path, "base.onnx", "base.onnx", *told)
    assert good.code == 0, good.err
    assert set(good.rows) == {
        *(f"output_error_pct[{name}]" for name in ("y", "boxes", "far")),
        *(f"output_cosine_pct[{name}]" for name in ("y", "boxes")),  # of one number there is no direction
        *(f"output_agreement_pct[{name}]" for name in ("y", "boxes")),
    }
    bad = compare(tmp_path, "base.onnx", "broken.onnx", *told)
    assert bad.code == 1
    failed = {name for name, row in bad.rows.items() if row["verdict"] == "FAIL"}
    assert failed == {f"output_{what}_pct[boxes]" for what in ("error", "cosine", "agreement")}
    verdict = bad.verdict(tmp_path)
    assert "onnxruntime-cpu: output boxes: cosine of an example's values" in " ".join(
        check["sentence"] for check in verdict["gates"]
    )
    assert "output boxes" in verdict["next_step"]
    page = (tmp_path / bad.json["folder"] / "compare.html").read_text()
    assert "output_error_pct[boxes]" in page
    with np.load(tmp_path / bad.json["folder"] / "answers.npz") as kept:
        assert kept["outputs"].tolist() == ["y", "boxes", "far"]
        assert kept["outputs.0.agrees"].all()
        assert kept["outputs.1.cosine"] == pytest.approx(-np.ones(400))
        assert 100 * kept["outputs.1.error"].mean() == pytest.approx(
            bad.rows["output_error_pct[boxes]"]["estimate"]
        )
        assert "outputs.2.cosine" not in kept.files


def test_the_order_of_outputs_changes_nothing(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=normal())
    found = []
    for order in (("y", "boxes"), ("boxes", "y")):
        for name, outputs in (
            ("base", {"y": WEIGHTS, "boxes": BOXES}),
            ("new", {"y": WEIGHTS, "boxes": 1.2 * BOXES}),
        ):
            linear(tmp_path / f"{name}.onnx", **{one: outputs[one] for one in order})
        done = compare(tmp_path, "base.onnx", "new.onnx", *policy(tmp_path, **beside()))
        found.append({name: (row["verdict"], row["estimate"]) for name, row in done.rows.items()})
    assert found[0] == found[1]
    assert found[0]["output_error_pct[boxes]"][0] == "FAIL"


def test_too_few_examples_are_inconclusive_and_say_how_many_it_takes(tmp_path: Path) -> None:
    linear(tmp_path / "base.onnx", y=WEIGHTS)
    told = policy(tmp_path, output_agreement_pct={"min": "98 %"})
    np.savez(tmp_path / "d.npz", x=normal(148))
    few = compare(tmp_path, "base.onnx", "base.onnx", *told)
    assert (few.code, few.rows["output_agreement_pct"]["reason"]) == (3, "undecided")
    assert "149 examples would tell, there are 148" in few.verdict(tmp_path)["gates"][0]["sentence"]
    np.savez(tmp_path / "d.npz", x=normal(149))
    assert compare(tmp_path, "base.onnx", "base.onnx", *told).code == 0


def test_an_output_has_a_margin_of_its_own_and_a_waiver_of_all_is_of_each(tmp_path: Path) -> None:
    linear(tmp_path / "base.onnx", y=WEIGHTS, boxes=BOXES)
    linear(tmp_path / "new.onnx", y=WEIGHTS, boxes=1.2 * BOXES)
    np.savez(tmp_path / "d.npz", x=normal())
    own = {"metric": "output_error_pct", "output": "boxes", "max": "30 %"}
    told = policy(tmp_path, output_error_pct={"max": "5 %"}, boxes=own)
    done = compare(tmp_path, "base.onnx", "new.onnx", *told)
    assert (done.code, set(done.rows)) == (0, {"boxes", "output_error_pct[y]"}), done.err
    waiver = {
        "check": "output_error_pct",
        "owner": "ana",
        "reason": "known",
        "expires": "2999-01-01",
        "limit": "20 %",
    }
    rows = {"output_error_pct": {"max": "5 %"}, "file_size_bytes": {"max": "1 MiB"}}
    (tmp_path / "p.yaml").write_text(
        json.dumps({"format": 1, "name": "p", "rows": rows, "waivers": [waiver]})
    )
    waived = compare(tmp_path, "base.onnx", "new.onnx", *told)
    assert (waived.code, waived.rows["output_error_pct[boxes]"]["verdict"]) == (0, "FAIL"), waived.err
    wrong = policy(tmp_path, boxes=own | {"output": "bocks"})
    refused = compare(tmp_path, "base.onnx", "new.onnx", *wrong)
    assert refused.code == 2
    assert "checks.boxes: output bocks: the models have no such output; did you mean 'boxes'" in " ".join(
        refused.err.split()
    )


def test_outputs_of_real_inputs_decide_without_a_policy(tmp_path: Path) -> None:
    """Nothing is timed: the contract differs, and only the policy is told."""
    linear(tmp_path / "base.onnx", y=WEIGHTS)
    linear(tmp_path / "other.onnx", y=WEIGHTS, more=ONE)
    np.savez(tmp_path / "d.npz", x=normal())
    told = ("-t", "onnxruntime-cpu", "--json")
    for more, name in (((), "no-slower"), (("-d", "d.npz"), "same-outputs")):
        done = compare(tmp_path, "base.onnx", "other.onnx", *told, *more)
        assert done.json["policy"]["name"] == name


# With labels of a task


def regressors(folder: Path) -> np.ndarray:
    x = normal(600)
    linear(folder / "base.onnx", y=ONE)
    linear(folder / "same.onnx", y=1.001 * ONE)
    linear(folder / "worse.onnx", y=ONE - np.eye(4, 1, dtype=np.float32))
    return x


def test_numbers_are_judged_by_the_share_that_is_explained(tmp_path: Path) -> None:
    x = regressors(tmp_path)
    noise = np.random.default_rng(3).normal(0, 0.3, 600)
    told = policy(tmp_path, r2_pct={"against": "baseline", "margin": "2 pt"})
    np.savez(tmp_path / "d.npz", x=x, label=x.sum(axis=1) + noise)
    good = compare(tmp_path, "base.onnx", "same.onnx", *told, "--task", "regression")
    assert (good.code, good.json["judged"]) == (0, {"output": "y", "how": "task regression"}), good.err
    bad = compare(tmp_path, "base.onnx", "worse.onnx", *told, "--task", "regression")
    assert (bad.code, bad.rows["r2_pct"]["verdict"]) == (1, "FAIL")
    figures = bad.verdict(tmp_path)["figures"]["onnxruntime-cpu"]
    assert {"r2_pct", "mae_units", "rmse_units"} <= set(figures["candidate"])
    assert "accuracy_pct" not in figures["candidate"]


def test_a_policy_of_classes_is_the_tasks_own(tmp_path: Path) -> None:
    x = regressors(tmp_path)
    np.savez(tmp_path / "d.npz", x=x, label=x.sum(axis=1, keepdims=True))
    rows = {"accuracy_pct": {"against": "baseline", "margin": "2 pt"}, "negative_flips_pct": {"max": "2 %"}}
    done = compare(tmp_path, "base.onnx", "same.onnx", *policy(tmp_path, **rows), "--task", "regression")
    assert (done.code, list(done.rows)) == (0, ["r2_pct"]), done.err
    assert "negative_flips_pct taken out (≤ 2 %)" in done.json["policy"]["changes"]


def test_several_labels_an_example(tmp_path: Path) -> None:
    x = normal(600)
    linear(tmp_path / "base.onnx", y=WEIGHTS)
    linear(tmp_path / "worse.onnx", y=-WEIGHTS)
    np.savez(tmp_path / "d.npz", x=x, label=x @ WEIGHTS > 0)
    told = (*policy(tmp_path, micro_f1_pct={"against": "baseline", "margin": "2 pt"}), "--task", "multilabel")
    assert compare(tmp_path, "base.onnx", "base.onnx", *told).code == 0
    assert compare(tmp_path, "base.onnx", "worse.onnx", *told).code == 1


def test_labels_that_do_not_fit_are_told_before_anything_is_timed(tmp_path: Path) -> None:
    linear(tmp_path / "base.onnx", y=ONE)
    np.savez(tmp_path / "d.npz", x=normal(40), label=np.zeros((40, 3)))
    told = ("base.onnx", "base.onnx", "-t", "onnxruntime-cpu", "-d", "d.npz")
    for more, words in (
        (("--task", "regression"), "no output is one of task regression for these labels: output y: labels of shape [3]"),
        (("--task", "regresion"), "--task regresion: no such task; did you mean 'regression'"),
        ((), "what else labels mean is said with --task or --score"),
    ):  # fmt: skip
        done = compare(tmp_path, *told, *more)
        assert (done.code, words in " ".join(done.err.split())) == (2, True), done.err


# By a score of one's own


def scored(folder: Path, base: str, new: str, *more: str, margin: str = "0.05 score") -> Compared:
    (folder / "scores.py").write_text(SCORES)
    told = policy(folder, score={"against": "baseline", "margin": margin})
    return compare(folder, base, new, *told, *more)


def test_a_score_is_held_against_the_baselines_as_an_accuracy_is(tmp_path: Path) -> None:
    classifier(tmp_path / "base.onnx")
    classifier(tmp_path / "worse.onnx", weights=np.eye(4)[:, [0, 1, 3, 2]])
    examples(tmp_path / "d.npz")
    good = scored(tmp_path, "base.onnx", "base.onnx", "--score", "scores.py:accuracy")
    assert (good.code, good.rows["score"]["verdict"]) == (0, "PASS"), good.err
    bad = scored(tmp_path, "base.onnx", "worse.onnx", "--score", "scores.py:accuracy")
    assert (bad.code, bad.rows["score"]["dimension"]) == (1, "score_difference")
    folder = tmp_path / bad.json["folder"]
    with np.load(folder / "answers.npz") as kept:
        assert {"baseline.score", "candidate.score"} <= set(kept.files)
        lost = (kept["candidate.score"] - kept["baseline.score"]).mean()
    assert bad.rows["score"]["estimate"] == pytest.approx(lost)
    record = json.loads((folder / "verdict.json").read_text())
    assert record["compared"]["facts"]["score"]["function"] == "scores.py:accuracy"
    built_in = compare(
        tmp_path,
        "base.onnx",
        "worse.onnx",
        *policy(tmp_path, accuracy_pct={"against": "baseline", "margin": "5 pt"}),
    )
    assert built_in.rows["accuracy_pct"]["interval"] == pytest.approx([100 * end for end in bad.rows["score"]["interval"]])  # fmt: skip


def test_labels_of_different_lengths_are_the_score_functions(tmp_path: Path) -> None:
    """As of detection: so many boxes an example; and the function takes all outputs by name."""
    x = normal(300)
    logits = np.eye(4, dtype=np.float32)
    for name, scale in (("base", 1.0), ("new", 0.5)):
        linear(tmp_path / f"{name}.onnx", logits=logits, boxes=scale * logits)
    labels = [[row.tolist()] * (1 + place % 3) for place, row in enumerate(x)]
    table = pyarrow.table({"x": pyarrow.array(x.tolist(), pyarrow.list_(pyarrow.float32())), "label": labels})
    parquet.write_table(table, tmp_path / "d.parquet")
    more = ("--score", "scores.py:boxes", "-d", "d.parquet")
    assert scored(tmp_path, "base.onnx", "base.onnx", *more, margin="0.05 score").code != 1
    done = scored(tmp_path, "base.onnx", "new.onnx", *more)
    assert (done.code, done.rows["score"]["verdict"]) == (1, "FAIL"), done.err


def test_a_score_function_that_fails_is_the_users_with_its_line(tmp_path: Path) -> None:
    classifier(tmp_path / "base.onnx")
    examples(tmp_path / "d.npz")
    done = scored(tmp_path, "base.onnx", "base.onnx", "--score", "scores.py:falls")
    assert done.code == 70
    line = 1 + SCORES.splitlines().index('    return labels["nothing"]')
    assert f"scores.py, line {line})" in " ".join(done.err.split())
    missing = scored(tmp_path, "base.onnx", "base.onnx", "--score", "scores.py:acuracy")
    assert (missing.code, "did you mean 'accuracy'" in missing.err) == (2, True)
    without = compare(tmp_path, "base.onnx", "base.onnx", *policy(tmp_path, score={"min": "0.5 score"}))
    assert (
        without.code,
        "name the function that gives it with --score" in " ".join(without.err.split()),
    ) == (2, True)
    no_data = compare(
        tmp_path, "base.onnx", "base.onnx", "-t", "onnxruntime-cpu", "--score", "scores.py:accuracy"
    )
    assert (no_data.code, "there are no examples to score" in " ".join(no_data.err.split())) == (2, True)


def test_a_masks_255_is_a_pixel_of_no_class(tmp_path: Path) -> None:
    """A network that is right but where nothing is labelled."""
    node = helper.make_node("Identity", ["x"], ["logits"])
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, 4, 4]) for name in ("x", "logits")
    ]
    model = helper.make_model(helper.make_graph([node], "same", ports[:1], ports[1:]), opset_imports=[helper.make_opsetid("", 18)], ir_version=10)  # fmt: skip
    onnx.save(model, tmp_path / "a.onnx")
    x = np.random.default_rng(0).normal(size=(50, 3, 4, 4)).astype(np.float32)
    masks = x.argmax(axis=1)
    masks[:, 0] = 255
    for labels in (masks, masks.astype(np.uint8)):
        np.savez(tmp_path / "d.npz", x=x, label=labels)
        rows = {
            "mean_iou_pct": {"against": "baseline", "margin": "1 pt"},
            "pixel_accuracy_pct": {"min": "99.9 %"},
        }
        done = compare(tmp_path, "a.onnx", "a.onnx", *policy(tmp_path, **rows), "--task", "segmentation")
        figures = done.verdict(tmp_path)["figures"]["onnxruntime-cpu"]["candidate"]
        assert (figures["mean_iou_pct"]["value"], figures["pixel_accuracy_pct"]["value"]) == (100.0, 100.0), (
            done.err
        )
