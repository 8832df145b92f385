"""Times by layer: kept as they were taken, put beside those in float, and refused where no run wrote them."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgecomp.errors import FileError, UsageError
from edgecomp.metrics.layer_times import (
    FILE,
    Kernel,
    Layer,
    LayerTimes,
    in_words,
    int8_share_pct,
    load,
    save,
    side_by_side,
)

INT8 = LayerTimes(
    10,
    (
        Kernel("q", "q", "QuantizeLinear", (2.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0, 9000.0, 1.0, 3.0)),
        Kernel("conv/fused", "conv", "Convolution", (300.0 / 20,) * 20),
        Kernel("twice/a", "twice", "MatMul", (5.0,) * 10),
        Kernel("twice/b", "twice", "MatMul", (2.0,) * 10),
        Kernel("/head", "", "Gemm", (1.0,) * 10),
    ),
)
FP32 = LayerTimes(
    5,
    (
        Kernel("conv", "conv", "Convolution", (80.0,) * 5),
        Kernel("conv@2", "conv", "Reorder", (20.0,) * 5),
        Kernel("twice", "twice", "MatMul", (1.0,) * 5),
        Kernel("/other", "", "Gemm", (1.0,) * 5),
    ),
)


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    found = {"student_int8": INT8, "student_fp32": LayerTimes(not_run="the runtime has no times by layer")}
    assert load(tmp_path) == {}
    save(tmp_path, found)
    assert load(tmp_path) == found
    assert INT8.together_us == pytest.approx(40.0)
    assert LayerTimes(not_run="none").together_us == 0.0


def test_a_layer_stands_beside_the_one_of_its_name_in_float() -> None:
    layers = side_by_side(INT8, FP32, {"q": "int8", "conv/fused": "int8", "/head": "fp32"})
    assert layers == [
        Layer("q", "QuantizeLinear", "int8", 2.0, None),
        Layer("conv", "Convolution", "int8", 30.0, 100.0),
        Layer("twice/a", "MatMul", "not int8", 5.0, None),
        Layer("twice/b", "MatMul", "not int8", 2.0, None),
        Layer("/head", "Gemm", "fp32", 1.0, None),
    ]
    assert int8_share_pct(layers) == pytest.approx(80.0)
    assert in_words(layers) == "5 layers take 0.04 ms an inference, 80.0 % of it in int8; the longest is conv, 75 % of it"  # fmt: skip


def test_what_the_runtime_does_not_say_is_unknown() -> None:
    layers = side_by_side(INT8, None, None)
    assert {(one.precision, one.fp32_us) for one in layers} == {("", None)}
    assert "share in int8 unknown" in in_words(layers)
    still = [Layer("a", "Add", "int8", 0.0, None)]
    assert int8_share_pct(still) is None
    assert in_words(still).startswith("1 layers, none of which takes time")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.pop("arms"), "has no arms"),
        (lambda content: content.update(arms=3), "is not what `edgecomp run` writes there"),
        (lambda content: content["arms"]["a"].update(runs=0), "there are layers"),
        (lambda content: content["arms"]["a"].pop("not_run"), "KeyError: 'not_run'"),
        (lambda content: content["arms"]["a"]["layers"][0].update(each_us=["long"]), "could not convert"),
        (lambda content: content["arms"]["a"]["layers"][0].update(each_us=[]), "without a call"),
        (lambda content: content["arms"]["a"].update(layers=[3]), "TypeError"),
    ],
)
def test_what_no_run_wrote_is_refused(tmp_path: Path, change: Any, words: str) -> None:
    save(tmp_path, {"a": INT8})
    content = json.loads((tmp_path / FILE).read_text())
    change(content)
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(FileError, match=words):
        load(tmp_path)


def test_another_format_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"format": 2, "arms": {}}')
    with pytest.raises(UsageError, match="is of format 2; this edgecomp reads 1"):
        load(tmp_path)
