"""What an exporter took apart, joined again: the same function, of fewer operators."""

from pathlib import Path

import numpy as np
import pytest
from unit.onnx_import.test_from_onnx import graph, normal, write

from edgecomp.onnx_import import check, from_onnx
from edgecomp.onnx_import.checking import TOLERANCE

THREE, ZERO, SIX = (np.float32(number) for number in (3, 0, 6))
BOUNDS = {
    "three": THREE,
    "zero": ZERO,
    "six": SIX,
    "root": np.float32(2**0.5),
    "one": np.float32(1),
    "half": np.float32(0.5),
}
AFFINE = {"scale": np.float32([1.7]), "offset": np.float32([-0.3])}
WEIGHTS = {"w": normal(4, 4, 1, 1), "b": normal(4), "v": normal(4, 4, 3, 3)}


def joined(file: Path, *outputs: str) -> list[str]:
    """The operators of `file` as a network, which is the same function."""
    network = from_onnx(file, outputs or None)
    assert check(file, network).error <= TOLERANCE
    return [str(node.meta["onnx"][0]) for node in network.graph.nodes if "onnx" in node.meta]


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        ("a = Add (x, three) c = Clip (a, zero, six) m = Mul (x, c) y = Div (m, six)", ["HardSwish"]),
        ("a = Add (three, x) c = Clip (a, zero, six) m = Mul (c, x) y = Div (m, six)", ["HardSwish"]),
        ("a = Add (x, three) c = Clip (a, zero, six) y = Div (c, six)", ["HardSigmoid"]),
        (
            "h = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x) y = Mul (x, h)",
            ["HardSwish"],
        ),
        ("d = Div (x, root) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = Mul (m, half)", ["Gelu"]),
        ("d = Div (x, root) e = Erf (d) a = Add (one, e) h = Mul (half, a) y = Mul (x, h)", ["Gelu"]),
        ("h = Mul (x, half) d = Div (x, root) e = Erf (d) a = Add (e, one) y = Mul (h, a)", ["Gelu"]),
        ("d = Div (x, three) e = Erf (d) a = Add (e, one) m = Mul (x, a) y = Mul (m, half)", ["Div", "Erf", "Add", "Mul", "Mul"]),
        ("a = Add (x, six) c = Clip (a, zero, six) m = Mul (x, c) y = Div (m, six)", ["Add", "Clip", "Mul", "Div"]),
        (
            "a = Add (x, three) c = Clip (a, zero, six) m = Mul (x, c) d = Div (m, six) y = Sub (d, c)",  # the clip is read twice
            ["Add", "Clip", "Mul", "Div", "Sub"],
        ),
    ],
)  # fmt: skip
def test_an_activation_in_parts_is_one_operator(tmp_path: Path, body: str, kinds: list[str]) -> None:
    file = write(tmp_path / "parts.onnx", graph(body, "float[n, 4, 6, 6] x", "float[n, 4, 6, 6] y"), BOUNDS)
    assert joined(file) == kinds


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        ("c = Conv (x, w, b) m = Mul (scale, c) y = Add (m, offset)", ["Conv"]),
        ("m = Mul (x, scale) a = Add (offset, m) y = Conv <pads = [0, 0, 0, 0]> (a, w, b)", ["Conv"]),
        (
            "m = Mul (x, scale) a = Add (offset, m) y = Conv <pads = [1, 1, 1, 1]> (a, v, b)",  # the border is 0, and not the offset
            ["Mul", "Add", "Conv"],
        ),
        ("c = Conv (x, w, b) m = Mul (scale, c) a = Add (m, offset) y = Sub (a, m)", ["Conv", "Mul", "Add", "Sub"]),
    ],
)  # fmt: skip
def test_an_affine_block_is_in_the_convolutions_weights(tmp_path: Path, body: str, kinds: list[str]) -> None:
    file = write(
        tmp_path / "affine.onnx", graph(body, "float[n, 4, 6, 6] x", "float[n, 4, 6, 6] y"), WEIGHTS | AFFINE
    )
    assert joined(file) == kinds
    assert set(dict(from_onnx(file).named_parameters())) <= {"w", "b", "v"}  # as the file calls them


def test_a_value_that_is_asked_for_is_swallowed_by_nothing(tmp_path: Path) -> None:
    body = "c = Conv (x, w, b) m = Mul (c, scale) a = Add (m, offset) y = Relu (a)"
    file = write(
        tmp_path / "asked.onnx", graph(body, "float[n, 4, 6, 6] x", "float[n, 4, 6, 6] y"), WEIGHTS | AFFINE
    )
    assert joined(file) == ["Conv", "Relu"]
    assert joined(file, "m") == ["Conv", "Mul"]
    assert joined(file, "y", "c") == ["Conv", "Mul", "Add", "Relu"]
