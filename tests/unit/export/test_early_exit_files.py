"""A student with exits as files that follow each other: each gives what PyTorch gives, and the last what the student does."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from edgecomp.distill.losses.own.early_exits import Head
from edgecomp.export.early_exits import export_exits
from edgecomp.export.stage import Interface
from edgecomp.models.networks.resnet import ResNet
from edgecomp.models.networks.transformer import Transformer


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
