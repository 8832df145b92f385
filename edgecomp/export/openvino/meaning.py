"""What an IR means: computed in PyTorch, in float32, operator by operator, every FakeQuantize rounded as its specification says.

What a file of integers is held against that nobody has written as ONNX. OpenVINO itself without its low-precision passes is no such thing: of networks
that NNCF quantised its answers were further from these than those of its integer kernels. One row an operator
(https://docs.openvino.ai/2026/documentation/openvino-ir-format/operation-sets.html).
"""

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from edgecomp.errors import ModelFileError
from edgecomp.inputs import Inputs, count, joined, some, trimmed
from edgecomp.outputs import beside_each_other

Tensor = torch.Tensor
Attributes = Mapping[str, Any]
Operator = Callable[[Attributes, list[Tensor]], Any]

CONVOLUTIONS: dict[int, Any] = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
TRANSPOSED: dict[int, Any] = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}
MAXIMA: dict[int, Any] = {3: F.max_pool1d, 4: F.max_pool2d, 5: F.max_pool3d}
AVERAGES: dict[int, Any] = {3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}
NUMPY = {
    "f32": np.float32,
    "f16": np.float16,
    "i64": np.int64,
    "i32": np.int32,
    "i8": np.int8,
    "u8": np.uint8,
    "boolean": np.bool_,
}


class UnknownOperatorError(ModelFileError):
    """An IR has an operator that is not in the table."""


@torch.no_grad()
def answers(model: Path, inputs: Inputs, batch: int) -> npt.NDArray[np.float32]:
    """What the IR `model` means by `inputs`, [N, ...] by name, `batch` examples at a time, [N, width]. A file with other names for its inputs gets them in order.
    Raises UnknownOperatorError, ModelFileError."""
    import openvino as ov

    try:
        read = ov.Core().read_model(model)
    except RuntimeError as error:
        raise ModelFileError(f"{model} cannot be read as an IR: {str(error).strip()[-200:]}") from error
    operations = list(map(_Operation, read.get_ordered_ops()))
    constants = {(one.name, 0): _constant(one) for one in operations if one.kind == "Constant"}
    last_read = {source: place for place, one in enumerate(operations) for source in one.sources}
    names = [one.get_any_name() for one in read.inputs]
    asked = inputs if {*names} == {*inputs} else dict(zip(names, inputs.values(), strict=True))
    parts = []
    for start in range(0, count(asked), batch):
        values, found = dict(constants), {}
        chosen = trimmed(some(asked, slice(start, start + batch)))
        for place, one in enumerate(operations):
            if one.kind == "Result":
                found[one.called] = values[one.sources[0]].numpy()
            elif one.kind == "Parameter":
                given = chosen[one.called]
                values[one.name, 0] = torch.from_numpy(np.array(given, NUMPY.get(one.dtype, given.dtype)))
            elif one.kind != "Constant":
                made = _computed(one, [values[source] for source in one.sources])
                values |= {(one.name, index): value for index, value in enumerate(made)}
            for source in one.sources:
                if last_read[source] == place and source in values:
                    del values[source]  # a batch of a detector's tensors is gigabytes
        parts.append(beside_each_other(found))
    return joined(parts, asked, batch)


class _Operation:
    """An operator of an IR, as plain data. sources: name and output of what it reads; called: an input or an output of the model."""

    def __init__(self, node: Any) -> None:
        self.node, self.kind, self.name = node, node.get_type_name(), node.get_friendly_name()
        read = [node.input_value(place) for place in range(node.get_input_size())]
        self.sources = [(one.get_node().get_friendly_name(), one.get_index()) for one in read]
        ends = {"Parameter": lambda: node.output(0), "Result": lambda: node.input_value(0)}
        self.called = ends[self.kind]().get_any_name() if self.kind in ends else ""
        self.dtype = node.get_element_type().get_type_name() if self.kind in ("Constant", "Parameter") else ""


def _constant(one: _Operation) -> Tensor:
    if one.dtype not in NUMPY:
        raise UnknownOperatorError(f"a constant ({one.name}) of {one.dtype} is not known here")
    return torch.from_numpy(np.array(one.node.data))


