"""Small ONNX files, written in the text form that the onnx package reads."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper


def write(
    file: Path, body: str, weights: Mapping[str, np.ndarray] | None = None, opset: str = '"" : 18'
) -> Path:
    """A file of the graph `body`: inputs, outputs and nodes. weights: by name, its initialisers."""
    model = onnx.parser.parse_model(f"<ir_version: 9, opset_import: [{opset}]>\n{body}")
    for name, value in (weights or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    onnx.save(model, file)
    return file


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


CNN = """
cnn (float[batch, 3, H, W] image) => (float[batch, 4] probabilities) {
  pads = Constant <value_ints = [0, 0, 1, 1, 0, 0, 1, 1]> ()
  padded = Pad (image, pads)
  one = Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (padded, "conv1.weight", "conv1.bias")
  normed = BatchNormalization (one, "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
  zero = Constant <value_float = 0.0> ()
  six = Constant <value_float = 6.0> ()
  active = Clip (normed, zero, six)
  two = Conv <group = 8, pads = [1, 1, 1, 1]> (active, depthwise)
  sum = Add (active, two)
  pooled = GlobalMaxPool (sum)
  shape = Shape (pooled)
  first = Constant <value_ints = [0]> ()
  second = Constant <value_ints = [1]> ()
  rows = Slice (shape, first, second)
  rest = Constant <value_ints = [-1]> ()
  flat_shape = Concat <axis = 0> (rows, rest)
  flat = Reshape (pooled, flat_shape)
  product = MatMul (flat, product_weight)
  logits = Add ("fc.bias", product)
  probabilities = Softmax <axis = 1> (logits)
}
"""


def cnn(file: Path) -> Path:
    """A small picture network as other tools write one: `auto_pad`, a product and its bias apart, shapes that are computed."""
    weights = {
        "conv1.weight": normal(8, 3, 3, 3), "conv1.bias": normal(8), "bn.weight": normal(8), "bn.bias": normal(8),
        "bn.running_mean": normal(8), "bn.running_var": np.abs(normal(8)) + 1, "depthwise": normal(8, 1, 3, 3),
        "product_weight": normal(8, 4), "fc.bias": normal(4),
    }  # fmt: skip
    return write(file, CNN, weights)


TEXT = """
text (int64[batch, length] ids, float[batch, length] mask) => (float[batch, 3] logits) {
  words = Gather (table, ids)
  axis = Constant <value_ints = [2]> ()
  column = Unsqueeze (mask, axis)
  read = Mul (words, column)
  timed = Transpose <perm = [1, 0, 2]> (read)
  steps, last_h, last_c = LSTM <hidden_size = 8> (timed, W, R, B)
  direction = Constant <value_ints = [0]> ()
  last = Squeeze (last_h, direction)
  logits = Gemm <transB = 1> (last, "head.weight", "head.bias")
}
"""


def text(file: Path) -> Path:
    """A recurrent network over texts of any length."""
    weights = {
        "table": normal(50, 6), "W": normal(1, 32, 6), "R": normal(1, 32, 8) / 4, "B": normal(1, 64),
        "head.weight": normal(3, 8), "head.bias": normal(3),
    }  # fmt: skip
    return write(file, TEXT, weights)
