"""What whoever calls a model must know, compared."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecomp.benchmark.inputs.examples import Evaluation
from edgecomp.benchmark.stage import described
from edgecomp.benchmark.worker import answers
from edgecomp.comparison.compatibility import contract_differences, preprocessing_differences
from edgecomp.comparison.judged import classes_told
from edgecomp.comparison.measured import audit
from edgecomp.comparison.sides import Given, given
from edgecomp.comparison.trial import check_labels, timed_inputs
from edgecomp.config.target import Shapes, Target, load_target
from edgecomp.errors import DataError, RunFolderError, UsageError
from edgecomp.files.writing import sha256
from edgecomp.metrics.comparison import BASELINE
from edgecomp.runtimes import Port
from edgecomp.runtimes.formats import all_parts


def sides(before: Port, now: Port, kind: str = "inputs") -> list[str]:
    empty: dict[str, list[Port]] = {"inputs": [], "outputs": []}
    return contract_differences(empty | {kind: [before]}, empty | {kind: [now]})[kind]


X = Port("x", (None, 3), "float32")


@pytest.mark.parametrize(
    ("now", "kind", "told"),
    [
        (X, "inputs", []),
        (Port("x", (None, None), "float32"), "inputs", []),
        (Port("x", None, None), "inputs", []),
        (Port("x", (1, 3), "float32"), "inputs", ["input x is of [1, 3] instead of [any, 3]"]),
        (Port("x", (None, 4), "float32"), "inputs", ["input x is of [any, 4] instead of [any, 3]"]),
        (Port("x", (None, 3, 1), "float32"), "inputs", ["input x is of [any, 3, 1] instead of [any, 3]"]),
        (Port("x", (None, 3), "float16"), "inputs", ["input x is of float16 instead of float32"]),
        (Port("y", (None, 3), "float32"), "outputs", ["output x is missing", "output y is new"]),
        (Port("x", (None, 4), "float32"), "outputs", ["output x is of [any, 4] instead of [any, 3]"]),
        (Port("x", (1, 3), "float32"), "outputs", []),
    ],
)
def test_differences_are_listed_by_name_shape_and_dtype(now: Port, kind: str, told: list[str]) -> None:
    assert sides(X, now, kind) == told


def test_outputs_in_another_order_are_a_difference() -> None:
    """Answers are judged by the first output: it would be another one."""
    a, b = Port("a", (None, 3), "float32"), Port("b", (None, 3), "float32")
    told = contract_differences({"inputs": [a, b], "outputs": [a, b]}, {"inputs": [b, a], "outputs": [b, a]})
    assert told["outputs"] == ["outputs are in another order: b, a instead of a, b"]


def test_weights_beside_an_onnx_file_are_a_part_of_it(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.eye(64, dtype=np.float32), "w")
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 64]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ports[:1], ports[1:], [weights]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save_model(
        model, tmp_path / "m.onnx", save_as_external_data=True, location="m.weights", size_threshold=0
    )
    assert [part.name for part in all_parts(tmp_path / "m.onnx")] == ["m.onnx", "m.weights"]
    assert sum(size for size, _ in described(tmp_path / "m.onnx", 0).files.values()) > 64 * 64 * 4
    (tmp_path / "cut.onnx").write_bytes(b"no model at all")
    assert all_parts(tmp_path / "cut.onnx") == [tmp_path / "cut.onnx"]


# Batches of several, and numbers of examples that are no multiple


FOUR = Target(name="t", runtime="onnxruntime-cpu", shapes=Shapes(batch=4))


def test_whole_batches_are_timed_and_held_against_their_own_answers() -> None:
    values = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    timed = timed_inputs([X], FOUR, Evaluation({"x": values}))
    np.testing.assert_array_equal(timed.inputs["x"], values[:8])
    told = {0: answers.told({"y": values[:4]}), 1: answers.told({"y": values[4:8]})}
    pair: Any = SimpleNamespace(timed_answers={BASELINE: told}, outputs={BASELINE: {"y": values}})
    assert audit(pair, timed.rows)["timed_error"] == {BASELINE: 0}


def test_fewer_examples_than_a_batch_are_refused() -> None:
    with pytest.raises(UsageError, match="there are 3 examples, and target t takes 4 at once: give 4 at lea"):
        timed_inputs([X], FOUR, Evaluation({"x": np.zeros((3, 3), np.float32)}))


@pytest.mark.parametrize(
    ("asked", "ports", "classes"),
    [
        (None, [Port("y", (None, 4), "float32")], 4),
        (None, [Port("y", (None, None), "float32")], None),
        (None, [Port("y", None, None)], None),
        (None, [Port("y", (None, 4, 7), "float32")], None),
        (None, [Port("p", (None, 1), "float32")], 2),
        (None, [Port("s", (None, 1), "float32"), Port("p", (None, 4), "float32")], None),
        (None, [Port("label", (None,), "int64"), Port("p", (None, 4), "float32")], None),
        ("p", [Port("label", (None,), "int64"), Port("p", (None, 4), "float32")], 4),
    ],
)
def test_how_many_classes_there_are_is_known_only_where_the_file_tells(
    asked: str | None, ports: list[Port], classes: int | None
) -> None:
    assert classes_told(asked, ports) == classes


def test_labels_are_refused_only_where_the_classes_are_known() -> None:
    labels = Evaluation({}, np.array([0, 4]))
    check_labels(labels, None)
    check_labels(labels, 5)
    with pytest.raises(DataError, match="a label is 4, and the model has 4 classes, 0 to 3"):
        check_labels(labels, 4)


# Folders that were deployed, and damaged since


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "contract.json cannot be read: line 1 is not JSON: Expecting value"),
        (b"\xff\xfe", "contract.json cannot be read: is not UTF-8 text, at byte 0"),
        (b"[]", "contract.json holds list, not a mapping"),
        (b'{"files": {}}', "contract.json: runtime is null, not a str"),
        (b'{"runtime": "onnxruntime-cpu", "files": 3}', "contract.json: files is 3, not a dict"),
        (
            b'{"runtime": "onnxruntime-cpu", "files": {}}',
            "contract.json: files does not list model.onnx, so nothing says",
        ),
        (
            b'{"runtime": "onnxruntime-cpu", "files": {"../model.onnx": "0"}}',
            "contract.json: files does not list model.onnx",
        ),
    ],
)
def test_a_damaged_contract_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "contract.json").write_bytes(content)
    with pytest.raises(RunFolderError, match=words) as refusal:
        given(tmp_path, load_target("onnxruntime-cpu"))
    assert str(refusal.value).endswith(
        "copy the folder again, or make it with `edgecomp run DIR --only export`"
    )


def deployed(folder: Path, **more: str) -> None:
    (folder / "model.onnx").write_bytes(b"weights")
    files = {"model.onnx": sha256(folder / "model.onnx")} | more
    (folder / "contract.json").write_text(json.dumps({"runtime": "onnxruntime-cpu", "files": files}))


@pytest.mark.parametrize("name", ["other.onnx", "../secret", "/etc/hostname"])
def test_a_contract_that_names_what_is_not_in_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    deployed(tmp_path, **{name: "0" * 64})
    with pytest.raises(RunFolderError, match=r"is not the file that contract\.json names"):
        given(tmp_path, load_target("onnxruntime-cpu"))


def test_a_tokenizer_belongs_to_what_a_contract_lists(tmp_path: Path) -> None:
    deployed(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(RunFolderError, match=r"files does not list tokenizer\.json"):
        given(tmp_path, load_target("onnxruntime-cpu"))


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"{", "json cannot be read"), (b"3", "json holds int, not a mapping"), (None, "json cannot be read")],
)
def test_damaged_preprocessing_is_told(tmp_path: Path, content: bytes | None, words: str) -> None:
    deployed(tmp_path)
    if content is not None:
        (tmp_path / "preprocessing.json").write_bytes(content)
    side = given(tmp_path, load_target("onnxruntime-cpu"))
    with pytest.raises(RunFolderError, match=f"preprocessing.{words}"):
        preprocessing_differences(side, side)


def test_columns_in_another_order_are_another_input(tmp_path: Path) -> None:
    def side(name: str, **content: object) -> Given:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "preprocessing.json").write_text(json.dumps({"kind": "array", **content}))
        return Given(name, folder / "model.onnx", deployed=folder)

    old, new = side("old", columns=["age", "size"]), side("new", columns=["size", "age"])
    said = 'columns is ["size", "age"] instead of ["age", "size"]'
    assert preprocessing_differences(old, new) == {"preprocessing": [said], "labels": []}
    untold = {"preprocessing": [], "labels": []}
    assert preprocessing_differences(side("untold"), new) == untold, "of an earlier version"
