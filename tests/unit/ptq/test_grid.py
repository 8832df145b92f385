"""The grid of post-training quantisation: what is in it, who wins, and what becomes of those that fail."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from edgecomp import runtimes
from edgecomp.errors import EdgecompError
from edgecomp.export.parity import answers
from edgecomp.models.networks.resnet import ResNet
from edgecomp.ptq.choosing import best, sound_answers
from edgecomp.ptq.grid import Candidate, dynamic, grid, suffix
from edgecomp.ptq.making import make
from edgecomp.quantization.calibration import reestimate_batchnorm
from edgecomp.quantization.capture import capture

AXES = [{0: "batch"}]
Digits = tuple[torch.fx.GraphModule, list[dict[str, np.ndarray]], dict[str, np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def digits() -> Digits:
    """The captured network, calibration batches, and validation images and labels."""
    torch.manual_seed(0)
    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32)[:, None] / 16 - 0.3
    labels = torch.tensor(found.target)
    network = ResNet(1, 10, blocks=1, width=8)
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(3):
        for chosen in torch.randperm(1000).split(50):
            optimiser.zero_grad()
            F.cross_entropy(network(images[chosen]), labels[chosen]).backward()
            optimiser.step()
    batches = [{"input": images[start : start + 64].numpy()} for start in range(0, 512, 64)]
    reestimate_batchnorm(network, batches)
    captured = capture(network.eval(), [images[:2]], AXES)
    return captured, batches, {"input": images[1000:].numpy()}, labels[1000:].numpy()


def accuracy(digits: Digits, runtime: str) -> Callable[[Path], float]:
    def evaluate(file: Path) -> float:
        found = answers(runtimes.adapter(runtime), file, {}, digits[2], 64)
        return float((found.argmax(1) == digits[3]).mean() * 100)

    return evaluate


def test_the_names_say_what_was_done_and_no_two_are_the_same() -> None:
    whole = grid(has_batchnorm=True)
    names = [one.name for one in whole]
    assert len(set(names)) == len(names) == 38
    assert {"ptq-ort percentile 99.99 + bn + bias", "ptq-nncf histogram + full bias", "ours mse + bn"} <= set(
        names
    )
    assert names[0] == "ptq-ort min-max"
    assert whole[0] == Candidate("ptq-ort", "min-max")
    corrections = [name.count(" + ") for name in names]
    assert corrections == sorted(corrections), "the simplest first"


def test_without_batch_normalisation_or_a_tool_there_is_less_to_try() -> None:
    assert not any(one.batchnorm for one in grid(has_batchnorm=False))
    assert {one.tool for one in grid(has_batchnorm=True, tools=["ours"])} == {"ours"}
    assert all("99.9 " in f"{one.name} " for one in grid(has_batchnorm=False, percentile=99.9)
               if one.calibration == "percentile")  # fmt: skip


def test_of_a_transformer_the_tools_own_choice_of_operators_is_one_candidate_among_better_ones() -> None:
    found = [one for one in grid(has_batchnorm=False, has_attention=True) if one.tool == "ptq-ort"]
    assert [one.name for one in found if not one.operators] == ["ptq-ort min-max"]
    assert "ptq-ort percentile 99.99 of Conv+Gemm+MatMul + bias" in [one.name for one in found]
    assert len(found) == 5
    with_tables = grid(has_batchnorm=False, has_attention=True, has_tables=True)
    assert "ptq-ort min-max of Gather+Conv+Gemm+MatMul" in [one.name for one in with_tables]
    assert len([one for one in with_tables if one.tool == "ptq-ort"]) == 9


ONE, TWO, THREE = ("ours min-max", "ours percentile", "ours mse")


def named(made: Mapping[Candidate, Path | EdgecompError]) -> dict[str, Path | EdgecompError]:
    return {candidate.name: file for candidate, file in made.items()}


def test_the_best_wins_and_of_equals_the_first() -> None:
    made = {ONE: Path("one"), TWO: Path("two"), THREE: Path("three")}
    scores = {"one": 90.0, "two": 91.0, "three": 91.0}
    chosen, table = best(made, lambda file: scores[file.name])
    assert (chosen.name, chosen.file, chosen.accuracy) == (TWO, Path("two"), 91.0)
    assert [(score.name, score.accuracy) for score in table] == [
        (ONE, 90.0), (TWO, 91.0), (THREE, 91.0)
    ]  # fmt: skip


def test_what_cannot_be_made_or_executed_is_recorded_and_never_chosen() -> None:
    def evaluate(file: Path) -> float:
        if file.name == "two":
            raise EdgecompError("the runtime refuses it")
        return 0.0

    chosen, table = best(
        {ONE: EdgecompError("the tool fails"), TWO: Path("two"), THREE: Path("three")}, evaluate
    )
    assert chosen.name == THREE
    assert [(score.accuracy, score.reason) for score in table] == [
        (None, "the tool fails"), (None, "the runtime refuses it"), (0.0, "")
    ]  # fmt: skip
    with pytest.raises(EdgecompError, match=r"no candidate .* ours min-max: the tool fails"):
        best({ONE: EdgecompError("the tool fails")}, evaluate)
    with pytest.raises(EdgecompError, match="there are none"):
        best({}, evaluate)


def test_a_file_that_is_executed_in_float_is_passed_over_where_another_is_executed_in_integers() -> None:
    """NNCF's grids answered best of a network whose every convolution ONNX Runtime then computed in float, 2.8 times as slow as the float file."""
    made = {ONE: Path("one"), TWO: Path("two"), THREE: Path("three")}
    scores = {"one": 99.0, "two": 99.9, "three": 98.0}
    shares: dict[str, float | None] = {"one": 100.0, "two": 0.0, "three": 100.0}
    chosen, table = best(made, lambda file: scores[file.name], lambda file: shares[file.name])
    assert chosen.name == ONE
    assert [score.reason for score in table] == ["", "passed over: 0 % of it is executed in integers", ""]
    shares = dict.fromkeys(shares, 50.0)
    chosen, table = best(made, lambda file: scores[file.name], lambda file: shares[file.name])
    assert chosen.name == TWO
    assert {score.reason for score in table} == {""}
    chosen, _ = best(made, lambda file: scores[file.name], lambda _: None)  # of a runtime that does not tell
    assert chosen.name == TWO


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_wins_nothing(score: float) -> None:
    found = {Path("a.onnx"): score, Path("b.onnx"): 12.0}
    chosen, scores = best({ONE: Path("a.onnx"), THREE: Path("b.onnx")}, found.__getitem__)
    assert (chosen.name, chosen.accuracy) == ("ours mse", 12.0)
    assert (scores[0].accuracy, scores[0].reason) == (None, f"its validation score is {score}")


