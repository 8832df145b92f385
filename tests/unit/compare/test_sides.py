"""What whoever calls a model must know, compared."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgecomp.bench.stage import described, parts_of
from edgecomp.compare.sides import contract_differences
from edgecomp.runtimes import Port


def sides(before: Port, now: Port, kind: str = "inputs") -> list[str]:
    empty: dict[str, list[Port]] = {"inputs": [], "outputs": []}
    return contract_differences(empty | {kind: [before]}, empty | {kind: [now]})


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
    assert [part.name for part in parts_of(tmp_path / "m.onnx")] == ["m.onnx", "m.weights"]
    assert sum(size for size, _ in described(tmp_path / "m.onnx", 0).files.values()) > 64 * 64 * 4
    (tmp_path / "cut.onnx").write_bytes(b"no model at all")
    assert parts_of(tmp_path / "cut.onnx") == [tmp_path / "cut.onnx"]
