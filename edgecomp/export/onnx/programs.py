"""What torch's exporter makes of a network, kept for networks that differ in their numbers alone: it is most of an export's time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from unittest.mock import patch

import torch
from onnxscript import ir
from torch import fx, nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

from edgecomp.quantization.fake_quant import Frozen

# The first with a GELU of its own: one that is written in parts ONNX Runtime does not join between integers, nor always in float.
OPSET = 20


class Programs:
    """ONNX programs by the structure of their networks, before anything in them is computed."""

    def __init__(self) -> None:
        self._known: dict[object, ir.Model] = {}

    def program(
        self, network: nn.Module, interface: object, export: Callable[[], torch.onnx.ONNXProgram]
    ) -> torch.onnx.ONNXProgram:
        """The program of `network`, optimised.

        network: its fake-quants frozen; interface: all else that decides a program's structure; export: makes one that is not optimised. A
        program is made once for each structure, and gets the numbers of each further network by their names. It is made anew where
        it holds numbers that have no name in the network, as constants that the exporter has found itself have not.
        """
        if not isinstance(network, fx.GraphModule):  # whose code is not told
            program = export()
            program.optimize()
            return program
        structure, state = (_structure(network), repr(interface)), _state(network)
        model = self._known.get(structure)
        if model is None:
            model = export().model
            if model.graph.initializers.keys() <= state.keys():
                self._known[structure] = model
        # Of the first as well: what is computed in a copy is named otherwise than in what the exporter made.
        program = torch.onnx.ONNXProgram(model.clone(), None)
        if structure in self._known:
            for name, value in program.model.graph.initializers.items():
                value.const_value = ir.tensor(state[name].detach().contiguous().numpy(), name=name)
        program.optimize()
        return program


@contextmanager
def operators_read_once() -> Iterator[None]:
    """torch.onnx reads its table of a thousand operators anew for every network, each from the source of its function: two of an export's four seconds."""
    with patch.object(ONNXRegistry, "from_torchlib", staticmethod(operators)):
        yield


_read = ONNXRegistry.from_torchlib


@cache
def operators(opset_version: int) -> ONNXRegistry:
    """That table; whoever exports reads it, and changes nothing in it. opset_version: of ONNX's operators."""
    return _read(opset_version=opset_version)


def _state(network: nn.Module) -> dict[str, torch.Tensor]:
    return dict(network.named_parameters(remove_duplicate=False)) | dict(
        network.named_buffers(remove_duplicate=False)
    )


def _structure(network: fx.GraphModule) -> object:
    """Its code and parts, the kinds of its tensors, which of them are one, and how it rounds."""
    places: dict[int, int] = {}
    tensors = [
        (name, tuple(tensor.shape), tensor.dtype, places.setdefault(id(tensor), place))
        for place, (name, tensor) in enumerate(_state(network).items())
    ]
    rounds = [
        (name, part.grid, part.axis, part.form, part.packed, part.clips)
        for name, part in network.named_modules()
        if isinstance(part, Frozen)
    ]
    return repr(network), tuple(tensors), tuple(rounds)
