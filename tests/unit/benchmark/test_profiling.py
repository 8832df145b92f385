"""Times by layer for a run's report: real where the runtime tells, a reason where it does not, and never an error."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from comparing import classifier

from edgecomp import inputs
from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.profiling import LEAST_RUNS, MOST_MS, RUNS, by_layer
from edgecomp.errors import DeviceError
from edgecomp.runtimes import LayerTime
from edgecomp.runtimes.onnxruntime_cpu import kernel_times


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    inputs.save({"x": np.ones((1, 4), np.float32)}, tmp_path / "inputs")
    return tmp_path / "inputs"


def taken(runtime: str, model: Path, asked: Path, **more: Any) -> Any:
    place = Place(runtime, {}, threads=1, memory_bytes=2**20)  # too little for any: a profile has no limit
    told: dict[str, Any] = {"alone_ms": 0.01, "own_name": str.upper} | more
    return by_layer(place, model=model, inputs=asked, **told)


def test_each_layer_of_a_file_is_told_with_its_own_name(asked: Path, tmp_path: Path) -> None:
    classifier(tmp_path / "model.onnx")
    nodes = {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    found = taken("onnxruntime-cpu", tmp_path / "model.onnx", asked)
    assert (found.runs, found.not_run) == (RUNS, "")
    assert {one.type for one in found.layers} & {*nodes, "Gemm", "FusedGemm"}
    assert all(one.layer == one.name.upper() and len(one.each_us) == RUNS for one in found.layers)
    assert found.together_us > 0


def test_as_many_runs_as_a_second_has_room_for(asked: Path, tmp_path: Path) -> None:
    classifier(tmp_path / "model.onnx")
    few = taken("onnxruntime-cpu", tmp_path / "model.onnx", asked, alone_ms=MOST_MS / 7)
    assert few.runs == 7
    none = taken("onnxruntime-cpu", tmp_path / "nothing.onnx", asked, alone_ms=MOST_MS / LEAST_RUNS + 1)
    assert "longer than a run has time for: `edgecomp bench --profile`" in none.not_run


def test_what_goes_wrong_is_the_reason_why_there_are_none(asked: Path, tmp_path: Path) -> None:
    (tmp_path / "fake.json").write_text(json.dumps({"latency_ns": 1000}))
    assert taken("fake", tmp_path / "fake.json", asked).not_run == "fake has no times by layer"
    gone = taken("onnxruntime-cpu", tmp_path / "gone.onnx", asked)
    assert "gone.onnx" in gone.not_run
    assert (gone.runs, gone.layers) == (0, ())

    class Lost:
        def start(self, *_: Any) -> Any:
            raise DeviceError("the board is not there any more")

    lost: Any = Lost()
    place = Place("onnxruntime-cpu", {}, threads=1, host=lost)
    found = by_layer(place, model=tmp_path / "m.onnx", inputs=asked, alone_ms=1.0, own_name=str)
    assert found.not_run == "the board is not there any more"


def test_a_kernel_is_called_as_it_was_exported() -> None:
    events = [
        {
            "cat": "Node",
            "name": f"{node}_kernel_time",
            "dur": took,
            "args": {"op_name": "QLinearConv"},
        }
        for node, took in (("conv_token_4", 9), ("conv_token_4", 2), ("conv_token_7", 9), ("conv_token_7", 3))
    ]
    assert kernel_times(events, 1) == [
        LayerTime("conv", "QLinearConv", 1, 2.0, (2.0,)),
        LayerTime("conv", "QLinearConv", 1, 3.0, (3.0,)),
    ]
