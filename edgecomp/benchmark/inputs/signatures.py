"""A model file's inputs and outputs: as its runtime tells them, and what the file itself says beside that; and which of their axes is one
of examples."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgecomp.benchmark.hosts.process import Place
from edgecomp.runtimes import Port, Signature

BATCH = re.compile(r"n|b|bs|.*batch.*", re.IGNORECASE)
"""What files call an axis of examples."""

SAME = {"Cast", "DequantizeLinear", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}


def signature_of(place: Place, model: Path) -> Signature:
    """The inputs and outputs of the `model` file, by its runtime at `place` and what the file says. Raises
    what the worker raises."""
    with place.host.start(place, model, None) as worker:
        told = worker.ready["signature"]
    said = _of_onnx(model) if model.suffix == ".onnx" else {}
    inputs, outputs = ([_completed(_port(port), said.get(port["name"])) for port in ports] for ports in told)
    return Signature(tuple(inputs), tuple(outputs))


def _port(told: Mapping[str, Any]) -> Port:
    shape = None if told["shape"] is None else tuple(told["shape"])
    return Port(told["name"], shape, told["dtype"], tuple(told["axes"]), told["below"])


class Said(NamedTuple):
    """axes: names of the free ones, None where the file tells no rank."""

    axes: tuple[str, ...] | None
    below: int | None


def _completed(port: Port, said: Said | None) -> Port:
    if said is None or port.shape is None:
        return port
    if said.axes is None:
        return port._replace(shape=None)
    axes = said.axes if any(said.axes) and len(said.axes) == len(port.shape) else ()
    return port._replace(axes=axes, below=said.below)


def _of_onnx(model: Path) -> dict[str, Said]:
    """By the name of an input or output. A runtime says of a free rank what it says of a single number, and OpenVINO no names of axes."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no stubs

    try:
        graph = onnx.load(model, load_external_data=False).graph
    except DecodeError:
        return {}  # its runtime says what is wrong with it
    below = _tables(graph)
    return {
        value.name: Said(_axes(value.type), below.get(value.name)) for value in (*graph.input, *graph.output)
    }


def _axes(kind: Any) -> tuple[str, ...] | None:
    if not kind.tensor_type.HasField("shape"):
        return None
    return tuple(axis.dim_param for axis in kind.tensor_type.shape.dim)


def _tables(graph: Any) -> dict[str, int]:
    """By input, how many rows the smallest table has in which it is looked up as it is."""
    sizes = {table.name: tuple(table.dims) for table in graph.initializer if table.dims}
    source = {value.name: value.name for value in graph.input if value.name not in sizes}
    below: dict[str, int] = {}
    for node in graph.node:
        first = node.input[0] if node.input else ""
        if node.op_type in SAME and first in sizes:
            sizes[node.output[0]] = sizes[first]
        elif node.op_type in SAME and first in source:
            source[node.output[0]] = source[first]
        elif node.op_type == "Gather" and first in sizes and node.input[1] in source:
            axis = next((one.i for one in node.attribute if one.name == "axis"), 0)
            name, rows = source[node.input[1]], sizes[first][axis]
            below[name] = min(rows, below.get(name, rows))
    return below


def example_axes(ports: Sequence[Port]) -> dict[str, int | None]:
    """By name of the `ports`, which axis is one of examples: the one that the file calls so; else the first,
    unless that is fixed, or another length. None: it has none."""
    called = {port.name: _called(port) for port in ports}
    lengths = {name for port in ports for name in port.axes[1:] if name and not BATCH.fullmatch(name)}
    lengths |= {port.axes[0] for port in ports if called[port.name] and port.axes[0]}
    are_free = any(port.shape and port.shape[0] is None for port in ports)
    widest = max((port.shape for port in ports if port.shape), key=len, default=None)
    found: dict[str, int | None] = {}
    for port in ports:
        if called[port.name] is not None or port.shape is None:
            found[port.name] = called[port.name] or 0
        elif not port.shape or (port.axes and port.axes[0] in lengths):
            found[port.name] = None
        elif are_free and port.shape[0] is not None:  # of one number of rows, beside what takes any
            found[port.name] = 0 if len(port.shape) > 1 and port.shape[0] > 1 else None
        else:
            found[port.name] = 0 if are_free or port.shape[0] == (widest or port.shape)[0] else None
    return found


def _called(port: Port) -> int | None:
    """The axis whose name says that it is one of examples."""
    return next((place for place, name in enumerate(port.axes) if name and BATCH.fullmatch(name)), None)


def rows_of(ports: Sequence[Port]) -> int | None:
    """How many examples a file with the inputs `ports` takes at once: None where any number."""
    axes = example_axes(ports)
    fixed = [
        size
        for port in ports
        if port.shape and (axis := axes[port.name]) is not None and (size := port.shape[axis]) is not None
    ]
    return max(fixed) if fixed else None


def unlike_first(ports: Sequence[Port]) -> dict[str, int | None]:
    """`example_axes` of the `ports` where that is not the first."""
    return {name: axis for name, axis in example_axes(ports).items() if axis != 0}