def _computed(one: _Operation, values: list[Tensor]) -> tuple[Tensor, ...]:
    """What an operator gives of `values`, an output each. Raises UnknownOperatorError."""
    if one.kind not in TABLE or (
        one.kind == "Interpolate" and one.node.get_type_info().version_id != "opset11"
    ):
        raise UnknownOperatorError(f"what {one.kind} ({one.name}) means is not known here")
    try:
        made = TABLE[one.kind](one.node.get_attributes(), values)
    except UnknownOperatorError:
        raise
    except Exception as error:  # of what is in the table, and is used as nobody thought of
        raise UnknownOperatorError(
            f"what {one.kind} ({one.name}) means here is not known: {error}"
        ) from error
    return made if isinstance(made, tuple) else (made,)


def _fake_quantize(given: Attributes, values: list[Tensor]) -> Tensor:
    x, low, high, out_low, out_high = values
    steps = given["levels"] - 1
    bottom, top = torch.minimum(low, high), torch.maximum(low, high)
    rounded = torch.round((torch.minimum(torch.maximum(x, bottom), top) - low) / (high - low) * steps)
    return torch.add(rounded / steps * (out_high - out_low), out_low)


def _padded(given: Attributes, x: Tensor, value: float = 0.0) -> Tensor:
    if given.get("auto_pad", "explicit") not in ("explicit", "valid", "notset"):
        raise UnknownOperatorError(f"auto_pad {given['auto_pad']}")
    if given.get("auto_pad") == "valid":
        return x
    sides = zip(reversed(list(given["pads_begin"])), reversed(list(given["pads_end"])), strict=True)
    pads = list(chain.from_iterable(sides))
    return F.pad(x, pads, value=value) if any(pads) else x


def _grouped(x: Tensor, weight: Tensor) -> tuple[Tensor, int]:
    """A convolution's weight as PyTorch has it, and its groups, whose axis is the first where there are any."""
    return (weight, 1) if weight.ndim == x.ndim else (weight.reshape(-1, *weight.shape[2:]), len(weight))


def _convolution(given: Attributes, values: list[Tensor]) -> Tensor:
    weight, groups = _grouped(*values)
    x = _padded(given, values[0])
    found: Tensor = CONVOLUTIONS[x.ndim](
        x, weight, None, list(given["strides"]), 0, list(given["dilations"]), groups
    )
    return found


def _transposed(given: Attributes, values: list[Tensor]) -> Tensor:
    x, (weight, groups) = values[0], _grouped(*values[:2])
    before, after = list(given["pads_begin"]), list(given["pads_end"])
    if len(values) > 2 or before != after or given.get("auto_pad", "explicit") not in ("explicit", "notset"):
        raise UnknownOperatorError("a transposed convolution whose sides are not padded alike")
    strides, more, gaps = (list(given[name]) for name in ("strides", "output_padding", "dilations"))
    found: Tensor = TRANSPOSED[x.ndim](x, weight, None, strides, before, more, groups, gaps)
    return found


def _max_pool(given: Attributes, values: list[Tensor]) -> Tensor:
    if given.get("rounding_type", "floor") != "floor":
        raise UnknownOperatorError(f"MaxPool rounds {given['rounding_type']}")
    x = _padded(given, values[0], -torch.inf)
    found: Tensor = MAXIMA[x.ndim](
        x,
        list(given["kernel"]),
        list(given["strides"]),
        0,
        list(given.get("dilations") or [1] * (x.ndim - 2)),
    )
    return found


def _average_pool(given: Attributes, values: list[Tensor]) -> Tensor:
    if given.get("rounding_type", "floor") != "floor":
        raise UnknownOperatorError(f"AvgPool rounds {given['rounding_type']}")
    pool, kernel, strides = AVERAGES[values[0].ndim], list(given["kernel"]), list(given["strides"])
    found: Tensor = pool(_padded(given, values[0]), kernel, strides)
    if given.get("exclude-pad", given.get("exclude_pad", False)):
        found = found / pool(_padded(given, torch.ones_like(values[0])), kernel, strides)
    return found


def _product(given: Attributes, values: list[Tensor]) -> Tensor:
    one, other = values
    if given.get("transpose_a"):
        one = one.mT
    return one @ (other.mT if given.get("transpose_b") else other)


def _reduced(by: Callable[..., Tensor]) -> Operator:
    def operator(given: Attributes, values: list[Tensor]) -> Tensor:
        if not values[1].numel():
            raise UnknownOperatorError("a reduction over no axis")
        return by(values[0], tuple(values[1].reshape(-1).tolist()), keepdim=bool(given["keep_dims"]))

    return operator


def _reshape(given: Attributes, values: list[Tensor]) -> Tensor:
    x, wanted = values
    sizes = [
        x.shape[place] if size == 0 and given.get("special_zero") else size
        for place, size in enumerate(wanted.tolist())
    ]
    return x.reshape(sizes)


