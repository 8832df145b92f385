"""Files that our own exporter writes, and ones as other tools write them: imported, the same function; then quantised and exported again."""

import os
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import torch
from onnx_files import cnn, text
from torch import nn

from edgecomp import runtimes
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.models.networks.airbench import Airbench
from edgecomp.models.networks.mlp import Mlp
from edgecomp.models.networks.mobilenet import MobileNet
from edgecomp.models.networks.resnet import ResNet
from edgecomp.models.networks.segmenter import Segmenter
from edgecomp.models.networks.transformer import Tagger, Transformer
from edgecomp.onnx_import import check, from_onnx, interface_of
from edgecomp.onnx_import.checking import TOLERANCE
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold
from edgecomp.quantization.layers import layer_names
from edgecomp.quantization.placement import place

Axes = dict[int, str]
IMAGES: Axes = {0: "batch"}
TEXTS: Axes = {0: "batch", 1: "length"}


def pictures() -> list[torch.Tensor]:
    return [torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))]


def rows() -> list[torch.Tensor]:
    return [torch.randn(4, 6, generator=torch.Generator().manual_seed(0))]


def words() -> list[torch.Tensor]:
    ids = torch.randint(1, 50, (4, 12), generator=torch.Generator().manual_seed(0))
    return [ids, torch.ones_like(ids)]


OURS: dict[str, tuple[Callable[[], nn.Module], Callable[[], list[torch.Tensor]], Axes]] = {
    "airbench": (lambda: Airbench(1, 4), pictures, IMAGES),
    "mlp": (lambda: Mlp(6, 4), rows, IMAGES),
    "mobilenet": (lambda: MobileNet(1, 4), pictures, IMAGES),
    "resnet": (lambda: ResNet(1, 4, blocks=1, width=8), pictures, IMAGES),
    "segmenter": (lambda: Segmenter(1, 4), pictures, IMAGES),
    "tagger": (lambda: Tagger(50, 16, 4), words, TEXTS),
    "transformer": (lambda: Transformer(50, 16, 4), words, TEXTS),
}


def exported(network: nn.Module, example: list[torch.Tensor], axes: Axes, file: Path) -> Path:
    names = [f"input_{place}" for place in range(len(example))]
    two = [tensor[:2] for tensor in example]
    export_onnx(network, two, file, input_names=names, dynamic_axes=[axes] * len(example))
    return file


@pytest.mark.parametrize("name", OURS)
def test_our_own_files_are_the_same_networks(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    build, examples, axes = OURS[name]
    network, example = build().eval(), examples()
    module = from_onnx(exported(network, example, axes, tmp_path / "model.onnx"))
    assert check(tmp_path / "model.onnx", module).error <= TOLERANCE
    two, each = [tensor[:2] for tensor in example], [axes] * len(example)
    captured, mine = capture(module, two, each), capture(network, two, each)
    with torch.no_grad():
        assert torch.allclose(captured(*example), network(*example), atol=1e-5)
    assert len(layer_names(captured)) == len(layer_names(mine))


ARCHITECTURES = (
    "BERT",
    "DeBERTa-v2",
    "Llama",
    "ViT",
    "Swin",
    "MobileNetV2",
    "ConvNeXt",
    "LeViT",
    "SegFormer",
    "OPT",
)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_tested_architectures_are_the_same_networks(name: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the extra `text`")
    from runtimes.test_architectures import NETWORKS, task

    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    on = task(network)
    example, file = [tensor[:2] for tensor in on.inputs], tmp_path / "model.onnx"
    captured = capture(network, example, on.axes)
    export_onnx(captured, example, file, input_names=network.names, dynamic_axes=on.axes)
    module = from_onnx(file)
    assert interface_of(module).inputs == network.names
    assert check(file, module).error <= TOLERANCE
    again, five = capture(module, example, on.axes), [tensor[:5] for tensor in on.inputs]
    with torch.no_grad():
        assert torch.allclose(again(*five), network(*five), atol=1e-5)


def quantised_cnn(folder: Path) -> tuple[Path, dict[str, np.ndarray], list[Axes]]:
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0)).numpy()
    return cnn(folder / "cnn.onnx"), {"image": images}, [IMAGES]


def quantised_text(folder: Path) -> tuple[Path, dict[str, np.ndarray], list[Axes]]:
    ids = words()[0].repeat(4, 1).numpy()
    return text(folder / "text.onnx"), {"ids": ids, "mask": (ids > 5).astype(np.float32)}, [TEXTS, TEXTS]


def quantised_transformer(folder: Path) -> tuple[Path, dict[str, np.ndarray], list[Axes]]:
    torch.manual_seed(0)
    network = Transformer(50, 16, 4).eval()
    inputs = {f"input_{place}": one.repeat(4, 1).numpy() for place, one in enumerate(words())}
    return exported(network, words(), TEXTS, folder / "own.onnx"), inputs, [TEXTS, TEXTS]


@pytest.mark.parametrize("made", [quantised_cnn, quantised_text, quantised_transformer])
def test_an_imported_network_is_quantised_and_exported_as_one_in_python_is(
    made: Callable[[Path], tuple[Path, dict[str, np.ndarray], list[Axes]]], tmp_path: Path
) -> None:
    source, inputs, axes = made(tmp_path)
    outputs = ["logits"] if source.name == "cnn.onnx" else None
    network = from_onnx(source, outputs)
    tensors = [torch.from_numpy(values) for values in inputs.values()]
    with torch.no_grad():
        wanted = network(*tensors)
    student = place(capture(network, [tensor[:2] for tensor in tensors], axes), "cpu-u8-narrow")
    calibrate(student, [inputs])
    fold(student)
    with torch.no_grad():
        rounded = student(*tensors)
    assert (rounded - wanted).abs().mean() < 0.05 * wanted.std()
    file = tmp_path / "int8.onnx"
    export_onnx(
        student, [tensor[:2] for tensor in tensors], file, input_names=list(inputs), dynamic_axes=axes
    )
    session = runtimes.adapter("onnxruntime-cpu").load(file, threads=1, options={})
    executed = next(iter(session.run(inputs).values()))
    session.close()
    assert np.abs(executed - rounded.numpy()).mean() < 0.02 * float(wanted.std())
