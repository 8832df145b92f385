"""A file as a network: its parameters, names and free axes; that it is the same function; what is refused, and with which words."""

import copy
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from onnx_files import cnn, normal, text, write

from edgecomp.errors import ModelFileError, UsageError
from edgecomp.onnx_import import before_softmax, check, from_onnx, interface_of
from edgecomp.onnx_import.checking import TOLERANCE, distance
from edgecomp.quantization.capture import capture

aten = torch.ops.aten


def refusal(file: Path, **settings: Any) -> str:
    with pytest.raises(UsageError) as caught:
        check(file, from_onnx(file, **settings))
    assert caught.value.exit_code == 2
    return str(caught.value)


def graph(nodes: str, inputs: str = "float[n, 4] x", outputs: str = "float[n, m] y") -> str:
    return f"g ({inputs}) => ({outputs}) {{ {nodes} }}"


def test_its_initialisers_are_its_parameters_and_its_names_are_kept(tmp_path: Path) -> None:
    module = from_onnx(cnn(tmp_path / "cnn.onnx"))
    assert {name for name, _ in module.named_parameters()} == {
        "conv1.weight", "conv1.bias", "bn.weight", "bn.bias", "depthwise", "product_weight", "fc.bias",
    }  # fmt: skip
    found = interface_of(module)
    assert (found.inputs, found.dtypes, found.outputs) == (("image",), ("float32",), ("probabilities",))
    assert found.free_axes == ({0: "batch", 2: "H", 3: "W"},)
    assert before_softmax(module) == "logits"


def test_it_is_the_same_function_at_two_shapes_and_a_copy_is_too(tmp_path: Path) -> None:
    for file in (cnn(tmp_path / "cnn.onnx"), text(tmp_path / "text.onnx")):
        found = check(file, copy.deepcopy(from_onnx(file)))
        assert found.error <= TOLERANCE
        first, second = found.shapes
        assert all(first[name] != second[name] for name in first)


def test_it_is_trained(tmp_path: Path) -> None:
    module = from_onnx(cnn(tmp_path / "cnn.onnx"), ["logits"]).train()
    module(torch.randn(4, 3, 16, 16)).square().sum().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in module.parameters())
    assert module.get_submodule("bn").num_batches_tracked == 1


def test_capture_gives_the_operators_that_it_gives_of_a_network_in_python(tmp_path: Path) -> None:
    module = from_onnx(cnn(tmp_path / "cnn.onnx"), ["logits"])
    example = torch.randn(2, 3, 16, 16)
    captured = capture(module, [example], [{0: "batch", 2: "h", 3: "w"}])
    targets = [node.target for node in captured.graph.nodes if node.op == "call_function"]
    assert {aten.conv2d.default, aten.linear.default, aten.hardtanh.default, aten.add.Tensor} <= set(targets)
    assert [node.target for node in captured.graph.nodes if node.op == "call_module"] == ["bn"]
    larger = torch.randn(5, 3, 24, 20)
    assert torch.equal(captured(larger), module(larger))


def test_a_value_between_is_named_and_several_are_a_tuple(tmp_path: Path) -> None:
    file = cnn(tmp_path / "cnn.onnx")
    logits, both = from_onnx(file, ["logits"]), from_onnx(file, ["probabilities", "logits"])
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(both(x)[1], logits(x))
    assert torch.allclose(logits(x).softmax(1), both(x)[0])
    assert check(file, both).error <= TOLERANCE
    assert "no output 'logit'; did you mean 'logits'" in refusal(file, outputs=["logit"])


def test_names_that_python_does_not_take_are_made_ones_that_it_does(tmp_path: Path) -> None:
    weights = {
        "import": normal(4, 4),
        "a": normal(4),
        "a.b": normal(4),
        "type": normal(4),
        "0/é \n": normal(4),
    }
    nodes = 'p = MatMul (class, import) q = Add (p, a) r = Mul (q, "a.b") s = Mul (r, type) y = Add (s, last)'
    file = write(tmp_path / "names.onnx", graph(nodes, "float[n, 4] class"))
    model = onnx.load(file)
    for name, value in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    model.graph.node[-1].input[1] = "0/é \n"
    onnx.save(model, file)
    module = from_onnx(file)
    assert {name for name, _ in module.named_parameters()} == {"import_", "a", "a_b", "type_", "0"}
    assert check(file, module).error <= TOLERANCE


def test_inputs_of_another_kind_are_taken_as_the_file_declares_them(tmp_path: Path) -> None:
    body = "y = Gather (table, x)"
    file = write(
        tmp_path / "ids.onnx", graph(body, "int32[n, 4] x", "float[n, 4, 2] y"), {"table": normal(7, 2)}
    )
    module = from_onnx(file)
    ids = torch.randint(0, 7, (3, 4))
    assert torch.equal(module(ids), module(ids.int()))
    captured = capture(module, [ids], [{0: "batch"}])
    assert aten.embedding.default in [node.target for node in captured.graph.nodes]


