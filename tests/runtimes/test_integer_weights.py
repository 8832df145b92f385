"""What a file multiplies in int8, read from the file, and the bound under which no CPU cuts its sums off."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy
from onnx import TensorProto, helper, numpy_helper
from onnx_files import write

from edgecomp.export.openvino import ir
from edgecomp.runtimes.files import integer_weights
from edgecomp.runtimes.files.integer_weights import (
    MOST,
    LayerWeights,
    largest_pair,
    warning,
    why_it_saturates,
)

LOWEST, HIGHEST = -(2**15), 2**15 - 1


def pair_sum(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What PMADDUBSW adds before it cuts off."""
    return inputs[..., 0].astype(int) * weights[..., 0] + inputs[..., 1].astype(int) * weights[..., 1]


@given(
    of_numpy.arrays(np.uint8, (64, 2)),
    of_numpy.arrays(np.int8, (64, 2)),
)
def test_no_pair_within_the_bound_leaves_16_bits_for_any_input(
    inputs: np.ndarray, weights: np.ndarray
) -> None:
    within = np.abs(weights.astype(int)).sum(axis=1) <= MOST
    sums = pair_sum(inputs, weights)[within]
    assert ((sums >= LOWEST) & (sums <= HIGHEST)).all()


def test_the_bound_is_the_largest_there_is() -> None:
    full = np.array([[255, 255]], np.uint8)
    assert pair_sum(full, np.array([[MOST // 2, MOST // 2]]))[0] <= HIGHEST
    assert pair_sum(full, np.array([[MOST // 2, MOST // 2 + 1]]))[0] > HIGHEST


@given(of_numpy.arrays(np.int8, st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 3))))
def test_the_largest_pair_is_of_one_output_whatever_the_kernels_order(weight: np.ndarray) -> None:
    by_hand = 0
    for row in np.abs(weight.astype(int)).reshape(len(weight), -1):
        ordered = sorted(row.tolist(), reverse=True)
        by_hand = max(by_hand, sum(ordered[:2]))
    assert largest_pair(weight, 0) == by_hand
    assert largest_pair(np.moveaxis(weight, 0, -1), weight.ndim - 1) == by_hand


def quantised(
    weight: np.ndarray, *, packed: bool = True, transposed: bool = False, dtype: type = np.uint8
) -> onnx.ModelProto:
    """x [n, K] → Gemm or MatMul with a dequantised weight → y; the weight as integers, or as floats that are rounded there."""
    constants = [
        numpy_helper.from_array(np.float32(1 / 255), "x_scale"),
        numpy_helper.from_array(dtype(0), "x_zero"),
        numpy_helper.from_array(np.float32(0.01), "w_scale"),
        numpy_helper.from_array(np.int8(0), "w_zero"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["x_q"]),
        helper.make_node("DequantizeLinear", ["x_q", "x_scale", "x_zero"], ["x_d"]),
    ]
    if packed:
        constants.append(numpy_helper.from_array(weight, "w_q"))
    else:
        constants.append(numpy_helper.from_array(weight.astype(np.float32) * np.float32(0.01), "w"))
        nodes.append(helper.make_node("QuantizeLinear", ["w", "w_scale", "w_zero"], ["w_q"]))
    nodes.append(helper.make_node("DequantizeLinear", ["w_q", "w_scale", "w_zero"], ["w_d"]))
    multiply = (
        helper.make_node("Gemm", ["x_d", "w_d"], ["y"], name="layer", transB=1)
        if transposed
        else helper.make_node("MatMul", ["x_d", "w_d"], ["y"], name="layer")
    )
    width = weight.shape[1] if transposed else weight.shape[0]
    graph = helper.make_graph(
        [*nodes, multiply],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize(("outputs", "largest"), [(1, 127), (2, 254)])
def test_a_depthwise_convolutions_weights_are_added_to_none(
    tmp_path: Path, outputs: int, largest: int
) -> None:
    weights = {
        "s": np.float32(0.01), "z": np.uint8(0), "w": np.full((4 * outputs, 1, 3, 3), 127, np.int8), "ws": np.ones(4 * outputs, np.float32),
        "wz": np.zeros(4 * outputs, np.int8), "t": np.float32(9), "u": np.uint8(0),
    }  # fmt: skip
    body = (
        "q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z) v = DequantizeLinear <axis = 0> (w, ws, wz) "
        "c = Conv <group = 4> (d, v) e = QuantizeLinear (c, t, u) y = DequantizeLinear (e, t, u)"
    )
    file = write(
        tmp_path / "m.onnx",
        f"g (float[n, 4, 9, 9] x) => (float[n, {4 * outputs}, 7, 7] y) {{ {body} }}",
        weights,
    )
    ir.convert(file, tmp_path / "ir")
    for model in (file, tmp_path / "ir" / "model.xml"):
        (layer,) = integer_weights.read(model)
        assert layer.largest_pair == largest
        assert layer.can_saturate == (outputs == 2)


WIDE = np.array([[127, 1], [-127, 2], [3, 4]], np.int8)  # [K, outputs]: the first output's pair is 254


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("transposed", [True, False])
def test_a_linear_layers_outputs_are_told_apart(tmp_path: Path, packed: bool, transposed: bool) -> None:
    file = tmp_path / "model.onnx"
    onnx.save(quantised(WIDE.T.copy() if transposed else WIDE, packed=packed, transposed=transposed), file)
    assert integer_weights.read(file) == [LayerWeights("layer", 254)]
    onnx.save(
        quantised((WIDE.T.copy() if transposed else WIDE) // 2, packed=packed, transposed=transposed), file
    )
    (narrow,) = integer_weights.read(file)
    assert not narrow.can_saturate


@pytest.mark.parametrize("narrow", [False, True])
def test_an_ir_says_what_the_onnx_file_says_that_it_is_made_of(tmp_path: Path, narrow: bool) -> None:
    file = tmp_path / "model.onnx"
    onnx.save(quantised(WIDE // 2 if narrow else WIDE), file)
    ir.convert(file, tmp_path / "ir")
    (layer,) = integer_weights.read(tmp_path / "ir" / "model.xml")
    assert layer.largest_pair == integer_weights.read(file)[0].largest_pair
    assert layer.can_saturate is not narrow


def test_a_weight_that_is_multiplied_in_float_cannot_saturate(tmp_path: Path) -> None:
    model = quantised(WIDE)
    multiply = next(node for node in model.graph.node if node.op_type == "MatMul")
    multiply.input[0] = "x"  # weights alone are compressed
    onnx.save(model, tmp_path / "model.onnx")
    assert integer_weights.read(tmp_path / "model.onnx") == []


def test_the_sentence_has_the_arithmetic_and_names_the_worst_layer() -> None:
    said = why_it_saturates([LayerWeights("a", 126), LayerWeights("b", 254), LayerWeights("c", 130)])
    assert said.startswith("2 of 3 layers can saturate")
    assert "two weights of b add up to 254, and 255 · 254 = 64,770 is more than 32,767" in said
    assert why_it_saturates([LayerWeights("a", 128)]) == ""


def test_a_foreign_file_is_warned_of_where_this_cpu_cuts_off_alone(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    onnx.save(quantised(WIDE), file)
    for isa in ("x86-64-avx2", "x86-64-avx512", "x86-64", "unknown"):
        assert "1 of 1 layers can saturate" in warning(file, isa)
    for isa in ("x86-64-avx512-vnni", "x86-64-avx-vnni", "x86-64-amx", "armv8-a", "armv8.2-dotprod"):
        assert warning(file, isa) == ""
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    assert warning(tmp_path / "broken.onnx", "x86-64-avx2") == ""
