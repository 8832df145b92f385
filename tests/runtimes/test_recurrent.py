"""LSTMs: weights in int8 in ONNX Runtime, the same function in float in OpenVINO, from one file."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

from edgecomp import runtimes
from edgecomp.errors import CaptureError
from edgecomp.export import torchscript
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir
from edgecomp.export.parity import executed_precision
from edgecomp.export.stage import parameter_bytes
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold
from edgecomp.quantization.layers import layer_names, unruled_layers
from edgecomp.quantization.placement import left_in_float, place, quantised_parameters, rounded_weights
from edgecomp.runtimes import Inspect
from edgecomp.runtimes.files import integer_weights

pytestmark = pytest.mark.filterwarnings("ignore:The tensor attributes")

CLASSES, EXAMPLES, STEPS, WORDS, HIDDEN = 4, 512, 12, 500, 64


class Texts(nn.Module):
    """Token ids [N, STEPS] → [N, CLASSES], from the mean over the steps or from the last state."""

    def __init__(self, *, last: bool = False, **settings: int | bool) -> None:
        super().__init__()
        self.last, self.table = last, nn.Embedding(WORDS, 32)
        self.layer = nn.LSTM(32, HIDDEN, batch_first=True, **settings)
        self.head = nn.Linear(HIDDEN * (2 if settings.get("bidirectional") and not last else 1), CLASSES)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        outputs, (states, _) = self.layer(self.table(ids))
        found: torch.Tensor = self.head(states[-1] if self.last else outputs.mean(1))
        return found


# Network → its LSTM nodes.
NETWORKS = {
    "one": (lambda: Texts(), 1),
    "two, the last state": (lambda: Texts(num_layers=2, last=True), 2),
    "both ways": (lambda: Texts(bidirectional=True), 1),
    "without biases": (lambda: Texts(bias=False), 1),
}


def texts() -> tuple[torch.Tensor, torch.Tensor]:
    """A third of the words say which class it is."""
    chance = torch.Generator().manual_seed(0)
    labels = torch.randint(0, CLASSES, (EXAMPLES,), generator=chance)
    any_word = torch.randint(5, 400, (EXAMPLES, STEPS), generator=chance)
    own_word = labels[:, None] * 50 + torch.randint(5, 45, (EXAMPLES, STEPS), generator=chance)
    return torch.where(torch.rand(EXAMPLES, STEPS, generator=chance) < 0.35, own_word, any_word), labels


def train(network: nn.Module, steps: int, rate: float) -> None:
    ids, labels = texts()
    chance = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(network.parameters(), rate)
    network.train()
    for _ in range(steps):
        index = torch.randint(0, EXAMPLES, (64,), generator=chance)
        optimizer.zero_grad()
        F.cross_entropy(network(ids[index]), labels[index]).backward()
        optimizer.step()
    network.eval()


def student(network: nn.Module, scheme: str = "cpu-u8-narrow") -> fx.GraphModule:
    train(network, 40, 5e-3)
    ids, _ = texts()
    module = place(capture(network, [ids[:2]], [{0: "batch"}]), scheme)
    calibrate(module, [{"input": ids[:128].numpy()}])
    train(module, 5, 2e-4)
    return fold(module)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_int8_in_onnx_runtime_and_the_function_is_the_same_in_both(
    name: str, tmp_path: Path
) -> None:
    make, nodes = NETWORKS[name]
    torch.manual_seed(0)
    module, (ids, _) = student(make()), texts()
    with torch.no_grad():
        wanted = module(ids).numpy()
    assert len(set(wanted.argmax(1))) == CLASSES
    file = tmp_path / "model.onnx"
    export_onnx(module, [ids[:2]], file)
    ir.convert(file, tmp_path)
    written = onnx.load(file).graph
    assert [one.op_type for one in written.node].count("DynamicQuantizeLSTM") == nodes
    large = [one.name for one in written.initializer if np.prod(one.dims) >= HIDDEN * HIDDEN]
    assert all(one.data_type == onnx.TensorProto.INT8 for one in written.initializer if one.name in large)

    for runtime_name, model in (("onnxruntime-cpu", file), ("openvino-cpu", tmp_path / "model.xml")):
        runtime = runtimes.adapter(runtime_name)
        session = runtime.load(model, threads=1, options={})
        for batch in (1, 8, 64):
            found = np.concatenate(
                [
                    next(iter(session.run({"input": ids[start : start + batch].numpy()}).values())).copy()
                    for start in range(0, EXAMPLES, batch)
                ]
            )
            error = found - wanted
            assert (found.argmax(1) == wanted.argmax(1)).mean() >= 0.985, (runtime_name, batch)
            assert np.abs(error).mean() <= 0.02 * wanted.std(), (runtime_name, batch)
            least = (
                35 if runtime_name == "onnxruntime-cpu" else 80
            )  # one rounds what the layer reads, the other nothing
            assert 10 * np.log10((wanted**2).mean() / (error**2).mean()) >= least, (runtime_name, batch)
        assert isinstance(runtime, Inspect)
        layers = runtime.executed_layers(model, options={})
        precision = {one.type: one.precision for one in layers if one.macs}
        told = executed_precision(layers, {"layer": "no integer kernel"})
        if runtime_name == "onnxruntime-cpu":
            assert precision == {"DynamicQuantizeLSTM": "int8", "QGemm": "int8"}
            assert {one["name"] for one in told["float_layers"]} == {"layer"}
        else:
            assert precision == {"RNNSeq": "fp32", "FullyConnected": "int8"}
        assert executed_precision(layers, {})["uncounted"] == []
    directions = 2 if name == "both ways" else 1
    each = [directions * STEPS * 4 * HIDDEN * (inputs + HIDDEN) for inputs in (32, HIDDEN)][:nodes]
    layers = runtimes.adapter("onnxruntime-cpu").executed_layers(file, options={})  # type: ignore[attr-defined]
    assert [one.macs for one in layers if one.type == "DynamicQuantizeLSTM"] == each


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("settings", [{}, {"num_layers": 2, "bidirectional": True}, {"batch_first": False}])
def test_texts_of_any_length_from_one_file(
    kind: type[nn.RNNBase], settings: dict[str, int | bool], tmp_path: Path
) -> None:
    class AnyLength(nn.Module):
        """Every step is weighted by its place, which a length that was fixed would get wrong."""

        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(WORDS, 32)
            self.layer = kind(32, HIDDEN, **{"batch_first": True, **settings})
            self.head = nn.Linear(HIDDEN * (2 if settings.get("bidirectional") else 1), CLASSES)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            x = self.table(ids)
            first = self.layer.batch_first
            outputs = self.layer(x)[0] if first else self.layer(x.transpose(0, 1))[0].transpose(0, 1)
            places = torch.arange(outputs.shape[1]) / outputs.shape[1]
            found: torch.Tensor = self.head((outputs * places[None, :, None]).mean(1))
            return found

    torch.manual_seed(0)
    network, (ids, _) = AnyLength(), texts()
    train(network, 15, 5e-3)
    axes = [{0: "batch", 1: "sequence"}]
    module = place(capture(network, [ids[:2]], axes), "cpu-u8-narrow")
    calibrate(module, [{"input": ids[:128].numpy()}, {"input": ids[:64, :5].numpy()}])
    module = fold(module)
    export_onnx(module, [ids[:2]], tmp_path / "model.onnx", dynamic_axes=axes)
    ir.convert(tmp_path / "model.onnx", tmp_path)
    for runtime_name, file in (("onnxruntime-cpu", "model.onnx"), ("openvino-cpu", "model.xml")):
        session = runtimes.adapter(runtime_name).load(tmp_path / file, threads=1, options={})
        for length in (1, 5, STEPS, 2 * STEPS):
            asked = torch.cat([ids, ids], 1)[:64, :length]
            with torch.no_grad():
                wanted, trained = module(asked).numpy(), network(asked).numpy()
            (found,) = session.run({"input": asked.numpy()}).values()
            assert np.abs(found - wanted).mean() <= 0.02 * wanted.std(), (runtime_name, length)
            assert np.abs(wanted - trained).mean() <= 0.1 * trained.std()


def test_what_torch_writes_out_step_by_step_is_refused_by_name() -> None:
    network = nn.Sequential(nn.Embedding(WORDS, 8), nn.RNN(8, 8, batch_first=True))
    ids, _ = texts()
    with pytest.raises(CaptureError, match=r"1 \(RNN\), out step by step .* take an LSTM or a GRU"):
        capture(network, [ids[:2]], [{0: "batch", 1: "sequence"}])


def test_a_projection_is_refused_by_name() -> None:
    network = nn.Sequential(nn.Embedding(WORDS, 8), nn.LSTM(8, 8, batch_first=True, proj_size=4))
    ids, _ = texts()
    with pytest.raises(CaptureError, match=r"1 \(LSTM\) has proj_size=4"):
        capture(network, [ids[:2]], [{0: "batch"}])


def test_an_lstm_is_a_layer_of_a_scheme() -> None:
    torch.manual_seed(0)
    ids, _ = texts()
    graph = capture(Texts(bidirectional=True), [ids[:2]], [{0: "batch"}])
    assert layer_names(graph) == ["layer", "head"]
    assert unruled_layers(graph) == []
    module = place(graph, "cpu-u8")
    assert left_in_float(module) == {"zeros.default": 2}
    weights = {f"layer.weight_{kind}_l0{way}" for kind in ("ih", "hh") for way in ("", "_reverse")}
    assert quantised_parameters(module) == {"table.weight", "head.weight", *weights}
    rows = [tuple(quant.log_scale.shape) for node, _, quant in rounded_weights(module)][:4]
    assert rows == [(4 * HIDDEN, 1)] * 4


@pytest.mark.parametrize(("scheme", "left"), [("cpu-u8", ("layer",)), ("gpu-s8", ())])
def test_an_lstm_stays_in_float_where_it_is_named_and_where_no_runtime_has_a_kernel(
    scheme: str, left: tuple[str, ...], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    ids, _ = texts()
    module = place(capture(Texts(), [ids[:2]], [{0: "batch"}]), scheme, left)
    assert quantised_parameters(module) == {"table.weight", "head.weight"}
    assert "lstm.input" in left_in_float(module)
    calibrate(module, [{"input": ids[:64].numpy()}])
    export_onnx(fold(module), [ids[:2]], tmp_path / "model.onnx")
    written = onnx.load(tmp_path / "model.onnx")
    assert "LSTM" in [one.op_type for one in written.graph.node]
    assert not written.functions


@pytest.mark.parametrize(("scheme", "saturates"), [("cpu-u8", True), ("cpu-u8-narrow", False)])
def test_an_lstms_products_are_looked_at_for_saturation(scheme: str, saturates: bool, tmp_path: Path) -> None:
    """ONNX Runtime's kernel does saturate without VNNI: 8 % of error with the weights of cpu-u8, 0.5 % with narrow ones."""
    torch.manual_seed(0)
    ids, _ = texts()
    module = place(capture(Texts(), [ids[:2]], [{0: "batch"}]), scheme)
    calibrate(module, [{"input": ids[:64].numpy()}])
    export_onnx(fold(module), [ids[:2]], tmp_path / "model.onnx")
    found = {one.layer: one.can_saturate for one in integer_weights.read(tmp_path / "model.onnx")}
    assert found == {"layer": saturates, "head": saturates}


