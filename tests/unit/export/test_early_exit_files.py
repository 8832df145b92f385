"""A student with exits as files that follow each other: each gives what PyTorch gives, and the last what the student does."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import fx, nn

from edgecomp.distill.losses.own.early_exits import Head
from edgecomp.errors import CaptureError
from edgecomp.export.early_exits import _giving_states, export_exits, export_int8_exits
from edgecomp.export.stage import Interface, deployed, write_onnx
from edgecomp.models.networks.resnet import ResNet
from edgecomp.models.networks.transformer import Transformer
from edgecomp.package.early_exits import Parts
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture, duplicate
from edgecomp.quantization.placement import place


def run_files(folder: Path, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What each file answers, one after another."""
    found, state = [], {}
    for file in [*sorted(folder.glob("exit_*.onnx")), folder / "end.onnx"]:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        asked = {one.name: (inputs | state)[one.name] for one in session.get_inputs()}
        given = dict(zip([one.name for one in session.get_outputs()], session.run(None, asked), strict=True))
        found.append(given["answer"])
        state = {"state": given["next_state"]} if "next_state" in given else {}
    return found


def nodes(file: Path) -> int:
    return len(onnx.load(file).graph.node)


def test_images(tmp_path: Path) -> None:
    torch.manual_seed(0)
    student = ResNet(1, 5, blocks=1, width=4).eval()
    heads = {"layers.0": Head(nn.Linear(4, 5)), "layers.1": Head(nn.Linear(8, 5))}
    example = {"input": np.random.default_rng(0).normal(size=(2, 1, 12, 12)).astype(np.float32)}
    export_exits(student, heads, Interface(({0: "batch"},), example, example), tmp_path / "exits")
    inputs = np.random.default_rng(1).normal(size=(3, 1, 12, 12)).astype(np.float32)
    found = run_files(tmp_path / "exits", {"input": inputs})
    with torch.no_grad():
        x = student.layers[0](student.relu(student.bn(student.conv(torch.from_numpy(inputs)))))
        expected = [
            heads["layers.0"](x),
            heads["layers.1"](student.layers[1](x)),
            student(torch.from_numpy(inputs)),
        ]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)
    convolutions = [
        sum(node.op_type == "Conv" for node in onnx.load(tmp_path / "exits" / f"{name}.onnx").graph.node)
        for name in ("exit_0", "exit_1", "end")
    ]
    assert convolutions == [3, 3, 3], "each layer is in one file"


@pytest.mark.parametrize("layers", [["layers.0"], ["layers.0", "layers.1"]])
def test_texts_whose_mask_is_still_needed(tmp_path: Path, layers: list[str]) -> None:
    torch.manual_seed(0)
    student = Transformer(30, 8, 3, layers=3, width=8, heads=2, dropout=0.0).eval()
    heads = {layer: Head(nn.Linear(8, 3)) for layer in layers}
    ids = np.random.default_rng(0).integers(1, 30, (2, 6))
    example = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    axes = ({0: "batch", 1: "tokens"},) * 2
    export_exits(student, heads, Interface(axes, example, example), tmp_path / "exits")
    found = run_files(tmp_path / "exits", {"input_ids": ids[:1], "attention_mask": np.ones_like(ids[:1])})
    with torch.no_grad():
        end = student(torch.from_numpy(ids[:1]), torch.ones(1, 6, dtype=torch.int64)).numpy()
    np.testing.assert_allclose(found[-1], end, atol=1e-4)
    assert len(found) == len(layers) + 1


def quantised() -> tuple[fx.GraphModule, torch.Tensor]:
    """A student with fake-quant in it, and images that it was calibrated on."""
    torch.manual_seed(0)
    images = torch.randn(8, 1, 12, 12)
    captured = capture(ResNet(1, 5, blocks=1, width=4).eval(), [images[:2]], ({0: "batch"},))
    student = place(captured, "cpu-u8-narrow", ())
    calibrate(student, [{"input": images.numpy()}])
    return student.eval(), images


def test_a_student_in_integers_has_exits_too(tmp_path: Path) -> None:
    """All files together answer what the whole student does, and compute in integers; the student itself stays as it was."""
    student, images = quantised()
    heads: dict[str, nn.Module] = {
        "layers.0": Head(nn.Linear(4, 5)).eval(),
        "layers.1": Head(nn.Linear(8, 5)).eval(),
    }
    before = len(student.graph.nodes)
    example = {"input": images[:2].numpy()}
    interface = Interface(({0: "batch"},), example, example)
    export_int8_exits(student, heads, interface, tmp_path / "exits")
    assert len(student.graph.nodes) == before
    found = run_files(tmp_path / "exits", {"input": images.numpy()})
    with torch.no_grad():
        state, first, following, second, end = _giving_states(student, heads)(images)
        whole = student(images)
    torch.testing.assert_close(end, whole)
    torch.testing.assert_close(first, heads["layers.0"](state))
    torch.testing.assert_close(second, heads["layers.1"](following))
    deviation = whole.std().item()
    for ours, theirs in zip(found, (first, second, whole), strict=True):
        assert np.abs(ours - theirs.numpy()).max() < 0.1 * deviation  # roundings of integer kernels
    for name in ("exit_0", "exit_1", "end"):
        graph = onnx.load(tmp_path / "exits" / f"{name}.onnx").graph
        weights = [
            one for one in graph.initializer if one.data_type == onnx.TensorProto.INT8 and len(one.dims) == 4
        ]
        assert len(weights) == 3, "each layer is in one file, in integers"
    write_onnx(deployed(duplicate(student), interface), interface, tmp_path / "whole.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "whole.onnx", providers=["CPUExecutionProvider"])
    (alone,) = session.run(None, {"input": images.numpy()})
    assert np.abs(found[-1] - alone).max() < 0.1 * deviation
    with pytest.raises(CaptureError, match=r"no module 'layer\.0'; did you mean 'layers\.0'"):
        export_int8_exits(student, {"layer.0": heads["layers.0"]}, interface, tmp_path / "not")


def test_the_script_beside_the_files_stops_where_it_is_sure(tmp_path: Path) -> None:
    student, images = quantised()
    heads = {"layers.0": Head(nn.Linear(4, 5)).eval(), "layers.1": Head(nn.Linear(8, 5)).eval()}
    example = {"input": images[:2].numpy()}
    export_int8_exits(student, heads, Interface(({0: "batch"},), example, example), tmp_path)
    files = run_files(tmp_path, example)
    for threshold, name, number in ((0.0, "exit_0", 0), (1.1, "end", 2)):
        (tmp_path / "exits.json").write_text(f'{{"threshold": {threshold}}}', encoding="utf-8")
        logits, taken = Parts(tmp_path).answer({"input": images[:1].numpy()})
        assert taken == name
        np.testing.assert_allclose(logits[0], files[number][0], atol=1e-5)