def test_weights_beside_the_file_are_read_and_none_from_elsewhere(tmp_path: Path) -> None:
    model = onnx.load(cnn(tmp_path / "cnn.onnx"))
    beside = tmp_path / "model" / "cnn.onnx"
    beside.parent.mkdir()
    onnx.save(model, beside, save_as_external_data=True, location="weights", size_threshold=0)
    assert check(beside, from_onnx(beside)).error <= TOLERANCE
    (tmp_path / "model" / "weights").rename(tmp_path / "weights")
    assert "there is no such file beside it" in refusal(beside)
    for place in ("../weights", str(tmp_path / "weights")):
        moved = onnx.load(beside, load_external_data=False)
        for tensor in moved.graph.initializer:
            for entry in tensor.external_data:
                entry.value = place if entry.key == "location" else entry.value
        onnx.save(moved, tmp_path / "model" / "climbs.onnx")
        assert "leads out of its folder" in refusal(tmp_path / "model" / "climbs.onnx")
    (tmp_path / "model" / "weights").symlink_to(tmp_path / "weights")
    assert "leads out of its folder" in refusal(beside)


REFUSED = {
    "quantised": (graph("q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z)"), "is quantised already: it has QuantizeLinear"),
    "random": (graph("r = RandomNormalLike (x) y = Add (x, r)"), "RandomNormalLike (node ?) draws random numbers"),
    "dropping": (
        graph("ratio = Constant <value_float = 0.5> () t = Constant <value = bool {1}> () y = Dropout (x, ratio, t)"),
        "Dropout (node ?) draws random numbers",
    ),
    "unknown": (graph("y = Det (x)", outputs="float[n] y"), "operator has no conversion to PyTorch: Det (node ?)"),
    "several": (graph("e = NonZero (x) c = Cast <to = 1> (e) y = Det (c)"), "2 operators have no conversion to PyTorch: NonZero"),
    "custom": (graph("y = my.domain.Mine (x)"), "no conversion to PyTorch: my.domain.Mine"),
    "branches": (
        graph("y = If (c) <then_branch = t () => (float[n, 4] a) { a = Identity (x) }, else_branch = e () => (float[n, 4] b) { b = Neg (x) }>",
              "float[n, 4] x, bool c"),
        "If (node ?) chooses what is computed by its data (input c)",
    ),
    "halves": (graph("w = Cast <to = 1> (h) y = Mul (x, w)"), "computes in float16"),
    "training": (graph("y, m, v = BatchNormalization <training_mode = 1> (x, s4, s4, s4, s4)"), "export the network after eval()"),
    "data dependent": (graph("a = Cast <to = 7> (k) y = Reshape (x, a)", "float[n, 4] x, int64[2] k"), "Reshape"),
}  # fmt: skip
WEIGHTS = {
    "s": np.float32(0.1),
    "z": np.uint8(3),
    "h": np.float16([1, 2, 3, 4]),
    "s4": np.ones(4, np.float32),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_network_of_fixed_operators_is_refused(name: str, tmp_path: Path) -> None:
    body, words = REFUSED[name]
    used = {
        key: np.asarray(value) for key, value in WEIGHTS.items() if f"{key})" in body or f"{key}," in body
    }
    file = write(tmp_path / "refused.onnx", body, used, '"" : 18, "my.domain" : 1')
    assert words in refusal(file)


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    assert "no such model file" in refusal(file)
    for content in (b"", b"not a model", b"\x08\x07" * 100, cnn(tmp_path / "whole.onnx").read_bytes()[:200]):
        file.write_bytes(content)
        assert "no ONNX model" in refusal(file)


def test_the_first_operator_that_differs_is_named(tmp_path: Path) -> None:
    file = cnn(tmp_path / "cnn.onnx")
    module = from_onnx(file)
    with torch.no_grad():
        module.get_parameter("depthwise").mul_(1.01)
    with pytest.raises(
        ModelFileError, match=r"another function.*first operator to differ is Conv \(node \?\)"
    ):
        check(file, module)


def test_a_file_of_one_example_takes_any_number_where_its_operators_do(tmp_path: Path) -> None:
    body = "f = Flatten (x) y = MatMul (f, w)"
    file = write(tmp_path / "one.onnx", graph(body, "float[1, 2, 2] x", "float[1, 3] y"), {"w": normal(4, 3)})
    assert check(file, from_onnx(file)).any_batch
    body = "s = Constant <value_ints = [1, 4]> () f = Reshape (x, s) y = MatMul (f, w)"
    file = write(
        tmp_path / "shaped.onnx", graph(body, "float[1, 2, 2] x", "float[1, 3] y"), {"w": normal(4, 3)}
    )
    assert check(file, from_onnx(file)).any_batch
    body = "f = Flatten (x) c = Concat <axis = 0> (f, w) y = Cast <to = 1> (c)"
    file = write(
        tmp_path / "only.onnx", graph(body, "float[1, 2, 2] x", "float[5, 4] y"), {"w": normal(4, 4)}
    )
    assert not check(file, from_onnx(file)).any_batch


def test_a_file_that_float32_does_not_tell_is_refused_and_says_so(tmp_path: Path) -> None:
    """A difference of two large numbers, divided by nearly nothing: what another order of sums makes of it is another number."""
    body = graph(
        "p = MatMul (x, w) q = MatMul (x, v) d = Sub (p, q) y = Div (d, small)",
        "float[n, 512] x",
        "float[n, 4] y",
    )
    w = normal(512, 4)
    values = {
        "w": 1000 * w,
        "v": (1000 * w * (1 + np.float32(1e-6))).astype(np.float32),
        "small": np.float32([1e-4]),
    }
    file = write(tmp_path / "noise.onnx", body, values)
    with pytest.raises(ModelFileError, match=r"its own answers move by .* where its inputs are rounded"):
        check(file, from_onnx(file))


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_what_is_added_to_a_convolutions_channels_is_its_bias(tmp_path: Path, kind: str) -> None:
    """An addition of its own would be rounded before and after, and is slower than the convolution that it follows."""
    body = graph(
        f"c = {kind} <group = 2> (x, w) d = Add (b, c) e = {kind} <group = 2> (d, w) y = Add (e, other)",
        "float[n, 6, 9, 9] x",
        "float[n, 6, h, k] y",
    )
    values = {"w": normal(6, 3, 3, 3), "b": normal(6, 1, 1), "other": normal(1, 1, 1, 1)}
    file = write(tmp_path / "bias.onnx", body, values)
    network = from_onnx(file)
    assert check(file, network).error <= TOLERANCE
    kinds = [str(node.meta["onnx"][0]) for node in network.graph.nodes if "onnx" in node.meta]
    assert kinds == [kind, kind, "Add"]  # one number for all channels is no bias
    read_twice = f"c = {kind} <group = 2> (x, w) d = Add (c, b) e = Relu (c) y = Add (d, e)"
    has_its_own = f"c = {kind} <group = 2> (x, w, own) y = Add (c, b)"
    for place, other in enumerate((read_twice, has_its_own)):
        file = write(
            tmp_path / f"{place}.onnx",
            graph(other, "float[n, 6, 9, 9] x", "float[n, 6, h, k] y"),
            values | {"own": normal(6)},
        )
        network = from_onnx(file)
        assert check(file, network).error <= TOLERANCE
        kinds = [str(node.meta["onnx"][0]) for node in network.graph.nodes if "onnx" in node.meta]
        assert kinds.count(kind) == 1
        assert "Add" in kinds


def test_what_a_branch_depends_on_is_fixed(tmp_path: Path) -> None:
    branches = "then_branch = t () => (float[n, 4] a) { a = Identity (x) }, else_branch = e () => (float[n, 4] b) { b = Neg (x) }"
    body = graph(
        f"high = Constant <value = int64 {{16000}}> () c = Equal (rate, high) y = If (c) <{branches}>",
        "float[n, 4] x, int64 rate",
    )
    file = write(tmp_path / "fixed.onnx", body)
    assert "(input rate)" in refusal(file)
    for rate, sign in ((16000, 1), (8000, -1)):
        module = from_onnx(file, fixed={"rate": rate})
        assert check(file, module).error <= TOLERANCE
        assert torch.equal(module(torch.ones(2, 4)), sign * torch.ones(2, 4))
    assert "fixed names 'rat', which is neither" in refusal(file, fixed={"rat": 1})


def test_inputs_that_are_given_decide(tmp_path: Path) -> None:
    file = cnn(tmp_path / "cnn.onnx")
    sets = [{"image": normal(size, 3, 20, 20)} for size in (1, 4)]
    assert check(file, from_onnx(file), sets).shapes == ({"image": (1, 3, 20, 20)}, {"image": (4, 3, 20, 20)})
    with pytest.raises(UsageError, match="its input 'image' is not given"):
        check(file, from_onnx(file), [{"picture": normal(1, 3, 20, 20)}])


def test_a_distance_is_of_the_deviation_and_takes_infinities_for_what_they_are() -> None:
    answer = np.array([0.0, 10.0, -np.inf, np.nan])
    assert distance(answer, answer) == 0
    assert distance(answer + np.array([0.0, 0.5, 0.0, 0.0]), answer) == pytest.approx(0.1)
    assert distance(np.array([0.0, 10.0, 0.0, np.nan]), answer) == np.inf
    assert distance(np.zeros(3), np.zeros(4)) == np.inf
    assert distance(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5])) == 0.25


def third_party() -> list[Path]:
    """The ONNX files in wheels that are installed here: by chance, and none is needed."""
    found: list[Path] = []
    for package in ("magika", "nudenet", "rapidocr", "rapidocr_onnxruntime"):
        spec = importlib.util.find_spec(package)
        folder = (
            Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
        )
        found += sorted(folder.rglob("*.onnx")) if folder else []
    return found


@pytest.mark.slow
@pytest.mark.parametrize("file", third_party(), ids=lambda file: file.stem)
def test_third_party_files(file: Path) -> None:
    assert check(file, from_onnx(file)).error <= TOLERANCE
