"""Zero padding before a convolution becomes the convolution's own.

Between two quantised tensors a Pad is no integer operator in ONNX Runtime: the tensor is dequantised, padded in float and quantised
again, which made a MobileNetV2, which has 52 of them, 1.9 times slower in int8 than in fp32.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from edgecomp.export.onnx.graphs import Constants, constants_of, readers_of

Readers = Mapping[str, list[onnx.NodeProto]]
Pads = npt.NDArray[np.int64]  # [2, axes]: before and after


def take_padding_into_convolutions(model: onnx.ModelProto) -> None:
    """In `model`, where all that reads a padded tensor is convolutions, directly or through its Q and DQ.

    A Pad of nothing goes anywhere. A quantised zero is the zero point, with which an integer convolution
    pads, so that nothing changes.
    """
    graph = model.graph
    constants = constants_of(graph)
    asked = {output.name for output in graph.output}
    made_by = {name: node for node in graph.node for name in node.output}
    for node in [node for node in graph.node if node.op_type == "Pad"]:
        pads = _of_zeros(node, constants)
        if pads is None:
            continue
        readers = readers_of(graph)
        if pads.any():
            convolutions = _convolutions(node.output[0], readers, asked)
            if not convolutions or pads[:, :2].any():
                continue
            for convolution in convolutions:
                _pad(convolution, pads[:, 2:])
        for reader in readers.get(node.output[0], []):
            _read(reader, node.output[0], node.input[0])
            _skip_second_rounding(reader, made_by.get(node.input[0]), readers, constants)
        if node.output[0] not in asked:
            graph.node.remove(node)


def _of_zeros(node: onnx.NodeProto, constants: Constants) -> Pads | None:
    """What a Pad with zeros adds; None where it adds something else, or that is not known."""
    mode = next((item.s for item in node.attribute if item.name == "mode"), b"constant")
    amounts = constants.get(node.input[1])
    filled = node.input[2] if len(node.input) > 2 else ""
    value = constants.get(filled, None if filled else np.zeros(()))
    on_all_axes = len(node.input) < 4 or not node.input[3]
    if mode != b"constant" or amounts is None or value is None or not on_all_axes:
        return None
    return amounts.reshape(2, -1) if not value.any() and (amounts >= 0).all() else None


def _convolutions(name: str, readers: Readers, asked: AbstractSet[str]) -> list[onnx.NodeProto]:
    """All readers of a tensor, where they are convolutions with pads of their own, through Q and DQ; else none. asked: the names of the graph's outputs:
    whoever looks inside a network wants a tensor as it is padded."""
    found = []
    if name in asked:
        return []
    for reader in readers.get(name, []):
        if reader.op_type in ("QuantizeLinear", "DequantizeLinear") and reader.input[0] == name:
            behind = _convolutions(reader.output[0], readers, asked)
            if not behind:
                return []
            found += behind
        elif reader.op_type == "Conv" and reader.input[0] == name and _pads_itself(reader):
            found.append(reader)
        else:
            return []
    return found


def _pads_itself(convolution: onnx.NodeProto) -> bool:
    automatic = next((item.s for item in convolution.attribute if item.name == "auto_pad"), b"NOTSET")
    return automatic == b"NOTSET"


def _pad(convolution: onnx.NodeProto, pads: Pads) -> None:
    own = next((list(item.ints) for item in convolution.attribute if item.name == "pads"), None)
    for item in [item for item in convolution.attribute if item.name == "pads"]:
        convolution.attribute.remove(item)
    total = pads.ravel() if own is None else pads.ravel() + np.asarray(own)
    convolution.attribute.append(helper.make_attribute("pads", [int(one) for one in total]))


def _skip_second_rounding(
    reader: onnx.NodeProto, source: onnx.NodeProto | None, readers: Readers, constants: Constants
) -> None:
    """What was rounded to the same grid before the padding is read as it was; the second pair is left without readers."""
    if source is None or (source.op_type, reader.op_type) != ("DequantizeLinear", "QuantizeLinear"):
        return
    if not _same_grid(source, reader, constants):
        return
    for again in readers.get(reader.output[0], []):
        for behind in readers.get(again.output[0], []) if again.op_type == "DequantizeLinear" else []:
            _read(behind, again.output[0], source.output[0])


def _same_grid(one: onnx.NodeProto, other: onnx.NodeProto, constants: Constants) -> bool:
    grids: list[list[Any]] = [[constants.get(name) for name in node.input[1:3]] for node in (one, other)]
    known = all(value is not None for grid in grids for value in grid)
    return known and all(np.array_equal(a, b) for a, b in zip(*grids, strict=True))


def _read(reader: onnx.NodeProto, name: str, instead: str) -> None:
    reader.input[:] = [instead if one == name else one for one in reader.input]