def test_two_layers_of_one_module_have_names_of_their_own(tmp_path: Path) -> None:
    """ONNX Runtime refuses a file in which two nodes are called alike."""
    torch.manual_seed(0)
    ids, _ = texts()
    network = Texts(num_layers=2).eval()
    export_onnx(capture(network, [ids[:2]], [{0: "batch"}]), [ids[:2]], tmp_path / "model.onnx")
    written = onnx.load(tmp_path / "model.onnx").graph
    assert [one.name for one in written.node if one.op_type == "LSTM"] == ["layer", "layer@2"]
    session = runtimes.adapter("onnxruntime-cpu").load(tmp_path / "model.onnx", threads=1, options={})
    with torch.no_grad():
        wanted = network(ids).numpy()
    np.testing.assert_allclose(session.run({"input": ids.numpy()})["logits"], wanted, atol=1e-5)


def test_weights_that_are_shared_stay_shared() -> None:
    """Two readings of one LSTM have one grid for each weight, and nothing is stored twice."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.LSTM(8, 8, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.layer(self.layer(x)[0])[0]
            return found

    x = torch.randn(2, 5, 8)
    graph = capture(Twice(), [x], [{0: "batch"}])
    once = parameter_bytes(graph)
    module = place(graph, "cpu-u8")
    calibrate(module, [{"input": x.numpy()}])
    assert len({quant for _, _, quant in rounded_weights(module)}) == 2
    assert parameter_bytes(fold(module)) < once


def test_a_trace_of_an_lstm_holds_for_every_batch(tmp_path: Path) -> None:
    """Its first states were of the traced batch: with another one torch wrote beyond its memory."""
    torch.manual_seed(0)
    ids, _ = texts()
    graph = capture(Texts().eval(), [ids[:2]], [{0: "batch"}])
    torchscript.save(graph, [ids[:2]], [ids[:3]], tmp_path / "model.ts")
    session = runtimes.adapter("torchscript-cpu").load(tmp_path / "model.ts", threads=1, options={})
    with torch.no_grad():
        wanted = graph(ids).numpy()
    (found,) = session.run({session.signature().inputs[0].name: ids.numpy()}).values()
    np.testing.assert_allclose(found, wanted, atol=1e-6)
