import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from edgecomp import runtimes
from edgecomp.errors import EdgecompError, RuntimeUnavailableError
from edgecomp.export import openvino_ir, ptq
from edgecomp.export.onnx_qdq import export_onnx
from edgecomp.export.parity import own_name
from edgecomp.export.ptq import Setting, quantise
from edgecomp.models.resnet import ResNet
from edgecomp.runtimes import Inspect

BATCHES = [
    {"input": np.random.default_rng(i).normal(size=(16, 1, 16, 16)).astype(np.float32)} for i in range(3)
]


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fp32")
    torch.manual_seed(0)
    network = ResNet(1, 10, blocks=1, width=8).eval()
    export_onnx(network, [torch.zeros(2, 1, 16, 16)], folder / "model.onnx")
    openvino_ir.convert(folder / "model.onnx", folder)
    return folder


def precisions(runtime_name: str, model: Path) -> dict[str, str]:
    runtime = runtimes.adapter(runtime_name)
    assert isinstance(runtime, Inspect)
    found = runtime.executed_layers(model, options={})
    return {own_name(layer): layer.precision for layer in found if layer.macs}


CASES = [
    ("onnxruntime-cpu", "model.onnx", Setting("ptq-ort", float_layers=("layers.1.conv2",))),
    ("onnxruntime-cpu", "model.onnx", Setting("ptq-ort", "percentile", 99.9)),
    ("onnxruntime-cpu", "model.onnx", Setting("ptq-nncf", float_layers=("layers.1.conv2",))),
    ("openvino-cpu", "model.xml", Setting("ptq-nncf", "percentile", 99.9)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("runtime", "file", "setting"), CASES, ids=str)
def test_a_runtimes_own_tool_gives_an_int8_file_the_same_one_each_time(
    runtime: str, file: str, setting: Setting, fp32: Path, tmp_path: Path
) -> None:
    if setting.tool == "ptq-nncf":
        pytest.importorskip("nncf", reason="needs the extra `nncf`")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        quantise(setting, fp32 / file, BATCHES, tmp_path / name / file)
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
    monkeypatch.setattr(ptq.sys, "executable", str(fake))
    with pytest.raises(RuntimeUnavailableError, match=r"edgecomp\[nncf\]"):
        quantise(Setting("ptq-nncf"), fp32 / "model.onnx", BATCHES, tmp_path / "out.onnx")


def test_a_tool_that_fails_says_so_in_its_own_words(fp32: Path, tmp_path: Path) -> None:
    wrong = [{"other": np.zeros((1, 1, 16, 16), np.float32)}]
    with pytest.raises(EdgecompError, match=r"ptq-ort cannot quantise model.onnx: .*"):
        quantise(Setting("ptq-ort"), fp32 / "model.onnx", wrong, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()