def test_each_file_is_made_once_and_a_failure_is_no_obstacle(digits: Digits, tmp_path: Path) -> None:
    candidates = [
        Candidate("ours", "min-max"),
        Candidate("ptq-ort", "no-such"),
        Candidate("ptq-ort", "min-max", batchnorm=True, bias="ours"),
    ]

    def made() -> dict[Candidate, Path | EdgecompError]:
        return make(
            candidates,
            *digits[:2],
            scheme="cpu-u8-narrow",
            runtime="onnxruntime-cpu",
            dynamic_axes=AXES,
            folder=tmp_path,
        )

    first = made()
    assert list(first) == candidates
    assert "no-such" in str(first[candidates[1]])
    times = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.onnx")}
    assert {file.name for file in times} == {
        "ours-min-max.onnx", "ptq-ort-min-max-bn-bias.onnx", "fp32.onnx", "fp32-batchnorm-bias_correction.onnx"
    }  # fmt: skip
    again = made()
    assert again[candidates[0]] == first[candidates[0]]
    assert times == {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.onnx")}
    chosen, _ = best(named(again), accuracy(digits, "onnxruntime-cpu"))
    assert chosen.accuracy is not None
    assert chosen.accuracy > 90


def test_fewer_bits_are_for_our_own_alone(digits: Digits, tmp_path: Path) -> None:
    candidates = grid(has_batchnorm=True, tools=["ours"])[-1:]
    made = make(candidates, *digits[:2], scheme="cpu-u8-narrow", runtime="onnxruntime-cpu", dynamic_axes=AXES,
                folder=tmp_path, weight_bits=4, activation_bits=4)  # fmt: skip
    chosen, _ = best(named(made), accuracy(digits, "onnxruntime-cpu"))
    assert chosen.accuracy is not None
    assert chosen.accuracy > 85
    with pytest.raises(EdgecompError, match="ptq-ort quantises to 8 bits"):
        make([Candidate("ptq-ort", "min-max")], *digits[:2], scheme="cpu-u8-narrow", runtime="onnxruntime-cpu",
             dynamic_axes=AXES, folder=tmp_path, activation_bits=4)  # fmt: skip


@pytest.fixture(scope="module")
def candidates_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the runtimes: an ONNX file is the same for either, and is made once."""
    return tmp_path_factory.mktemp("candidates")


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime-cpu", "openvino-cpu"])
def test_the_whole_grid_runs_and_loses_nothing_on_an_easy_network(
    runtime: str, digits: Digits, candidates_folder: Path
) -> None:
    pytest.importorskip("nncf", reason="needs the extra `nncf`")
    candidates = grid(has_batchnorm=True)
    made = make(
        candidates,
        *digits[:2],
        scheme="cpu-u8-narrow",
        runtime=runtime,
        dynamic_axes=AXES,
        folder=candidates_folder,
    )
    chosen, table = best(named(made), accuracy(digits, runtime))
    failed = {score.name for score in table if score.accuracy is None}
    assert all(
        "full bias" in name for name in failed
    )  # NNCF's full correction fails on ONNX files with branches
    assert {file.suffix for file in made.values() if isinstance(file, Path)} == {
        suffix(one, runtime) for one in candidates
    }
    with torch.no_grad():
        logits = digits[0](torch.from_numpy(digits[2]["input"])).numpy()
    fp32 = float((logits.argmax(1) == digits[3]).mean() * 100)
    assert chosen.accuracy is not None
    assert chosen.accuracy >= fp32 - 0.5


def test_dynamic_is_a_candidate_where_no_weight_stays_in_float_of_it() -> None:
    def asked(network: nn.Module, example: torch.Tensor, runtime: str, scheme: str = "cpu-u8") -> list[str]:
        found = dynamic(capture(network.eval(), [example], ({0: "batch"},)), runtime, scheme)
        return [one.name for one in grid(has_batchnorm=False, dynamic=found) if one.tool == "ptq-dynamic"]

    rows, row = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.zeros(2, 4)
    words = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3))
    assert asked(rows, row, "onnxruntime-cpu") == ["ptq-dynamic of Conv+Gemm+MatMul"]
    assert asked(words, torch.zeros(2, 4, dtype=torch.int64), "onnxruntime-cpu") == [
        "ptq-dynamic of Gather+Conv+Gemm+MatMul", "ptq-dynamic of Conv+Gemm+MatMul",
    ]  # fmt: skip
    assert asked(rows, row, "openvino-cpu") == ["ptq-dynamic"]
    assert asked(rows, row, "openvino-cpu", "cpu-u8-narrow") == []  # there is no VNNI
    assert asked(rows, row, "tensorrt") == []
    picture = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 3))
    assert asked(picture, torch.zeros(2, 1, 8, 8), "onnxruntime-cpu") == []


class AtOdds:
    """A runtime that answers otherwise when one example is asked at a time, as OpenVINO does of a convolution over one pixel between two roundings with
    an addition by channel in between."""

    def __init__(self, alone: float = 0.0, broken: bool = False) -> None:
        self.alone, self.broken = alone, broken

    def load(self, model: Path, **_: object) -> "AtOdds":
        return self

    def signature(self) -> SimpleNamespace:
        return SimpleNamespace(inputs=[SimpleNamespace(name="x")])

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = inputs["x"] * (np.nan if self.broken else 1.0)
        return {"y": found + self.alone * (len(found) == 1)}

    def close(self) -> None:
        pass


def test_a_candidate_has_numbers_for_answers_and_the_same_ones_for_one_example_as_in_a_batch() -> None:
    inputs = {"x": np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)}
    runtime: Any = AtOdds(alone=0.05)  # integer kernels round a batch otherwise
    np.testing.assert_array_equal(sound_answers(runtime, Path("m"), {}, inputs), inputs["x"])
    runtime = AtOdds(alone=0.5)
    with pytest.raises(EdgecompError, match=r"one at a time it answers otherwise than in a batch, by 0\.5"):
        sound_answers(runtime, Path("m"), {}, inputs)
    runtime = AtOdds(broken=True)
    with pytest.raises(EdgecompError, match="400 of 400 are NaN"):
        sound_answers(runtime, Path("m"), {}, inputs)
