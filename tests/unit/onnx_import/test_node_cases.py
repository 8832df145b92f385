"""The node tests that the onnx package carries, for every operator of the table: each is the same function, or told to be none."""

import functools
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from edgecomp.errors import ModelFileError
from edgecomp.onnx_import import from_onnx
from edgecomp.onnx_import.checking import TOLERANCE, distance
from edgecomp.onnx_import.reading import KNOWN

FLOAT32, INTEGERS, BOOL = 1, (6, 7), 9
ONE_OF_DATA = {
    "Add", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Gather", "GatherElements", "GatherND", "Greater", "Less", "Max", "Min",
    "Mod", "Mul", "Pow", "ScatterElements", "ScatterND", "Sub", "Sum", "Where",
}  # fmt: skip
"""Operators whose second input may be whole numbers that are data; of the others, those are shapes and the like, which a file holds."""

REFUSED = {
    "averagepool_2d_dilations": "AveragePool with dilations",
    "averagepool_3d_dilations": "AveragePool with dilations",
    "batchnorm_epsilon_training_mode": "is as in training",
    "batchnorm_example_training_mode": "is as in training",
    "gru": "linear_before_reset=0",
    "layer_normalization": "its output 'InvStdDev' is used",
    "lppool_2d_dilations": "AveragePool with dilations",
    "lstm_with_peepholes": "peepholes",
    "maxpool_with_argmax": "its output 'z' is used",
    "reduce_max_empty_set": "non-zero size",
    "reduce_min_empty_set": "non-zero size",
    "resize_downsample_scales_cubic_align_corners": "a cubic Resize",
    "resize_upsample_scales_cubic_asymmetric": "a cubic Resize",
    "resize_": "Resize with antialias, exclude_outside",
    "scatternd_m": "reduction=m",
    "training_dropout": "draws random numbers",
}
"""By how a case is called: why it has no conversion."""

DIFFERS = {
    "averagepool_2d_ceil_last_window_starts_on_pad": "torch counts the padding of the last window otherwise",
    "top_k_same_values": "which of two equal values comes first is not said by torch",
}
"""Cases that are converted to another function: `check` finds it on the user's own."""


@functools.cache
def cases() -> dict[str, list[Any]]:
    """By operator: those of float32, whole numbers and truths, whose operators are all in the table."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, of overflows and of nothing divided by nothing
        found = collect_testcases(None)
    by_operator: dict[str, list[Any]] = {name: [] for name in sorted(KNOWN)}
    for case in found:
        if case.model is None or {node.op_type for node in case.model.graph.node} - KNOWN:
            continue
        values = (*case.model.graph.input, *case.model.graph.output)
        kinds = {value.type.tensor_type.elem_type for value in values}
        if kinds <= {FLOAT32, *INTEGERS, BOOL}:
            by_operator[case.model.graph.node[-1].op_type].append(case)
    return by_operator


def prepared(case: Any, file: Path) -> list[torch.Tensor]:
    """Writes the case as a file would hold it, weights and shapes inside; gives what is left to be its inputs."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    node = model.graph.node[0]
    left = []
    for value, given in zip(case.model.graph.input, case.data_sets[0][0], strict=True):
        array = np.asarray(given)
        place = list(node.input).index(value.name) if value.name in node.input else 0
        if len(model.graph.node) == 1 and is_held(node.op_type, place, array):
            (found,) = (one for one in model.graph.input if one.name == value.name)
            model.graph.input.remove(found)
            model.graph.initializer.append(numpy_helper.from_array(array, value.name))
        else:
            left.append(torch.from_numpy(np.array(array)))
    onnx.save(model, file)
    return left


def is_held(kind: str, place: int, array: np.ndarray) -> bool:
    if kind in ("LSTM", "GRU"):
        return place in (1, 2, 3)
    if kind in ("ConstantOfShape", "Range"):
        return True
    return place > 0 and (
        kind in ("Resize", "Upsample") or (array.dtype.kind in "iu" and kind not in ONE_OF_DATA)
    )


def difference(case: Any, folder: Path) -> float:
    """Between the network and what the case says, over the outputs' deviation. Raises ModelFileError where there is no conversion."""
    file = folder / "case.onnx"
    inputs = prepared(case, file)
    network = from_onnx(file)
    with torch.no_grad():
        found = network(*inputs)
    several: Sequence[Any] = found if isinstance(found, tuple) else (found,)
    return max(
        distance(np.asarray(one.detach() if isinstance(one, torch.Tensor) else one), np.asarray(wanted))
        for one, wanted in zip(several, case.data_sets[0][1], strict=True)
    )


def outcome(case: Any, folder: Path) -> tuple[float, str]:
    """The difference, or why there is no conversion."""
    try:
        return difference(case, folder), ""
    except (ModelFileError, NotImplementedError, IndexError) as refusal:
        return float("inf"), str(refusal)


@pytest.mark.parametrize("operator", sorted(KNOWN - {"Constant"}))
def test_an_operator_is_what_onnx_says(operator: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for case in cases()[operator]:
            name = case.name.removeprefix("test_")
            why = next((why for prefix, why in REFUSED.items() if name.startswith(prefix)), None)
            error, said = outcome(case, Path(folder))
            if said:
                assert why is not None, (name, said)
                assert why in said, name
            else:
                assert error <= TOLERANCE or name.startswith(tuple(DIFFERS)), (name, error)


def test_most_cases_are_of_operators_in_the_table() -> None:
    assert sum(map(len, cases().values())) > 900
