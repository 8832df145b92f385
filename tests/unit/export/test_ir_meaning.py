"""What an IR means, operator by operator, against ONNX Runtime's answers of the file that it was converted from."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx_files import cnn, normal, write

from edgecomp.export.openvino import ir, meaning
from edgecomp.export.parity import _meant

X, WIDE = "float[n, 4, 9, 9] x", "float[n, 6, h, k] y"
W = {"w": normal(6, 4, 3, 3), "b": normal(6)}
CASES = {
    "convolution": (X, WIDE, "y = Conv <pads = [0, 1, 2, 1], strides = [2, 1]> (x, w, b)", W),
    "dilated": (X, WIDE, "y = Conv <dilations = [2, 2]> (x, w)", W),
    "by groups": (X, WIDE, "y = Conv <group = 2> (x, w)", {"w": normal(6, 2, 3, 3)}),
    "over a line": ("float[n, 4, 9] x", "float[n, 6, h] y", "y = Conv <pads = [1, 1]> (x, w)", {"w": normal(6, 4, 3)}),
    "transposed": (X, WIDE, "y = ConvTranspose <strides = [2, 2], pads = [1, 1, 1, 1], output_padding = [1, 1]> (x, w)", {"w": normal(4, 6, 3, 3)}),
    "transposed by groups": (X, WIDE, "y = ConvTranspose <group = 2> (x, w)", {"w": normal(4, 3, 3, 3)}),
    "maximum": (X, X.replace("9, 9] x", "h, k] y"), "y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x)", {}),
    "average": (X, X.replace("9, 9] x", "h, k] y"), "y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)", {}),
    "product": ("float[n, 4, 9] x", "float[n, 4, 5] y", "y = MatMul (x, w)", {"w": normal(9, 5)}),
    "softmax": ("float[n, 4, 9] x", "float[n, 4, 9] y", "y = Softmax <axis = 1> (x)", {}),
    "layer normalisation": ("float[n, 9] x", "float[n, 9] y", "y = LayerNormalization (x, g, c)", {"g": normal(9), "c": normal(9)}),
    "means": (X, "float[n, 4, 1, 9] y", "y = ReduceMean <keepdims = 1> (x, axes)", {"axes": np.array([2])}),
    "turned and joined": ("float[n, 4, 9] x", "float[n, 9, 8] y", "t = Transpose <perm = [0, 2, 1]> (x) y = Concat <axis = -1> (t, t)", {}),
    "parts": ("float[n, 4, 9] x", "float[n, 4, 3] y", "a, b, c = Split <axis = 2> (x, sizes) d = Mul (a, b) y = Add (d, c)", {"sizes": np.array([3, 3, 3])}),
    "cut": ("float[n, 4, 9] x", "float[n, 4, 3] y", "y = Slice (x, from, to, axes, steps)", {"from": np.array([1]), "to": np.array([7]), "axes": np.array([2]), "steps": np.array([2])}),
    "chosen": ("float[n, 4, 9] x", "float[n, 4, 2] y", "y = Gather <axis = 2> (x, places)", {"places": np.array([5, 1])}),
    "reshaped": ("float[n, 4, 9] x", "float[n, 36] y", "y = Flatten (x)", {}),
    "as wide as it is": ("float[n, 4, 9] x", "float[n, 9, 4] y", "y = Reshape (x, sizes)", {"sizes": np.array([0, 9, -1])}),
    "larger": (X, "float[n, 4, 18, 18] y", 'y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (x, , scales)', {"scales": np.float32([1, 1, 2, 2])}),
    "swishes": ("float[n, 9] x", "float[n, 9] y", "a = HardSwish (x) s = Sigmoid (x) b = Mul (x, s) c = HardSigmoid (x) d = Tanh (x) e = Add (a, b) f = Add (c, d) y = Add (e, f)", {}),
    "slopes": (X, X.replace("] x", "] y"), "y = PRelu (x, s)", {"s": np.abs(normal(4, 1, 1))}),
    "gelu": ("float[n, 9] x", "float[n, 9] y", "a = Div (x, r) b = Erf (a) c = Add (b, one) d = Mul (x, c) y = Mul (d, half)", {"r": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)}),
    "numbers": ("float[n, 9] x", "float[n, 9] y", "a = Abs (x) b = Add (a, one) c = Sqrt (b) d = Log (c) e = Exp (d) f = Pow (e, two) g = Neg (f) h = Sub (g, x) i = Max (h, x) j = Min (i, one) k = Clip (j, low) y = Relu (k)", {"one": np.float32(1), "two": np.float32(2), "low": np.float32(-3)}),
}  # fmt: skip


def both(file: Path, x: np.ndarray, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """What ONNX Runtime answers, as the file is written, and what its IR means; asked in parts of two."""
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    ir.convert(file, folder / "ir")
    wanted = np.asarray(session.run(None, {name: x})[0])
    return wanted, meaning.answers(folder / "ir" / "model.xml", {name: x}, 2)


@pytest.mark.parametrize("name", CASES)
def test_every_operator_is_onnx_runtimes(name: str, tmp_path: Path) -> None:
    given, wanted, body, weights = CASES[name]
    file = write(tmp_path / "m.onnx", f"g ({given}) => ({wanted}) {{ {body} }}", weights, opset='"" : 20')
    sizes = [int(size) for size in given.partition("n, ")[2].partition("]")[0].split(",")]
    theirs, meant = both(file, normal(5, *sizes, seed=1), tmp_path)
    np.testing.assert_allclose(meant, theirs, rtol=1e-4, atol=1e-5)


def test_a_network_with_shapes_that_are_computed(tmp_path: Path) -> None:
    file = cnn(tmp_path / "cnn.onnx")
    model = onnx.load(file)  # OpenVINO joins a Pad with a convolution of `auto_pad`, and forgets the latter
    (convolution,) = (node for node in model.graph.node if "auto_pad" in str(node.attribute))
    (automatic,) = (one for one in convolution.attribute if one.name == "auto_pad")
    convolution.attribute.remove(automatic)
    onnx.save(model, file)
    theirs, meant = both(file, normal(5, 3, 20, 20), tmp_path)
    np.testing.assert_allclose(meant, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("zero", [0, 128])
def test_what_is_rounded_is_rounded_as_it_says(tmp_path: Path, zero: int) -> None:
    """Of one channel over one pixel too, where OpenVINO with AVX-512 answers one example otherwise."""
    body = (
        "q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z) v = DequantizeLinear <axis = 0> (w, ws, wz) c = Conv (d, v) "
        "e = QuantizeLinear (c, t, u) f = DequantizeLinear (e, t, u) g = Add (f, b) h = QuantizeLinear (g, t, u) y = DequantizeLinear (h, t, u)"
    )
    random = np.random.default_rng(0)
    weights = {
        "s": np.float32(0.01), "z": np.uint8(zero), "w": random.integers(-63, 64, (4, 8, 1, 1)).astype(np.int8), "ws": np.float32([0.01, 0.02, 0.01, 0.005]),
        "wz": np.zeros(4, np.int8), "t": np.float32(0.05), "u": np.uint8(120), "b": normal(1, 4, 1, 1),
    }  # fmt: skip
    file = write(
        tmp_path / "m.onnx", f"g (float[n, 8, 1, 1] x) => (float[n, 4, 1, 1] y) {{ {body} }}", weights
    )
    theirs, meant = both(file, normal(40, 8, 1, 1), tmp_path)
    steps = np.abs(meant - theirs) / 0.05
    assert (steps < 0.01).mean() > 0.97  # of sums that lie between two steps the rounding of float32 decides
    assert steps.max() < 1.01


def test_an_operator_that_is_not_known_is_named(tmp_path: Path) -> None:
    file = write(
        tmp_path / "m.onnx", "g (float[n, 9] x) => (float[n, 9] y) { y = CumSum (x, a) }", {"a": np.array(1)}
    )
    with pytest.raises(meaning.UnknownOperatorError, match="what CumSum"):
        both(file, normal(5, 9), tmp_path)
    found, told = _meant(tmp_path / "ir" / "model.xml", {"x": normal(5, 9)})
    assert found is None  # and the file is held against itself
    assert "what CumSum" in told["held_against"]
