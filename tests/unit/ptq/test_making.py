"""How long candidates may take to be made, and what one network's share."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from edgecomp.errors import EdgecompError
from edgecomp.ptq import making
from edgecomp.ptq import ours as sharing
from edgecomp.ptq.grid import grid
from edgecomp.ptq.making import Costs, Limit, make
from edgecomp.ptq.ours import PostTraining
from edgecomp.quantization.capture import capture

AXES = [{0: "batch"}]


@pytest.fixture
def network() -> Any:
    torch.manual_seed(0)
    rows = torch.randn(64, 4)
    captured = capture(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval(), [rows[:2]], AXES)
    return captured, [{"x": rows[:32].numpy()}, {"x": rows[32:].numpy()}]


def made(network: Any, folder: Path, limit: Limit | None, **others: Any) -> dict[str, Path | EdgecompError]:
    candidates = grid(has_batchnorm=False, tools=["ours"])
    found = make(
        candidates,
        *network,
        scheme="cpu-u8-narrow",
        runtime="onnxruntime-cpu",
        dynamic_axes=AXES,
        folder=folder,
        limit=limit,
        **others,
    )
    assert list(found) == candidates
    return {one.name: file for one, file in found.items()}


def test_one_is_made_in_any_case_and_those_left_say_why_they_are_not(network: Any, tmp_path: Path) -> None:
    found = made(network, tmp_path, Limit(0.0))
    assert isinstance(found["ours min-max"], Path)
    assert found["ours min-max"].is_file()
    others = [one for name, one in found.items() if name != "ours min-max"]
    assert len(others) == 5
    assert all("not tried: the 0 minutes for candidates were over" in str(one) for one in others)
    again = made(network, tmp_path, None)
    assert all(isinstance(one, Path) and one.is_file() for one in again.values())


def test_the_simplest_come_first_where_time_is_short(
    network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(making, "time", SimpleNamespace(monotonic=lambda: now[0]))
    real = making.export_onnx

    def slow(*given: Any, **named: Any) -> None:
        now[0] += 10
        real(*given, **named)

    monkeypatch.setattr(making, "export_onnx", slow)
    found = made(network, tmp_path, Limit(25.0))
    assert [name for name, one in found.items() if isinstance(one, Path)] == [
        "ours min-max", "ours percentile 99.99", "ours mse"
    ]  # fmt: skip


def test_a_tool_is_ended_with_the_time(network: Any, tmp_path: Path) -> None:
    from edgecomp.ptq.tools import Job, Setting, quantise_all

    given = make(
        grid(has_batchnorm=False, tools=["ptq-ort"])[:1],
        *network,
        scheme="cpu-u8-narrow",
        runtime="onnxruntime-cpu",
        dynamic_axes=AXES,
        folder=tmp_path,
    )
    assert all(isinstance(one, Path) for one in given.values())
    (failed,) = quantise_all(
        [Job(Setting("ptq-ort"), tmp_path / "fp32.onnx", tmp_path / "late.onnx")], network[1], 0.0
    )
    assert "not finished in the time for candidates" in str(failed.error)
    assert not (tmp_path / "late.onnx").exists()


def test_what_a_candidate_took_is_kept_beside_it(network: Any, tmp_path: Path) -> None:
    candidates = grid(has_batchnorm=False, tools=["ptq-ort", "ours"])
    asked = {
        "scheme": "cpu-u8-narrow",
        "runtime": "onnxruntime-cpu",
        "dynamic_axes": AXES,
        "folder": tmp_path,
    }
    make(candidates[:2], *network, **asked)
    first = Costs(tmp_path)
    took = [first.of(one, "onnxruntime-cpu") for one in candidates]
    assert all(one is not None and one > 0 for one in took[:2])
    assert took[2:] == [None] * len(took[2:])
    make(candidates, *network, **asked)
    again = [Costs(tmp_path).of(one, "onnxruntime-cpu") for one in candidates]
    assert again[:2] == took[:2]  # they are there, and were not made again
    assert all(one is not None and one > 0 for one in again)


def test_a_network_is_observed_once_and_counted_once_whatever_is_made_of_it(
    network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    for name in ("observe", "count"):
        real = getattr(sharing, name)
        monkeypatch.setattr(
            sharing, name, lambda *given, name=name, real=real: (passes.append(name), real(*given))
        )
    one = PostTraining(*network, scheme="cpu-u8-narrow")
    students = {
        (kind, bias): one.student(kind, bias_correction=bias)  # type: ignore[arg-type]
        for kind in ("min-max", "percentile", "mse")
        for bias in (False, True)
    }
    assert passes == ["observe", "count"]
    for (kind, bias), student in students.items():
        alone = PostTraining(*network, scheme="cpu-u8-narrow").student(kind, bias_correction=bias)  # type: ignore[arg-type]
        state = alone.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in student.state_dict().items())
