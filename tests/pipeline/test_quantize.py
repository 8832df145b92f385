"""`edgecomp quantize`: from an ONNX file and inputs to a verdict, without labels; and what it refuses before anything is trained."""

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from running import Cli
from safetensors import safe_open

from edgecomp.api.quantize import (
    AGREEMENT,
    ERROR,
    PTQ,
    PTQ_IN_FLOAT,
    TRAINED,
    _decides,
    _Tried,
    _ways,
    quantize,
)
from edgecomp.api.quantizing.record import Attempt, Record, kept
from edgecomp.errors import UsageError
from edgecomp.pipeline.epoch_time import EpochTime
from edgecomp.progress import Silent

SHORT = ["-t", "onnxruntime-cpu"]


STATISTICS = {"mean": np.full(48, 0.5, np.float32), "var": np.full(48, 4.0, np.float32)}  # of other inputs


def a_model(folder: Path, *, normalised: bool = False) -> Path:
    """A perceptron of two hidden layers, whose largest output depends on its inputs. normalised: by what was seen of other inputs, behind the first layer."""
    random = np.random.default_rng(0)
    sizes, nodes, weights, last = (6, 48, 48, 5), [], [], "numbers"
    for place, (reads, gives) in enumerate(pairwise(sizes)):
        weights += [
            numpy_helper.from_array(
                random.normal(0, reads**-0.5, (gives, reads)).astype(np.float32), f"w{place}"
            ),
            numpy_helper.from_array(random.normal(0, 0.1, gives).astype(np.float32), f"b{place}"),
        ]
        nodes.append(helper.make_node("Gemm", [last, f"w{place}", f"b{place}"], [f"h{place}"], transB=1))
        last = f"h{place}"
        if normalised and not place:
            known = {"scale": np.ones(48, np.float32), "shift": np.zeros(48, np.float32), **STATISTICS}
            weights += [numpy_helper.from_array(values, name) for name, values in known.items()]
            nodes.append(helper.make_node("BatchNormalization", [last, *known], ["normalised"]))
            last = "normalised"
        if place < 2:
            nodes.append(helper.make_node("Relu", [last], [f"r{place}"]))
            last = f"r{place}"
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["batch", 6])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["batch", 5])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def inputs(folder: Path, count: int = 1600, **others: np.ndarray) -> Path:  # type: ignore[type-arg]
    numbers = np.random.default_rng(0).normal(size=(count, 6)).astype(np.float32)
    np.savez(folder / "inputs.npz", numbers=numbers, **others)  # type: ignore[arg-type]
    return folder / "inputs.npz"


