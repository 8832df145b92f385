"""`from_onnx`: the network that a file holds, and what goes in and comes out of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnx_ir as ir
from torch import fx, nn

from edgecomp.errors import ModelFileError
from edgecomp.onnx_import.building import Builder
from edgecomp.onnx_import.reading import read
from edgecomp.onnx_import.values import DTYPES


class Interface(NamedTuple):
    """inputs, outputs: their names; dtypes, shapes: of the inputs, None for a free axis; free_axes: by input, axis → what the file calls it;
    fixed: what is always so."""

    inputs: tuple[str, ...]
    dtypes: tuple[str, ...]
    free_axes: tuple[dict[int, str], ...]
    outputs: tuple[str, ...]
    fixed: dict[str, int]
    shapes: tuple[tuple[int | None, ...], ...]


def from_onnx(
    file: Path | str, outputs: Sequence[str] | None = None, fixed: Mapping[str, int] | None = None
) -> fx.GraphModule:
    """The network in `file`, called by position with the file's inputs in order; its initialisers are its parameters.

    outputs: names of what it gives, outputs of the file or any value between: all the file's where None; one is a tensor, several are a
    tuple. fixed: by name of an axis, or of an input of one number, what it always is. Raises ModelFileError where an operator has no
    conversion, and UsageError for a name that the file does not have.
    """
    file = Path(file)
    model = read(file, fixed or {}, outputs or ())
    wanted = tuple(outputs) if outputs else tuple(str(value.name) for value in model.graph.outputs)
    module = Builder(file, model).build(wanted)
    module.meta["onnx"] = _interface(file, model, wanted, dict(fixed or {}))
    return module


def interface_of(module: nn.Module) -> Interface:
    """What `from_onnx` has noted of the network that it made. module: that."""
    found: Any = module.meta
    assert isinstance(found["onnx"], Interface)
    return found["onnx"]


PROBABILITIES = ("Sigmoid", "Softmax")
MOVES = ("Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


def before_probabilities(module: fx.GraphModule) -> dict[str, tuple[str, str]]:
    """By output of the imported `module` that is a sigmoid or a softmax: which it is, and the name of what it is computed from."""
    (given,) = next(node for node in module.graph.nodes if node.op == "output").args
    outputs: Any = given if isinstance(given, tuple) else (given,)
    found = {}
    for name, node in zip(interface_of(module).outputs, outputs, strict=True):
        while _operator(node) in MOVES:
            node = node.args[0]
        if _operator(node) in PROBABILITIES and "onnx" in node.args[0].meta:
            found[name] = _operator(node), str(node.args[0].meta["onnx"][2][0])
    return found


def _operator(node: Any) -> str:
    return str(node.meta["onnx"][0]) if isinstance(node, fx.Node) and "onnx" in node.meta else ""


def before_softmax(module: fx.GraphModule) -> str:
    """The name of the logits where the first output of the imported `module` is a softmax, else nothing."""
    kind, before = before_probabilities(module).get(interface_of(module).outputs[0], ("", ""))
    return before if kind == "Softmax" else ""


def _interface(file: Path, model: ir.Model, outputs: tuple[str, ...], fixed: dict[str, int]) -> Interface:
    inputs = [value for value in model.graph.inputs if str(value.name) not in model.graph.initializers]
    for value in inputs:
        if value.dtype is None or int(value.dtype) not in DTYPES:
            raise ModelFileError(
                f"{file}: input {value.name!r} is of a kind that PyTorch has no numbers for: {value.dtype}"
            )
    return Interface(
        tuple(str(value.name) for value in inputs),
        tuple(
            str(DTYPES[int(value.dtype)]).removeprefix("torch.")
            for value in inputs
            if value.dtype is not None
        ),
        tuple(_free(value) for value in inputs),
        outputs,
        fixed,
        tuple(
            tuple(size if isinstance(size, int) and size > 0 else None for size in value.shape or ())
            for value in inputs
        ),
    )


def _free(value: ir.Value) -> dict[int, str]:
    axes = enumerate(value.shape or ())
    return {
        place: str(getattr(size, "value", None) or "")
        for place, size in axes
        if not isinstance(size, int) or size < 1
    }