def _unsqueeze(given: Attributes, values: list[Tensor]) -> Tensor:
    x, axes = values
    places = {axis % (x.ndim + axes.numel()) for axis in axes.reshape(-1).tolist()}
    sizes = iter(x.shape)
    return x.reshape([1 if place in places else next(sizes) for place in range(x.ndim + axes.numel())])


def _squeeze(given: Attributes, values: list[Tensor]) -> Tensor:
    return (
        values[0].squeeze() if len(values) < 2 else values[0].squeeze(tuple(values[1].reshape(-1).tolist()))
    )


def _gather(given: Attributes, values: list[Tensor]) -> Tensor:
    x, places, axis = values[0], values[1], int(values[2])
    if given.get("batch_dims"):
        raise UnknownOperatorError("Gather within batches")
    axis %= x.ndim
    found = torch.index_select(x, axis, places.reshape(-1).long() % x.shape[axis])
    return found.reshape(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])


def _strided_slice(given: Attributes, values: list[Tensor]) -> Tensor:
    if any(given.get("ellipsis_mask", [])) or any(given.get("new_axis_mask", [])):
        raise UnknownOperatorError("StridedSlice with an ellipsis or a new axis")
    x, begin, end = values[:3]
    steps = values[3].tolist() if len(values) > 3 else [1] * begin.numel()
    if min(steps) < 1:
        raise UnknownOperatorError("StridedSlice backwards")
    masks = {
        name: [*given.get(name, []), *[0] * x.ndim] for name in ("begin_mask", "end_mask", "shrink_axis_mask")
    }
    chosen: list[Any] = []
    for place, (first, last, step) in enumerate(zip(begin.tolist(), end.tolist(), steps, strict=True)):
        if masks["shrink_axis_mask"][place]:
            chosen.append(first)
        else:
            chosen.append(
                slice(
                    None if masks["begin_mask"][place] else first,
                    None if masks["end_mask"][place] else last,
                    step,
                )
            )
    return x[tuple(chosen)]


def _slice(given: Attributes, values: list[Tensor]) -> Tensor:
    x, *numbers = values
    begin, end, steps = (one.reshape(-1).tolist() for one in numbers[:3])
    axes = numbers[3].reshape(-1).tolist() if len(numbers) > 3 else range(len(begin))
    if min(steps) < 1:
        raise UnknownOperatorError("Slice backwards")
    for axis, first, last, step in zip(axes, begin, end, steps, strict=True):
        x = x[(slice(None),) * (axis % x.ndim) + (slice(first, last, step),)]
    return x


def _split(given: Attributes, values: list[Tensor]) -> tuple[Tensor, ...]:
    return tuple(torch.chunk(values[0], given["num_splits"], int(values[1])))


def _variadic_split(given: Attributes, values: list[Tensor]) -> tuple[Tensor, ...]:
    x, axis, sizes = values[0], int(values[1]), values[2].tolist()
    left = x.shape[axis] - sum(size for size in sizes if size >= 0)
    return torch.split(x, [left if size < 0 else size for size in sizes], axis)


def _pad(given: Attributes, values: list[Tensor]) -> Tensor:
    if given.get("pad_mode", "constant") != "constant":
        raise UnknownOperatorError(f"Pad by {given['pad_mode']}")
    sides = zip(reversed(values[1].tolist()), reversed(values[2].tolist()), strict=True)
    return F.pad(
        values[0], list(chain.from_iterable(sides)), value=float(values[3]) if len(values) > 3 else 0.0
    )


def _interpolate(given: Attributes, values: list[Tensor]) -> Tensor:
    """Of the last axes, to the nearest before, as upsampling by whole numbers is; nothing else."""
    x = values[0]
    before = given.get("coordinate_transformation_mode") == "asymmetric" and given.get("nearest_mode") in (
        "floor",
        "simple",
    )
    if (
        given["mode"] != "nearest"
        or not before
        or given.get("shape_calculation_mode") not in ("scales", "sizes")
    ):
        raise UnknownOperatorError(
            f"Interpolate by {given['mode']}, {given.get('coordinate_transformation_mode')}, {given.get('nearest_mode')}"
        )
    axes = values[-1].reshape(-1).tolist() if len(values) > 2 else list(range(x.ndim))
    for axis, size in zip(axes, values[1].reshape(-1).tolist(), strict=True):
        times = size if given["shape_calculation_mode"] == "scales" else size / x.shape[axis]
        if times != int(times):
            raise UnknownOperatorError(f"Interpolate by {times}")
        x = x.repeat_interleave(int(times), axis)
    return x