@pytest.mark.slow
def test_a_file_and_its_inputs_come_to_a_verdict_and_no_label_is_read(cli: Cli, tmp_path: Path) -> None:
    a_model(tmp_path)
    inputs(tmp_path, label=np.full(1600, "wrong"))
    done = cli(
        "quantize", "model.onnx", "--data", "inputs.npz", *SHORT, "--out", "run", "--json", cwd=tmp_path
    )
    assert done.code in (0, 1, 3), done.err
    run = tmp_path / "run"
    verdict = json.loads((run / "gate" / "verdict.json").read_text(encoding="utf-8"))
    checks = {check["name"]: check for check in verdict["gates"]}
    assert "teacher_error_pct" not in checks
    agreement = checks[AGREEMENT]
    assert agreement["estimate"]["count"] == 700
    assert agreement["verdict"] in ("PASS", "INCONCLUSIVE", "FAIL")
    assert checks["int8_share_pct"]["verdict"] == "PASS"
    record = json.loads((run / "quantize.json").read_text(encoding="utf-8"))
    assert record["check"] == AGREEMENT
    assert "onnxruntime-cpu" in record["tried"][0]["found"]
    passed = record["tried"][-1]["found"]["onnxruntime-cpu"].endswith("PASS")
    assert passed or len(record["tried"]) == 4  # every way was tried
    assert (tmp_path / "run.yaml").is_file()
    for name, value in record["tried"][[one["name"] for one in record["tried"]].index(record["chosen"])][
        "scores"
    ].items():
        assert value == pytest.approx(checks[AGREEMENT]["estimate"]["value"]), (
            name
        )  # asked alone, as it was judged
    steps = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["steps"]
    assert "bench/onnxruntime-cpu" in steps
    said = " ".join(done.err.split())
    assert said.count("bench/onnxruntime-cpu") == 1  # of the way that was chosen, once
    contract = json.loads((run / "deploy" / "onnxruntime-cpu" / "contract.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in contract["inputs"]] == ["numbers"]
    assert contract["task"] == "outputs"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["model.onnx", "--data", "none.npz"], "the inputs are an .npz file"),
        (["modle.onnx", "--data", "inputs.npz"], "did you mean 'model.onnx'?"),
        (["inputs.npz", "--data", "inputs.npz"], "what is quantised is an ONNX file"),
        (["model.onnx", "--data", "few.npz"], "has 40 inputs, and it takes 100"),
        (["model.onnx", "--data", "other.npz"], "has no array 'numbers'"),
        (["model.onnx", "--data", "inputs.npz", "--max-drop", "0.5 pt"], "which takes labels"),
        (
            ["model.onnx", "--data", "inputs.npz", "--max-error", "1 %", "--min-agreement", "99 %"],
            "one margin decides",
        ),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_trained(
    cli: Cli, tmp_path: Path, arguments: list[str], error: str
) -> None:
    a_model(tmp_path)
    inputs(tmp_path)
    np.savez(tmp_path / "few.npz", numbers=np.zeros((40, 6), np.float32))
    np.savez(tmp_path / "other.npz", pixels=np.zeros((400, 6), np.float32))
    done = cli("quantize", *arguments, cwd=tmp_path)
    assert done.code == 2
    assert error in " ".join(done.err.split())
    assert not (tmp_path / "runs").exists()


def test_what_decides_is_what_the_outputs_are() -> None:
    assert _decides(_Tried((5,), 100, False), None, None, None, None) == (AGREEMENT, {"min": "99.5 %"})
    assert _decides(_Tried((5,), 100, False), None, None, None, "2 %") == (
        "teacher_error_pct",
        {"max": "2 %"},
    )
    assert _decides(_Tried((1,), 100, False), None, None, None, None) == ("teacher_error_pct", {"max": "1 %"})
    assert _decides(_Tried((3, 8, 8), 100, False), None, None, None, None) == (
        "teacher_error_pct",
        {"max": "1 %"},
    )
    read = _Tried((12, 6625), 100, True)  # a line of text, as a distribution at each place
    assert _decides(read, None, None, None, None) == (AGREEMENT, {"min": "99.5 %"})
    assert _decides(_Tried((5,), 100, False), "y", "0.5 pt", None, None) == (
        "accuracy_pct",
        {"against": "teacher", "margin": "0.5 pt"},
    )
    with pytest.raises(UsageError, match="give --max-error"):
        _decides(_Tried((1,), 100, False), None, None, "99 %", None)


def test_the_cheapest_way_is_first_and_layers_in_float_the_last() -> None:
    ways = _ways({"thresholds": {AGREEMENT: {"min": "99 %"}}})
    assert [overrides[0] for overrides in ways.values()] == [
        f"quantize.method={method}" for method in ("ptq-best", "best") * 2
    ]
    in_float = "quantize.max_drop='0.1 pt'"
    assert [in_float in overrides for overrides in ways.values()] == [False, False, True, True]
    numbers = _ways({"thresholds": {"teacher_error_pct": {"max": "2 %"}, AGREEMENT: None}})
    assert numbers[PTQ_IN_FLOAT][-1] == "quantize.max_drop='0.0625 pt'"
    assert not Attempt(
        "a", (), 1.0, {"x": "it is 99 %: PASS", "y": "it is 90 %: INCONCLUSIVE"}, "FAIL", {}
    ).is_the_same
    assert not Attempt("nothing was judged", (), 1.0, {}, "INCONCLUSIVE", {}).is_the_same


def of_scores(check: str, *scores: dict[str, float | None], same: int | None = None) -> str:
    tried = [
        Attempt(str(place), (), 1.0, {"x": "PASS" if place == same else "FAIL"}, "FAIL", score)
        for place, score in enumerate(scores)
    ]
    return Record(Path("quantize.json"), "", check, {}, tried).best.name


def test_what_training_made_worse_is_not_what_is_left() -> None:
    assert of_scores(AGREEMENT, {"x": 98.6, "y": 98.6}, {"x": 97.9, "y": 99.0}, {"x": 98.0, "y": 98.7}) == "0"
    assert of_scores(ERROR, {"x": 1.9}, {"x": 1.5}, {"x": 1.5}) == "1"  # of equals the cheapest
    assert of_scores(ERROR, {"x": None}, {"x": 9.0}) == "1"
    assert of_scores(AGREEMENT, {"x": 99.9}, {"x": 99.8}, same=1) == "1"


def a_record(folder: Path, *said: str, minutes: float | None = None) -> Record:
    tried = [Attempt(str(place), (), 1.0, {"x": one}, one, {"x": 90.0}) for place, one in enumerate(said)]
    return Record(folder / "quantize.json", "", AGREEMENT, {}, tried, minutes, 40 if minutes else 0)


def test_another_time_makes_another_training_but_of_one_that_was_cut(tmp_path: Path) -> None:
    more = a_record(tmp_path, "FAIL", "FAIL", "FAIL", minutes=2)
    more.take(5)
    assert (len(more.tried), more.epochs, more.minutes) == (1, 0, 5)
    again = a_record(tmp_path, "FAIL", "FAIL", "FAIL", minutes=2)
    again.take(2)
    assert (len(again.tried), again.epochs) == (3, 40)
    was_cut = a_record(tmp_path, "FAIL", minutes=2)
    was_cut.take(5)
    assert was_cut.epochs == 40  # it goes on from its checkpoint
    without = a_record(tmp_path, "FAIL", "PASS", minutes=2)
    without.take(None)  # as long as it always is
    assert (len(without.tried), without.epochs) == (1, 0)
    enough = a_record(tmp_path, "FAIL", "PASS", minutes=2)
    enough.take(1)
    assert len(enough.tried) == 2


def test_a_record_that_another_version_wrote_is_no_obstacle(tmp_path: Path) -> None:
    record = a_record(tmp_path, "FAIL")
    assert kept(record.file)["tried"] == []  # there is none yet
    record.save()
    assert kept(record.file)["tried"] == record.tried
    written = json.loads(record.file.read_text())
    del written["tried"][0]["scores"]
    record.file.write_text(json.dumps(written))
    assert kept(record.file) == {"asked": None, "tried": []}


class Impatient(Silent):
    """A user who ends the command in the third epoch of training through integers."""

    def track(self, items: Iterable[Any], what: str, total: int) -> Iterator[Any]:  # type: ignore[override]
        for place, item in enumerate(items):
            if what.startswith("student, int8") and place == 2 * total // 6 + 1:
                raise KeyboardInterrupt
            yield item

    def __init__(self) -> None:
        self.notes: list[str] = []


@pytest.mark.slow
def test_training_is_as_long_as_the_time_leaves_and_one_that_was_ended_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import edgecomp.api.quantize as module

    monkeypatch.setattr(
        module, "measure", lambda run: EpochTime(5900.0, 0.0, 3)
    )  # six epochs are nearly 10 h, and what is post-training was seconds
    asked: dict[str, Any] = {"targets": SHORT[1:], "min_agreement": "99.9 %", "history": None, "minutes": 600}
    asked |= {
        "model": a_model(tmp_path, normalised=True),
        "data": inputs(tmp_path),
        "out": tmp_path / "run",
    }
    with pytest.raises(KeyboardInterrupt):
        quantize(**asked, listener=Impatient())
    record = json.loads((tmp_path / "run" / "quantize.json").read_text(encoding="utf-8"))
    assert (record["minutes"], record["epochs"], len(record["tried"])) == (600, 6, 1)
    (checkpoint,) = (tmp_path / "run" / ".checkpoints").glob("quantize-*/int8.safetensors")
    assert len(_history(checkpoint)) == 2
    with safe_open(checkpoint, "pt") as file:
        kept = {name.rsplit("_", 1)[1]: file.get_tensor(name) for name in file.keys() if "running" in name}  # noqa: SIM118 - no mapping
    assert {name: values.tolist() for name, values in kept.items()} == {
        name: values.tolist() for name, values in STATISTICS.items()
    }  # they are part of the function

    made = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))["steps"]
    monkeypatch.setattr(
        module, "_ways", lambda *given: {PTQ: _ways(*given)[PTQ], TRAINED: _ways(*given)[TRAINED]}
    )
    quantize(**asked | {"minutes": 500})
    steps = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))["steps"]
    assert steps["ptq/onnxruntime-cpu"] == made["ptq/onnxruntime-cpu"]  # and what is post-training is shared
    history = json.loads((tmp_path / "run" / "quantize" / "history.json").read_text(encoding="utf-8"))
    assert len(history["student_int8"]) == 6
    record = json.loads((tmp_path / "run" / "quantize.json").read_text(encoding="utf-8"))
    assert record["tried"][1]["overrides"][-1] == "quantize.epochs=6"
    assert not (tmp_path / "run" / ".checkpoints").exists()


def _history(checkpoint: Path) -> list[dict[str, float]]:
    with safe_open(checkpoint, "pt") as file:
        found: list[dict[str, float]] = json.loads(file.metadata()["history"])
    return found
