"""Two classifiers as one file: the second one is asked what the first one is unsure of."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

FIRST, THEN = "first_", "then_"  # before the names of what is of each
MARGIN = "least_margin"


def join(first: Path, then: Path, margin: float, to: Path) -> None:
    """Writes the file `to`, which answers as the file `first` does where the largest number of its answer is at least `margin` over the next one, and
    else as the file `then` does, which is run on those examples alone, and not at all where there are none.

    Both take the same inputs, by name, and give one output [N, classes] of two classes or more; or [N, 1], whose margin is its size. Of every
    example the file's answer does not depend on those beside it.
    """
    one, other = (onnx.load(file) for file in (first, then))
    inputs, output = list(one.graph.input), one.graph.output[0]
    classes = output.type.tensor_type.shape.dim[1].dim_value
    before, after = compose.add_prefix(one, FIRST), compose.add_prefix(other, THEN)
    given = {FIRST + port.name: port.name for port in inputs}
    for node in before.graph.node:
        node.input[:] = [given.get(name, name) for name in node.input]
    kept, asked = before.graph.output[0].name, after.graph.output[0].name
    nodes = [*before.graph.node, *_unsure(kept, classes)]
    initializers = [
        *before.graph.initializer,
        numpy_helper.from_array(np.float32(margin), MARGIN),
        *_numbers(),
    ]
    answered = helper.make_tensor_value_info("answered", TensorProto.FLOAT, ["answers", classes])
    branch = [
        helper.make_node("NonZero", ["unsure"], ["places_by_axis"], name="places_by_axis"),
        helper.make_node("Transpose", ["places_by_axis"], ["places"], name="places", perm=[1, 0]),
        helper.make_node("Squeeze", ["places", "axis_1"], ["chosen"], name="chosen"),
        *(
            helper.make_node(
                "Gather", [port.name, "chosen"], [THEN + port.name], name=f"chosen_{port.name}", axis=0
            )
            for port in inputs
        ),
        *after.graph.node,
        helper.make_node("ScatterND", [kept, "places", asked], ["answered"], name="answered"),
    ]
    sure = helper.make_tensor_value_info("sure", TensorProto.FLOAT, ["answers", classes])
    nodes.append(
        helper.make_node(
            "If", ["any_unsure"], [output.name], name="cascade",
            then_branch=helper.make_graph(branch, "unsure", [], [answered], list(after.graph.initializer)),
            else_branch=helper.make_graph([helper.make_node("Identity", [kept], ["sure"], name="sure")], "sure", [], [sure]),
        )
    )  # fmt: skip
    graph = helper.make_graph(nodes, "model", inputs, [output], initializers)
    model = helper.make_model(
        graph, opset_imports=one.opset_import, ir_version=one.ir_version, producer_name="edgecomp"
    )
    onnx.checker.check_model(model)
    to.write_bytes(model.SerializeToString(deterministic=True))


def _unsure(answer: str, classes: int) -> list[onnx.NodeProto]:
    """Which examples are unsure, `unsure` [N], and whether any is."""
    margin = [
        helper.make_node(
            "TopK", [answer, "number_2"], ["two_largest", "two_places"], name="two_largest", axis=1
        ),
        helper.make_node("Slice", ["two_largest", "axis_0", "axis_1", "axis_1"], ["largest"], name="largest"),
        helper.make_node("Slice", ["two_largest", "axis_1", "number_2", "axis_1"], ["next"], name="next"),
        helper.make_node("Sub", ["largest", "next"], ["margins_by_row"], name="margins_by_row"),
    ]
    of_one = [helper.make_node("Abs", [answer], ["margins_by_row"], name="margins_by_row")]
    return [
        *(margin if classes != 1 else of_one),
        helper.make_node("Squeeze", ["margins_by_row", "axis_1"], ["margins"], name="margins"),
        helper.make_node("Less", ["margins", MARGIN], ["unsure"], name="unsure"),
        helper.make_node(
            "Cast", ["unsure"], ["unsure_as_number"], name="unsure_as_number", to=TensorProto.INT32
        ),
        helper.make_node(
            "ReduceMax", ["unsure_as_number", "axis_0"], ["unsure_at_all"], name="unsure_at_all", keepdims=0
        ),
        helper.make_node("Cast", ["unsure_at_all"], ["any_unsure"], name="any_unsure", to=TensorProto.BOOL),
    ]


def _numbers() -> list[onnx.TensorProto]:
    named = {"axis_0": 0, "axis_1": 1, "number_2": 2}
    return [numpy_helper.from_array(np.array([value], np.int64), name) for name, value in named.items()]
