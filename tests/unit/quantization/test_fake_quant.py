import math

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from edgecomp.errors import CaptureError
from edgecomp.quantization.fake_quant import FakeQuant
from edgecomp.quantization.schemes import SCHEMES

SCHEME = SCHEMES["cpu-u8"]


def onnx_quantise_dequantise(
    x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, axis: int
) -> np.ndarray:
    """ONNX's own definition, by its reference implementation."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], axis=axis),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], axis=axis),
    ]
    kind = TensorProto.INT8 if zero_point.dtype == np.int8 else TensorProto.UINT8
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape),
        helper.make_tensor_value_info("s", TensorProto.FLOAT, scale.shape),
        helper.make_tensor_value_info("z", kind, zero_point.shape),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)
    graph = helper.make_graph(nodes, "g", inputs, [output])
    model = helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)])
    result = ReferenceEvaluator(model).run(None, {"x": x, "s": scale, "z": zero_point})
    return np.asarray(result[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(-9, 3), st.integers(0, 255))
def test_activations_are_rounded_as_onnx_defines_it_bit_for_bit(
    seed: int, log_scale: float, zero_point: int
) -> None:
    quant = FakeQuant(SCHEME.activation)
    quant.log_scale.data.fill_(log_scale)
    quant.zero_point.fill_(zero_point)
    scale = quant.log_scale.detach().exp().numpy()
    halves = (
        np.random.default_rng(seed).integers(-600, 600, 64).astype(np.float32) / 2
    )  # ties are where rounding shows
    x = np.concatenate([halves * scale, np.random.default_rng(seed).normal(0, 100 * scale, 64)]).astype(
        np.float32
    )
    expected = onnx_quantise_dequantise(x, scale, np.uint8(zero_point).reshape(()), 0)
    np.testing.assert_array_equal(quant(torch.from_numpy(x)).detach().numpy(), expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_weights_are_rounded_by_output_channel_on_a_narrow_grid(seed: int) -> None:
    random = np.random.default_rng(seed)
    quant = FakeQuant(SCHEME.weight, (4, 1, 1, 1), axis=0)
    quant.log_scale.data.copy_(torch.from_numpy(random.normal(-3, 1, (4, 1, 1, 1))))
    weight = random.normal(0, 2, (4, 3, 2, 2)).astype(np.float32)
    scale = quant.log_scale.detach().exp().numpy()
    rounded = quant(torch.from_numpy(weight)).detach().numpy()
    levels = np.rint(rounded / scale)
    assert np.abs(levels).max() <= 127
    inside = np.abs(weight / scale) <= 127
    expected = onnx_quantise_dequantise(weight, scale.ravel(), np.zeros(4, np.int8), 0)
    np.testing.assert_array_equal(rounded[inside], expected[inside])


def reference_lsq(
    x: torch.Tensor, log_scale: torch.Tensor, zero_point: torch.Tensor, low: int, high: int
) -> torch.Tensor:
    """LSQ's equations 1 and 3 with a straight-through round, differentiated by autograd."""
    scale = log_scale.exp()
    v = x / scale
    levels = v.round() + zero_point
    inside = (levels >= low) & (levels <= high)
    passed = v + (v.round() - v).detach()
    bound = levels.clamp(low, high).detach() - zero_point
    return torch.where(inside, passed, bound) * scale


@pytest.mark.parametrize("channels", [None, 6])
def test_gradients_are_those_of_the_paper(channels: int | None) -> None:
    torch.manual_seed(0)
    grid = SCHEME.activation if channels is None else SCHEME.weight
    shape = () if channels is None else (channels, 1, 1, 1)
    quant = FakeQuant(grid, shape, axis=None if channels is None else 0).double()
    quant.log_scale.data.copy_(torch.randn_like(quant.log_scale) * 0.3 - 3.5)
    if channels is None:
        quant.zero_point.fill_(37)
    x = (torch.randn(6, 5, 4, 4, dtype=torch.float64) * 4).requires_grad_()
    upstream = torch.randn(6, 5, 4, 4, dtype=torch.float64)
    quant(x).backward(upstream)
    assert quant.log_scale.grad is not None
    assert x.grad is not None
    ours = (x.grad.clone(), quant.log_scale.grad.clone())
    x.grad = None
    log_scale = quant.log_scale.detach().clone().requires_grad_()
    reference_lsq(x, log_scale, quant.zero_point, grid.low, grid.high).backward(upstream)
    assert log_scale.grad is not None
    assert x.grad is not None
    factor = 1 / math.sqrt(x[0].numel() * grid.high)
    torch.testing.assert_close(ours[0], x.grad)
    torch.testing.assert_close(ours[1], log_scale.grad * factor)


def test_channels_last_changes_no_gradient() -> None:
    torch.manual_seed(0)
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        quant = FakeQuant(SCHEME.activation)
        quant.log_scale.data.fill_(-4.0)
        x = torch.randn(4, 3, 8, 8).contiguous(memory_format=memory_format).requires_grad_()
        quant(x).backward(torch.randn(4, 3, 8, 8))
        assert quant.log_scale.grad is not None
        results.append((quant.log_scale.grad, x.grad))
    torch.testing.assert_close(results[0], results[1])


def test_calibration_covers_the_range_and_zero_exactly() -> None:
    quant = FakeQuant(SCHEME.activation)
    quant.state = "observe"
    x = torch.tensor([-1.0, 0.0, 3.0])
    quant(x)
    quant.check_observed("q")
    quant.set_range(quant.low, quant.high)
    y = quant(x)
    assert y[1] == 0
    assert (y - x).abs().max() <= quant.log_scale.exp() / 2 + 1e-6


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (math.nan, "NaN"),
        (math.inf, "infinite"),
        (None, "no values at all"),
        (1.0, "nothing but 1; a constant"),
    ],
)
def test_calibration_refuses_what_cannot_set_a_scale(value: float | None, complaint: str) -> None:
    quant = FakeQuant(SCHEME.activation)
    quant.state = "observe"
    if value is not None:
        quant(torch.tensor([1.0, value]))
    with pytest.raises(CaptureError, match=complaint):
        quant.check_observed("layer 3")
