"""Four bits are simulated: stored as eight, and in both runtimes the function that was trained."""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from networks import Transformer, sentences
from onnx import numpy_helper
from torch import nn

from edgecomp import runtimes
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir as openvino_ir
from edgecomp.export.parity import answers
from edgecomp.machine import host_isa, saturates
from edgecomp.models.networks.resnet import ResNet
from edgecomp.ptq.ours import PostTraining
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold

RUNTIMES = {"onnxruntime-cpu": "model.onnx", "openvino-cpu": "model.xml"}


def images(count: int, seed: int) -> tuple[dict[str, np.ndarray], torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (count,), generator=generator)
    x = torch.randn(count, 1, 12, 12, generator=generator)
    for index, label in enumerate(labels):
        x[index, 0, 6 * (label // 2) :, 6 * (label % 2) :][:6, :6] += 1
    return {"input": x.numpy()}, labels


def trained(network: nn.Module, batches: list[tuple[dict[str, np.ndarray], torch.Tensor]]) -> nn.Module:
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    for inputs, labels in batches:
        optimiser.zero_grad()
        F.cross_entropy(network(*map(torch.from_numpy, inputs.values())), labels).backward()
        optimiser.step()
    return network.eval()


class Case(NamedTuple):
    captured: torch.fx.GraphModule
    batches: list[dict[str, np.ndarray]]
    probes: dict[str, np.ndarray]
    axes: list[dict[int, str]]


@functools.cache
def network(kind: str) -> Case:
    torch.manual_seed(0)
    if kind == "CNN":
        made = [images(32, seed) for seed in range(60)]
        net, probes, axes = (
            trained(ResNet(1, 4, blocks=1, width=8), made),
            images(512, 1000)[0],
            [{0: "batch"}],
        )
    else:
        made = [sentences(32, 8 + seed % 4, seed) for seed in range(120)]
        net, probes = trained(Transformer(), made), sentences(512, 10, 1000)[0]
        axes = [{0: "batch", 1: "sequence"}] * 2
    example = [torch.from_numpy(array[:2]) for array in made[0][0].values()]
    return Case(capture(net, example, axes), [inputs for inputs, _ in made[:4]], probes, axes)


@pytest.fixture(scope="module", params=["CNN", "transformer"])
def case(request: pytest.FixtureRequest) -> Case:
    return network(request.param)


def quantised(case: Case, scheme: str, bits: tuple[int, int], edges: bool) -> torch.fx.GraphModule:
    made = PostTraining(
        case.captured,
        case.batches,
        scheme=scheme,
        weight_bits=bits[0],
        activation_bits=bits[1],
        edges_in_8_bits=edges,
    )
    return fold(made.student("mse", bias_correction=True))


def logits(student: torch.fx.GraphModule, probes: dict[str, np.ndarray]) -> np.ndarray:
    with torch.no_grad():
        return student(*map(torch.from_numpy, probes.values())).numpy()


def export(student: torch.fx.GraphModule, case: Case, folder: Path, ir: bool = True) -> None:
    example = [torch.from_numpy(array[:2]) for array in case.batches[0].values()]
    model = folder / "model.onnx"
    export_onnx(student, example, model, input_names=list(case.probes), dynamic_axes=case.axes)
    if ir:
        openvino_ir.convert(model, folder)


@pytest.mark.slow
@pytest.mark.parametrize("edges", [True, False])
@pytest.mark.parametrize(
    ("scheme", "bits"), [("cpu-u8-narrow", (4, 4)), ("cpu-u8-narrow", (8, 4)), ("gpu-s8", (2, 4))], ids=str
)
def test_both_runtimes_give_the_answers_of_the_simulation(
    case: Case, scheme: str, bits: tuple[int, int], edges: bool, tmp_path: Path
) -> None:
    """With wide weights a CPU whose sums are cut off gives other answers: there the file's exact integers are executed."""
    student = quantised(case, scheme, bits, edges)
    wanted = logits(student, case.probes)
    export(student, case, tmp_path)
    cut_off = edges and scheme == "gpu-s8" and saturates(host_isa())
    for runtime, file in [("onnxruntime-cpu", "model.onnx")] if cut_off else RUNTIMES.items():
        options = {"optimisation": "off"} if cut_off else {}
        found = answers(runtimes.adapter(runtime), tmp_path / file, options, case.probes, 64)
        assert (found.argmax(1) == wanted.argmax(1)).mean() >= 0.99, runtime
        assert np.abs(found - wanted).mean() <= 0.01 * wanted.std(), runtime


def test_without_the_clip_the_file_is_another_function(case: Case, tmp_path: Path) -> None:
    student = quantised(case, "cpu-u8-narrow", (4, 4), True)
    wanted = logits(student, case.probes)
    export(student, case, tmp_path, ir=False)
    model = onnx.load(tmp_path / "model.onnx")
    for node in [node for node in model.graph.node if node.op_type == "Clip"]:
        for other in model.graph.node:
            other.input[:] = [node.input[0] if name == node.output[0] else name for name in other.input]
        model.graph.node.remove(node)
    onnx.save(model, tmp_path / "wrong.onnx")
    found, wrong = (
        answers(runtimes.adapter("onnxruntime-cpu"), tmp_path / file, {}, case.probes, 64)
        for file in ("model.onnx", "wrong.onnx")
    )
    assert np.abs(found - wanted).mean() <= 1e-3 * wanted.std()
    assert np.abs(wrong - wanted).mean() >= 5e-3 * wanted.std()


def test_a_table_stores_no_level_beyond_its_grid(tmp_path: Path) -> None:
    """Folding leaves tables alone, and a range of the least squared error does not cover their values."""
    case = network("transformer")
    student = quantised(case, "cpu-u8", (2, 8), False)
    export(student, case, tmp_path, ir=False)
    graph = onnx.load(tmp_path / "model.onnx").graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    tables = [constants[node.input[0]] for node in graph.node if node.op_type == "Gather"]
    assert sorted(table.shape[0] for table in tables) == [2, 64]
    for table in tables:
        assert table.dtype == np.int8
        assert set(np.unique(table)) == {-1, 0, 1}


def test_an_eight_bit_student_has_no_clip(tmp_path: Path) -> None:
    case = network("CNN")
    export(quantised(case, "cpu-u8", (4, 8), True), case, tmp_path, ir=False)
    assert not {"Clip", "Max"} & {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
