"""Outputs of any kind in `edgecomp compare`: all of them are used, and one is judged; and inputs that were made up."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from comparing import classifier, compare, examples
from onnx import TensorProto, helper, numpy_helper


def heads(path: Path, *, boxes: float = 1.0, probabilities: str = "logits") -> Path:
    """x [N, 4] → the class itself, a value a class, and boxes: 1 is right, NaN or another is not."""
    scale = np.asarray(boxes, np.float32)
    nodes = [
        helper.make_node("Identity", ["x"], [probabilities]),
        helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
        helper.make_node("Mul", ["x", "scale"], ["boxes"]),
    ]
    shape = ["batch", 4]
    ports = [
        ("label", TensorProto.INT64, ["batch"]),
        (probabilities, TensorProto.FLOAT, shape),
        ("boxes", TensorProto.FLOAT, shape),
    ]
    graph = helper.make_graph(
        nodes,
        "heads",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(*port) for port in ports],
        [numpy_helper.from_array(scale, "scale")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def only_accuracy(folder: Path) -> tuple[str, ...]:
    rows = {"accuracy_pct": {"against": "baseline", "margin": "5 pt"}}
    (folder / "p.yaml").write_text(json.dumps({"format": 1, "name": "p", "rows": rows}))
    examples(folder / "d.npz")
    return "-t", "onnxruntime-cpu", "-d", "d.npz", "--policy", "p.yaml", "--json"


def test_the_output_that_is_judged_is_named_and_another_can_be(tmp_path: Path) -> None:
    told = only_accuracy(tmp_path)
    heads(tmp_path / "base.onnx")
    heads(tmp_path / "new.onnx", boxes=-1.0)
    done = compare(tmp_path, "base.onnx", "new.onnx", *told)
    assert (done.code, done.json["judged"]) == (0, {"output": "logits", "how": "the largest of 4 values"}), (
        done.err
    )
    assert done.json["outputs"]["label"] == done.json["outputs"]["logits"] == 0
    assert done.json["outputs"]["boxes"] > 100
    (warning,) = done.json["warnings"]
    assert warning.startswith("output boxes, which is not judged, differs from the baseline's by ")
    assert "Judged: output logits (the largest of 4 values)." in done.err
    page = (tmp_path / done.json["folder"] / "compare.html").read_text()
    assert "output logits: the largest of 4 values" in page
    boxes = compare(tmp_path, "base.onnx", "new.onnx", *told, "--output", "boxes")
    assert (boxes.code, boxes.json["judged"]["output"]) == (1, "boxes")
    itself = compare(tmp_path, "base.onnx", "new.onnx", *told, "--output", "label")
    assert (itself.code, itself.json["judged"]["how"]) == (0, "the class itself")
    unknown = compare(tmp_path, "base.onnx", "new.onnx", *told, "--output", "lables")
    assert unknown.code == 2
    assert "the models have no such output; did you mean 'label'" in " ".join(unknown.err.split())


def test_no_number_in_an_output_that_is_not_judged_is_invalid(tmp_path: Path) -> None:
    told = only_accuracy(tmp_path)
    heads(tmp_path / "base.onnx")
    heads(tmp_path / "nan.onnx", boxes=np.nan)
    for sides in (("base.onnx", "nan.onnx"), ("nan.onnx", "base.onnx")):
        done = compare(tmp_path, *sides, *told)
        assert (done.code, done.rows["accuracy_pct"]["reason"]) == (4, "not_finite"), done.err
        arm = "candidate" if sides[1] == "nan.onnx" else "baseline"
        assert done.json["not_finite"] == {arm: {"boxes": "NaN"}}
        assert f"the {arm}'s output boxes holds NaN" in done.verdict(tmp_path)["gates"][0]["sentence"]


def test_without_labels_all_outputs_are_a_row_that_a_policy_can_hold(tmp_path: Path) -> None:
    heads(tmp_path / "base.onnx")
    heads(tmp_path / "new.onnx", boxes=1.25)
    rows = {"output_error_pct": {"max": "5 %"}}
    (tmp_path / "p.yaml").write_text(json.dumps({"format": 1, "name": "p", "rows": rows}))
    told = ("-t", "onnxruntime-cpu", "--policy", "p.yaml", "--json")
    for new in ("base.onnx", "new.onnx"):  # inputs that were made up decide nothing
        done = compare(tmp_path, "base.onnx", new, *told)
        assert (done.code, done.rows["output_error_pct"]["reason"]) == (3, "made_up")
    assert done.rows["output_error_pct"]["estimate"] == pytest.approx(
        100 * 0.25 * 0.8, rel=0.2
    )  # mean size over deviation
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32))
    told = (*told, "-d", "d.npz")
    assert compare(tmp_path, "base.onnx", "base.onnx", *told).code == 0
    done = compare(tmp_path, "base.onnx", "new.onnx", *told)
    verdicts = {name: row["verdict"] for name, row in done.rows.items()}
    expected = {"label": "PASS", "logits": "PASS", "boxes": "FAIL"}
    assert (done.code, verdicts) == (1, {f"output_error_pct[{name}]": one for name, one in expected.items()})
    assert done.json["judged"] is None


def test_labels_for_what_is_no_class_are_told(tmp_path: Path) -> None:
    told = only_accuracy(tmp_path)
    nodes = [helper.make_node("NonZero", ["x"], ["found"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("found", TensorProto.INT64, [2, "many"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "base.onnx")
    done = compare(tmp_path, "base.onnx", "base.onnx", *told)
    assert done.code == 2
    assert (
        "output found is of another number of values from example to example, which is no class"
        in " ".join(done.err.split())
    )


def binary(path: Path, *, flat: bool = False, sigmoid: bool = True, weight: float = 1.0) -> Path:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["s"]),
        helper.make_node("Sigmoid" if sigmoid else "Identity", ["s"], ["q"]),
        helper.make_node("Reshape", ["q", "shape"], ["p"]),
    ]
    shape = ["batch"] if flat else ["batch", 1]
    graph = helper.make_graph(
        nodes,
        "binary",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(np.full((4, 1), weight, np.float32), "w"),
            numpy_helper.from_array(np.array([-1] if flat else [-1, 1]), "shape"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.mark.parametrize(
    ("flat", "sigmoid", "over"), [(False, True, "0.5"), (True, True, "0.5"), (False, False, "0")]
)
def test_one_value_an_example_is_a_classifier_of_two(
    tmp_path: Path, flat: bool, sigmoid: bool, over: str
) -> None:
    told = only_accuracy(tmp_path)
    x = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, label=x.sum(axis=1) > 0)
    binary(tmp_path / "base.onnx", flat=flat, sigmoid=sigmoid)
    binary(tmp_path / "wrong.onnx", flat=flat, sigmoid=sigmoid, weight=-1.0)
    good = compare(tmp_path, "base.onnx", "base.onnx", *told)
    assert good.code == 0, good.err
    assert good.json["judged"] == {"output": "p", "how": f"one value an example, class 1 over {over}"}
    figures = good.verdict(tmp_path)["figures"]["onnxruntime-cpu"]["candidate"]
    assert figures["accuracy_pct"]["value"] == 100
    bad = compare(tmp_path, "base.onnx", "wrong.onnx", *told)
    assert (bad.code, bad.rows["accuracy_pct"]["estimate"]) == (1, -100)
    np.savez(tmp_path / "d.npz", x=x, label=np.full(400, 2))
    assert "a label is 2" in compare(tmp_path, "base.onnx", "base.onnx", *told).err


# Inputs that were made up blame nobody


def table(path: Path, rows: int, named: bool = True) -> Path:
    """A table whose size the file hides, as an operator of the runtime's own would."""
    nodes = [
        helper.make_node("Mul", ["ids", "one"], ["same"]),
        helper.make_node("Gather", ["t", "ids" if named else "same"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "table",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2, 3])],
        [
            numpy_helper.from_array(np.ones((rows, 3), np.float32), "t"),
            numpy_helper.from_array(np.array(1), "one"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_a_model_that_refuses_what_was_made_up_is_not_blamed(tmp_path: Path) -> None:
    rows = {"output_error_pct": {"max": "5 %"}}
    (tmp_path / "p.yaml").write_text(json.dumps({"format": 1, "name": "p", "rows": rows}))
    table(tmp_path / "large.onnx", 200, named=False)
    table(tmp_path / "small.onnx", 12, named=False)
    told = ("-t", "onnxruntime-cpu", "--policy", "p.yaml", "--json")
    done = compare(tmp_path, "large.onnx", "small.onnx", *told)
    assert (done.code, done.rows["runs"]["reason"]) == (3, "made_up"), done.err
    assert (
        "Its inputs were made up (ids int64 [2] of ids under 100)"
        in done.verdict(tmp_path)["gates"][0]["sentence"]
    )
    done = compare(tmp_path, "small.onnx", "small.onnx", *told)
    assert done.code == 2
    assert "give real ones with --data FILE" in " ".join(done.err.split())
    in_range = compare(tmp_path, "small.onnx", "small.onnx", *told, "--range", "ids=0:11")
    assert (in_range.code, list(in_range.rows)) == (3, list(rows))  # it ran, and decides nothing
    table(tmp_path / "told.onnx", 12)
    stays = compare(tmp_path, "told.onnx", "told.onnx", *told)  # its ids stay inside the table
    assert (stays.code, list(stays.rows)) == (3, list(rows))


def test_answers_come_one_at_a_time_where_the_baseline_takes_no_batch(tmp_path: Path) -> None:
    told = only_accuracy(tmp_path)
    nodes = [helper.make_node("Reshape", ["x", "one"], ["logits"])]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("x", "logits")]
    graph = helper.make_graph(
        nodes, "g", ports[:1], ports[1:], [numpy_helper.from_array(np.array([1, 4]), "one")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "base.onnx")
    done = compare(tmp_path, "base.onnx", "base.onnx", *told)
    assert done.code == 0, done.err
    assert done.json["warnings"][0].startswith("answers were asked one at a time: a batch of 32 fails: ")
    classifier(tmp_path / "batches.onnx")
    done = compare(tmp_path, "batches.onnx", "base.onnx", *told)
    assert (done.code, done.rows["runs"]["reason"]) == (1, "crashed")  # what is in use takes batches
