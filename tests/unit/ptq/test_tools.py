import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from networks import Transformer, sentences
from onnx import numpy_helper

from edgecomp import runtimes
from edgecomp.errors import EdgecompError, RuntimeUnavailableError
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir
from edgecomp.export.parity import answers, int8_share_pct, own_name
from edgecomp.machine import cpu_flags
from edgecomp.models.networks.resnet import ResNet
from edgecomp.ptq import tools
from edgecomp.ptq.tools import WEIGHTED, WEIGHTED_AND_TABLES, Job, Setting, quantise, quantise_all
from edgecomp.quantization.capture import capture
from edgecomp.runtimes import Inspect
from edgecomp.runtimes.files import integer_weights
from edgecomp.runtimes.openvino_cpu import VNNI

BATCHES = [
    {"input": np.random.default_rng(i).normal(size=(16, 1, 16, 16)).astype(np.float32)} for i in range(3)
]


@pytest.mark.parametrize("file", ["model.onnx", "model.xml"])
def test_nncfs_files_in_half_the_range_cannot_saturate_either(fp32: Path, tmp_path: Path, file: str) -> None:
    pytest.importorskip("nncf")
    to = tmp_path / file
    quantise(Setting("ptq-nncf", scheme="cpu-u8-narrow"), fp32 / file, BATCHES, to)
    layers = integer_weights.read(to)
    assert len(layers) == 10
    assert not any(layer.can_saturate for layer in layers)


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fp32")
    torch.manual_seed(0)
    network = ResNet(1, 10, blocks=1, width=8).eval()
    export_onnx(network, [torch.zeros(2, 1, 16, 16)], folder / "model.onnx")
    ir.convert(folder / "model.onnx", folder)
    return folder


def precisions(runtime_name: str, model: Path) -> dict[str, str]:
    runtime = runtimes.adapter(runtime_name)
    assert isinstance(runtime, Inspect)
    found = runtime.executed_layers(model, options={})
    return {own_name(layer): layer.precision for layer in found if layer.macs}


