"""Layers that are faster in float are found by the runtime's own clock, and files by turns."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecomp import inputs, runtimes
from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.layer_speed import Times, is_worth_it, over_fp32, slower_in_integers
from edgecomp.runtimes.base import LayerTime

FILES = {"int8": Path("int8.onnx"), "fp32": Path("fp32.onnx")}


class Profiled:
    """A runtime whose kernels take what it is told; each first profile is disturbed."""

    def __init__(self, kernels: dict[str, list[tuple[str, float]]]) -> None:
        self.kernels, self.asked = kernels, 0

    def layer_times(
        self, model: Path, feed: Any, *, threads: int, options: Any, runs: int
    ) -> list[LayerTime]:
        self.asked += 1
        more = 30_000.0 if self.asked <= 2 else 0.0
        return [LayerTime(name, "Conv", runs, us * runs + more) for name, us in self.kernels[model.stem]]


def test_a_layer_is_slower_in_integers_where_its_kernels_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = {
        "int8": [("a/quantised", 30.0), ("a/rest", 15.0), ("b", 20.0), ("c", 10.2), ("only", 5.0)],
        "fp32": [("a", 40.0), ("b", 40.0), ("c", 10.0)],
    }
    monkeypatch.setattr(runtimes, "adapter", lambda name: Profiled(kernels))
    place = Place("onnxruntime-cpu", {}, threads=1)
    found = slower_in_integers(
        FILES, place, {}, lambda name: name.split("/")[0], ["a", "b", "c", "only", "unknown"]
    )
    assert found == {"a": Times(45.0, 40.0)}


def test_a_runtime_that_has_no_profile_leaves_nothing_in_float() -> None:
    assert slower_in_integers(FILES, Place("fake", {}, threads=1), {}, str, ["a"]) == {}


def test_files_are_held_against_the_one_in_float(tmp_path: Path) -> None:
    inputs.save({"x": np.ones((4, 4), np.float32)}, tmp_path / "inputs")
    files = {}
    for name, latency_ns in (("fp32", 1_000_000), ("int8", 1_500_000), ("chosen", 500_000)):
        files[name] = tmp_path / f"{name}.json"
        files[name].write_text(json.dumps({"latency_ns": latency_ns}))
    ratios = over_fp32(files, Place("fake", {}, threads=1), tmp_path / "inputs")
    assert ratios == {"int8": pytest.approx(1.5, rel=0.1), "chosen": pytest.approx(0.5, rel=0.1)}


@pytest.mark.parametrize(
    ("int8", "chosen", "worth"),
    [(1.5, 0.9, True), (1.5, 1.02, True), (1.5, 1.3, False), (1.13, 1.1, False), (1.1, 1.2, False)],
)
def test_layers_are_left_in_float_where_that_brings_a_file_halfway_to_float_s_speed(
    int8: float, chosen: float, worth: bool
) -> None:
    assert is_worth_it(int8, chosen) is worth