def _normalised(given: Attributes, values: list[Tensor]) -> Tensor:
    x, axes = values[0], tuple(values[1].reshape(-1).tolist())
    centred = x - x.mean(axes, keepdim=True)
    if not given["normalize_variance"]:
        return centred
    variance = centred.square().mean(axes, keepdim=True)
    inside = given["eps_mode"] == "inside_sqrt"
    return torch.div(centred, (variance + given["eps"]).sqrt() if inside else variance.sqrt() + given["eps"])


def _broadcast(given: Attributes, values: list[Tensor]) -> Tensor:
    if given.get("mode", "numpy") not in ("numpy", "bidirectional"):
        raise UnknownOperatorError(f"Broadcast by {given['mode']}")
    return values[0] * torch.ones(values[1].tolist(), dtype=values[0].dtype)


def _converted(given: Attributes, values: list[Tensor]) -> Tensor:
    kind = str(given["destination_type"])
    if kind not in NUMPY:
        raise UnknownOperatorError(f"Convert to {kind}")
    return values[0].to(torch.from_numpy(np.empty(0, NUMPY[kind])).dtype)


def _divided(given: Attributes, values: list[Tensor]) -> Tensor:
    whole = not values[0].is_floating_point()
    return torch.div(*values, rounding_mode="floor" if whole else None)


def _each(function: Callable[..., Tensor]) -> Operator:
    return lambda given, values: function(*values)


TABLE: dict[str, Operator] = {
    "Abs": _each(torch.abs),
    "Add": _each(torch.add),
    "AvgPool": _average_pool,
    "Broadcast": _broadcast,
    "Clamp": lambda given, values: values[0].clamp(given["min"], given["max"]),
    "Concat": lambda given, values: torch.cat(values, given["axis"]),
    "Convert": _converted,
    "Convolution": _convolution,
    "ConvolutionBackpropData": _transposed,
    "Divide": _divided,
    "Erf": _each(torch.erf),
    "Exp": _each(torch.exp),
    "FakeQuantize": _fake_quantize,
    "Floor": _each(torch.floor),
    "Gather": _gather,
    "Gelu": lambda given, values: F.gelu(values[0], approximate="tanh" if str(given["approximation_mode"]).lower() == "tanh" else "none"),
    "GroupConvolution": _convolution,
    "GroupConvolutionBackpropData": _transposed,
    "HSigmoid": _each(F.hardsigmoid),
    "HSwish": _each(F.hardswish),
    "HardSigmoid": lambda given, values: (values[1] * values[0] + values[2]).clamp(0, 1),
    "Interpolate": _interpolate,
    "Log": _each(torch.log),
    "MVN": _normalised,
    "MatMul": _product,
    "MaxPool": _max_pool,
    "Maximum": _each(torch.maximum),
    "Minimum": _each(torch.minimum),
    "Multiply": _each(torch.mul),
    "Negative": _each(torch.neg),
    "PRelu": lambda given, values: torch.where(values[0] > 0, values[0], values[0] * (
        values[1].reshape(-1, *[1] * (values[0].ndim - 2)) if values[1].ndim == 1 else values[1])),
    "Pad": _pad,
    "Power": _each(torch.pow),
    "Range": lambda given, values: torch.arange(*(one.item() for one in values)),
    "ReduceMax": _reduced(torch.amax),
    "ReduceMean": _reduced(torch.mean),
    "ReduceSum": _reduced(torch.sum),
    "Relu": _each(torch.relu),
    "Reshape": _reshape,
    "ShapeOf": lambda given, values: torch.tensor(values[0].shape),
    "Sigmoid": _each(torch.sigmoid),
    "Slice": _slice,
    "Softmax": lambda given, values: values[0].softmax(given["axis"]),
    "Split": _split,
    "Sqrt": _each(torch.sqrt),
    "Squeeze": _squeeze,
    "StridedSlice": _strided_slice,
    "Subtract": _each(torch.sub),
    "Swish": lambda given, values: values[0] * torch.sigmoid(values[0] * (values[1] if len(values) > 1 else 1.0)),
    "Tanh": _each(torch.tanh),
    "Transpose": lambda given, values: values[0].permute(values[1].tolist()),
    "Unsqueeze": _unsqueeze,
    "VariadicSplit": _variadic_split,
}  # fmt: skip