CASES = [
    ("onnxruntime-cpu", "model.onnx", Setting("ptq-ort", float_layers=("layers.1.conv2",))),
    ("onnxruntime-cpu", "model.onnx", Setting("ptq-ort", "percentile", 99.9)),
    ("onnxruntime-cpu", "model.onnx", Setting("ptq-ort", "entropy", scheme="cpu-u8-narrow")),
    ("onnxruntime-cpu", "model.onnx", Setting("ptq-nncf", float_layers=("layers.1.conv2",))),
    (
        "onnxruntime-cpu",
        "model.onnx",
        Setting("ptq-nncf", "histogram", bias_correction="none", scheme="cpu-u8"),
    ),
    ("openvino-cpu", "model.xml", Setting("ptq-nncf", "percentile", 99.9)),
    ("openvino-cpu", "model.xml", Setting("ptq-nncf", bias_correction="full", scheme="cpu-u8-narrow")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("runtime", "file", "setting"), CASES, ids=str)
def test_a_runtimes_own_tool_gives_an_int8_file_the_same_one_each_time(
    runtime: str, file: str, setting: Setting, fp32: Path, tmp_path: Path
) -> None:
    if setting.tool == "ptq-nncf":
        pytest.importorskip("nncf", reason="needs the extra `nncf`")
    for name in ("one", "two", "after another"):
        (tmp_path / name).mkdir()
    quantise(setting, fp32 / file, BATCHES, tmp_path / "one" / file)
    jobs = [Job(setting, fp32 / file, tmp_path / name / file) for name in ("after another", "two")]
    assert [done.error for done in quantise_all(jobs, BATCHES)] == [None, None]
    for made in (tmp_path / "one").iterdir():
        assert made.read_bytes() == (tmp_path / "two" / made.name).read_bytes(), made.name
    found = precisions(runtime, tmp_path / "one" / file)
    in_float = {name for name, precision in found.items() if precision == "fp32"}
    assert set(setting.float_layers) <= in_float
    # NNCF's ONNX path leaves the last layer's output in float, and what feeds a layer that is: so are those layers.
    assert in_float - set(setting.float_layers) <= (
        {"head", "layers.1.conv1"} if setting.tool == "ptq-nncf" else set()
    )


def test_a_tool_that_is_not_installed_is_named(
    fp32: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "python"
    fake.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "raise ModuleNotFoundError(\\"No module named \'nncf\'\\")"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setattr(tools.sys, "executable", str(fake))
    with pytest.raises(RuntimeUnavailableError, match=r"edgecomp\[nncf\]"):
        quantise(Setting("ptq-nncf"), fp32 / "model.onnx", BATCHES, tmp_path / "out.onnx")


def test_a_tool_that_fails_says_so_in_its_own_words(fp32: Path, tmp_path: Path) -> None:
    wrong = [{"other": np.zeros((1, 1, 16, 16), np.float32)}]
    with pytest.raises(EdgecompError, match=r"ptq-ort cannot quantise model.onnx: .*"):
        quantise(Setting("ptq-ort"), fp32 / "model.onnx", wrong, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_a_job_that_fails_stops_no_other(fp32: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    jobs = [
        Job(Setting("ptq-ort"), tmp_path / "broken.onnx", tmp_path / "one.onnx"),
        Job(Setting("ptq-ort"), fp32 / "model.onnx", tmp_path / "two.onnx"),
        Job(Setting("ptq-ort", "no-such"), fp32 / "model.onnx", tmp_path / "three.onnx"),
    ]
    broken, made, unknown = quantise_all(jobs, BATCHES)
    assert "ptq-ort cannot quantise broken.onnx" in str(broken.error)
    assert made.error is None
    assert "no-such" in str(unknown.error)
    assert {file.name for file in tmp_path.iterdir()} == {"broken.onnx", "two.onnx"}


def constants(model: Path) -> dict[str, np.ndarray]:
    return {item.name: numpy_helper.to_array(item) for item in onnx.load(model).graph.initializer}


def test_a_scheme_is_what_the_tool_is_told(fp32: Path, tmp_path: Path) -> None:
    names = (None, "cpu-u8", "cpu-u8-narrow", "gpu-s8")
    jobs = [
        Job(Setting("ptq-ort", scheme=name), fp32 / "model.onnx", tmp_path / f"{name}.onnx") for name in names
    ]
    assert [done.error for done in quantise_all(jobs, BATCHES)] == [None] * 4
    assert (tmp_path / "None.onnx").read_bytes() == (tmp_path / "cpu-u8.onnx").read_bytes()
    for name, most in (("cpu-u8", 127), ("cpu-u8-narrow", 64), ("gpu-s8", 127)):
        weights = [
            one
            for one in constants(tmp_path / f"{name}.onnx").values()
            if one.dtype == np.int8 and one.ndim > 1
        ]
        assert len(weights) == 10
        assert max(int(np.abs(one.astype(int)).max()) for one in weights) == most
    assert not any(layer.can_saturate for layer in integer_weights.read(tmp_path / "cpu-u8-narrow.onnx"))
    assert all(layer.can_saturate for layer in integer_weights.read(tmp_path / "cpu-u8.onnx"))
    graph = onnx.load(tmp_path / "gpu-s8.onnx").graph
    points = constants(tmp_path / "gpu-s8.onnx")
    rounded = [points[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"]
    assert {str(one.dtype) for one in rounded} == {"int8"}
    assert not any(one.any() for one in rounded)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    torch.manual_seed(0)
    example = [torch.from_numpy(array) for array in sentences(2, 8, 0)[0].values()]
    axes = [{0: "batch", 1: "sequence"}] * 2
    export_onnx(
        Transformer().eval(), example, folder / "model.onnx", input_names=["ids", "mask"], dynamic_axes=axes
    )
    return folder / "model.onnx"


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [Setting("ptq-ort", kind, operators=WEIGHTED) for kind in ("min-max", "percentile", "entropy")]
    + [Setting("ptq-nncf", kind) for kind in ("min-max", "percentile", "histogram")],
    ids=lambda setting: f"{setting.tool} {setting.calibration}",
)
def test_batches_may_differ_in_length(setting: Setting, text: Path, tmp_path: Path) -> None:
    if setting.tool == "ptq-nncf":
        pytest.importorskip("nncf", reason="needs the extra `nncf`")
    batches = [sentences(16, length, seed)[0] for seed, length in enumerate((8, 11, 9))]
    quantise(setting, text, batches, tmp_path / "model.onnx")
    assert "int8" in precisions("onnxruntime-cpu", tmp_path / "model.onnx").values()


def test_of_a_transformer_the_named_operators_alone_are_rounded_and_their_results_are_not(
    text: Path, tmp_path: Path
) -> None:
    probes = sentences(128, 10, 5)[0]
    settings = {"all": (), "weighted": WEIGHTED, "tables": WEIGHTED_AND_TABLES}
    jobs = [
        Job(Setting("ptq-ort", operators=kinds, scheme="cpu-u8-narrow"), text, tmp_path / f"{name}.onnx")
        for name, kinds in settings.items()
    ]
    made = quantise_all(jobs, [sentences(16, 8, seed)[0] for seed in range(3)])
    assert [done.error for done in made] == [None] * 3
    plain = runtimes.adapter("onnxruntime-cpu")
    wanted = answers(plain, text, {}, probes, 64)
    error = {}
    for name in settings:
        found = answers(plain, tmp_path / f"{name}.onnx", {}, probes, 64)
        error[name] = float(((found - wanted) ** 2).mean() / wanted.var())
    assert error["weighted"] < error["tables"] < 0.2 * error["all"]
    graph = onnx.load(tmp_path / "weighted.onnx").graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    products = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    layers = [node for node in products if made_by.get(node.input[1]) == "DequantizeLinear"]
    assert (len(products), len(layers)) == (9, 7), "an attention's own stay in float"
    rounded = {node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    assert not rounded & {node.output[0] for node in layers}
    stored = constants(tmp_path / "tables.onnx")
    assert {stored[f"{name}.weight_quantized"].dtype.itemsize for name in ("words", "kinds")} == {1}


def test_a_file_that_is_moved_half_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary folder may be another file system, where a move is a copy, and a copy may be killed."""
    made = tmp_path / "made"
    made.mkdir()
    (made / "done").touch()
    (made / "model.onnx").write_bytes(b"1234")

    def killed(source: Path, to: Path) -> None:
        Path(to).write_bytes(Path(source).read_bytes()[:2])
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.move", killed)
    job = Job(Setting("ptq-ort"), tmp_path / "fp32.onnx", tmp_path / "model.onnx")
    with pytest.raises(KeyboardInterrupt):
        tools._fetch(job, made, "")
    assert not (tmp_path / "model.onnx").exists()


class Products(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.wide, self.narrow = torch.nn.Linear(64, 256), torch.nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.narrow(self.wide(x).relu().mean(1))
        return found


@pytest.mark.parametrize(
    ("runtime", "file"), [("onnxruntime-cpu", "model.onnx"), ("openvino-cpu", "model.xml")]
)
def test_a_dynamic_file_is_as_its_network_and_counts_as_int8_where_inputs_are_rounded(
    runtime: str, file: str, tmp_path: Path
) -> None:
    if file.endswith("xml"):
        pytest.importorskip("nncf", reason="needs the extra `nncf`")
    example = torch.randn(8, 6, 64, generator=torch.Generator().manual_seed(0))
    export_onnx(
        capture(Products(), [example], ({0: "batch"},)),
        [example],
        tmp_path / "model.onnx",
        input_names=["x"],
        dynamic_axes=({0: "batch"},),
    )
    ir.convert(tmp_path / "model.onnx", tmp_path)
    batches = [{"x": example.numpy()}]
    (tmp_path / "made").mkdir()
    # Narrow weights: the same answers on a CPU without VNNI.
    setting = Setting("ptq-dynamic", operators=WEIGHTED, scheme="cpu-u8-narrow")
    quantise(setting, tmp_path / file, batches, tmp_path / "made" / file)
    adapter = runtimes.adapter(runtime)
    wanted, found = (
        answers(adapter, one, {}, batches[0], 4) for one in (tmp_path / file, tmp_path / "made" / file)
    )
    assert 1e-5 < np.abs(found - wanted).mean() / wanted.std() < 0.03
    assert isinstance(adapter, Inspect)
    rounds = runtime != "openvino-cpu" or not cpu_flags().isdisjoint(VNNI)
    layers = [one for one in adapter.executed_layers(tmp_path / "made" / file, options={}) if one.macs]
    assert int8_share_pct(layers) == (100 if rounds else 0)
    if runtime == "openvino-cpu":  # whose executed graph says int8 of weights alone, too
        alone = adapter.executed_layers(tmp_path / "made" / file, options={"dynamic_group": 0})
        assert int8_share_pct([one for one in alone if one.macs]) == 0
