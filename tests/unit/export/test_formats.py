"""Every format of a model file: what a run exports, a notebook's network as a file, and what belongs to it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgecomp import runtimes
from edgecomp.api.module import file_for
from edgecomp.config.target import load_target
from edgecomp.errors import UsageError
from edgecomp.export.formats import MAKERS
from edgecomp.export.stage import model_file
from edgecomp.runtimes.formats import FORMATS, RUNS_CODE, format_of, parts_of, target_for


def test_every_format_has_its_runtimes_and_can_be_made() -> None:
    files = {Path(row.model_file).suffix for row in runtimes.TABLE.values()}
    assert files == set(FORMATS)
    assert set(MAKERS) == files - {".json", ".kserve"}
    assert all(load_target(one.target).runtime in runtimes.TABLE for one in FORMATS.values() if one.target)
    assert RUNS_CODE == (".pt2", ".ts", ".pt")


def test_what_is_known_of_a_file_by_its_suffix() -> None:
    assert parts_of(Path("a/model.xml")) == [Path("a/model.bin")]
    assert parts_of(Path("model.onnx")) == parts_of(Path("model.tflite")) == []
    assert [target_for(Path(f"x{one}")) for one in (".onnx", ".xml", ".pt", ".tflite")] == [
        "onnxruntime-cpu", "openvino-cpu", "torchscript-cpu", "",
    ]  # fmt: skip
    assert model_file("teacher", "openvino-cpu") == Path("export/openvino/teacher/model.xml")
    assert model_file("teacher", "torchscript-cpu") == Path("pytorch/teacher.ts")
    assert format_of("onnxruntime-tensorrt").suffix == ".onnx"


@pytest.mark.parametrize("name", ["onnxruntime-cpu", "openvino-cpu", "pytorch-cpu", "torchscript-cpu"])
def test_a_network_of_a_notebook_is_a_file_for_any_target(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, target = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU()), load_target(name)
    file = file_for(network, torch.zeros(2, 3, 4), target, tmp_path / "new")
    assert file.name == runtimes.TABLE[target.runtime].model_file
    assert all(part.is_file() for part in [file, *parts_of(file)])
    given = np.random.default_rng(0).normal(size=(7, 3, 4)).astype(np.float32)
    session = runtimes.adapter(target.runtime).load(file, threads=1, options=target.options)
    (found,) = session.run({next(iter(session.signature().inputs)).name: given}).values()
    session.close()
    np.testing.assert_allclose(found, network(torch.from_numpy(given)).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "example", "error"),
    [
        (nn.Linear(2, 2), None, "needs an example of its inputs"),
        (nn.Linear(2, 2), torch.zeros(1, 2), "at least two examples"),
        (nn.Linear(2, 2), {"x": 3}, "needs an example"),
        ("model", torch.zeros(2, 2), "not str"),
    ],
)
def test_what_is_no_network_or_no_example_is_told(
    model: object, example: object, error: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=error):
        file_for(model, example, load_target("onnxruntime-cpu"), tmp_path / "new")  # type: ignore[arg-type]
