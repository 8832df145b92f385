"""Exports of networks that differ in their numbers alone: the exporter's work is shared, and no byte is another."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

from edgecomp.export.onnx import programs, qdq
from edgecomp.export.onnx.programs import Programs
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.ptq.ours import PostTraining
from edgecomp.quantization.capture import capture, duplicate
from edgecomp.quantization.folding import fold

AXES = [{0: "batch"}]


class Network(nn.Module):
    """With a convolution, statistics, and what the exporter computes itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 5)
        self.register_buffer("offset", torch.linspace(-1, 1, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.last(torch.relu(self.norm(self.first(x))).mean((2, 3)))
        return torch.softmax(found.reshape(x.shape[0], 5) + self.offset, 1)


@pytest.fixture(scope="module")
def students() -> list[torch.fx.GraphModule]:
    """Three of one structure, then one with a bias more."""
    torch.manual_seed(0)
    images = torch.randn(8, 3, 9, 9)
    made = PostTraining(
        capture(Network().eval(), [images[:2]], AXES), [{"x": images.numpy()}], scheme="cpu-u8"
    )
    found = [made.student(kind) for kind in ("min-max", "mse", "percentile")]
    return [fold(one) for one in (*found, made.corrected_fp32(batchnorm=False, bias_correction=True))]


def export(student: torch.fx.GraphModule, to: Path, programs: Programs | None) -> bytes:
    export_onnx(
        duplicate(student),
        [torch.zeros(2, 3, 9, 9)],
        to,
        input_names=["x"],
        dynamic_axes=AXES,
        programs=programs,
    )
    return to.read_bytes()


def test_the_exporter_works_once_for_each_structure_and_files_are_what_they_are_alone(
    students: list[torch.fx.GraphModule], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported, real = [], torch.onnx.export

    def counted(*given: Any, **named: Any) -> Any:
        exported.append(given)
        return real(*given, **named)

    monkeypatch.setattr(qdq.torch.onnx, "export", counted)
    programs = Programs()
    together = [export(one, tmp_path / "together.onnx", programs) for one in students]
    assert len(exported) == 2
    assert len(set(together)) == 4, "each has numbers of its own"
    for student, file in zip(students, together, strict=True):
        assert export(student, tmp_path / "alone.onnx", None) == file


def test_torchs_table_of_operators_is_read_once_and_its_reader_is_left_as_it_was(
    students: list[torch.fx.GraphModule], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, own, reader = [], programs._read, vars(ONNXRegistry)["from_torchlib"]
    programs.operators.cache_clear()
    monkeypatch.setattr(programs, "_read", lambda **asked: read.append(asked) or own(**asked))
    for number in range(2):
        export(students[0], tmp_path / f"{number}.onnx", None)
    assert read == [{"opset_version": programs.OPSET}]
    assert vars(ONNXRegistry)["from_torchlib"] is reader
    fresh = ONNXRegistry.from_torchlib(opset_version=programs.OPSET)
    assert fresh.functions.keys() == programs.operators(opset_version=programs.OPSET).functions.keys()
