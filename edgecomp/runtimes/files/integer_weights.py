"""What a model file multiplies in int8, and whether those products can saturate on x86 without VNNI: read from the file alone.

There a kernel adds two neighbouring u8×s8 products in 16 bits, and what does not fit is cut off (Intel 64 and IA-32 Architectures
Software Developer's Manual, PMADDUBSW). An input is at most 255, so two weights of an output can saturate if their sizes add
up to more than 128: 255 · 128 = 32,640 fits, 255 · 129 = 32,895 does not. Which weights are neighbours is the kernel's business, so
every two of an output are taken to be, but of a depthwise convolution: there kernels add products in 32 bits, one by one (oneDNN's "okay for depthwise
since src is zero-extended", MLAS's MlasConvDepthwise; executed in tests/runtimes/test_other_cpus.py). Calibration data prove nothing of this; the
weights do, for every input.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgecomp.errors import ModelFileError
from edgecomp.files.sealed import is_sealed
from edgecomp.machine import saturates

MOST = 128
"""The largest sum of two weights' sizes whose products with inputs up to 255 fit in 16 bits."""

Array = npt.NDArray[Any]


class LayerWeights(NamedTuple):
    """A layer with int8 weights and 8-bit inputs. largest_pair: the largest sum of two weights' sizes of one output; of a depthwise convolution,
    whose products are added one by one, the largest size."""

    layer: str
    largest_pair: int

    @property
    def can_saturate(self) -> bool:
        return self.largest_pair > MOST


def read(model: Path) -> list[LayerWeights]:
    """Every such layer of `model`, an ONNX file or IR, in order; none of others. Raises ModelFileError."""
    if model.suffix == ".onnx":
        return list(_of_onnx(model))
    return list(_of_ir(model)) if model.suffix == ".xml" else []


def why_it_saturates(layers: list[LayerWeights]) -> str:
    """The arithmetic, of the worst layer: `3 of 9 layers can saturate: …`; empty where none can."""
    those = [layer for layer in layers if layer.can_saturate]
    if not those:
        return ""
    worst = max(those, key=lambda layer: layer.largest_pair)
    return (f"{len(those)} of {len(layers)} layers can saturate where a CPU adds two products in 16 bits (x86 without VNNI): two weights "
            f"of {worst.layer} add up to {worst.largest_pair}, and 255 · {worst.largest_pair} = {255 * worst.largest_pair:,} is more than "
            "32,767")  # fmt: skip


def warning(model: Path, host: str) -> str:
    """What is to be said of a file's answers on a CPU; else nothing.

    model: the file; host: the CPU's row of ISAS. Nothing where its sums are whole, or the file cannot be
    read.
    """
    if not saturates(host):
        return ""
    if is_sealed(model):
        return f"{model.name} is encrypted, and its integers were not looked at: this CPU ({host}) has no VNNI, where sums of some saturate"
    try:
        why = why_it_saturates(read(model))
    except ModelFileError:
        return ""  # what executes it says what is wrong with it
    return (
        why
        and f"this CPU ({host}) has no VNNI, and of {model.name} {why}: its answers can be others than on a CPU with VNNI"
    )


def largest_pair(weight: Array, output_axis: int, depthwise: bool = False) -> int:
    """The largest sum of the sizes of two integers of `weight` that belong to one output.

    output_axis: of the weight, that of the outputs; depthwise: whether no two of them are added in 16 bits.
    """
    sizes = np.abs(np.moveaxis(weight.astype(np.int64), output_axis, 0)).reshape(
        weight.shape[output_axis], -1
    )
    together = 1 if depthwise else 2
    return int(np.sort(sizes, axis=1)[:, -together:].sum(axis=1).max(initial=0))


MOVES = {
    "Flatten", "Identity", "MaxPool", "Reshape", "Slice", "Split", "Squeeze", "StridedSlice", "Transpose", "Unsqueeze",
}  # fmt: skip

# Of ONNX operators on integers, where the weights are among the inputs.
INTEGER_WEIGHT = {
    "QLinearConv": (3,),
    "QLinearMatMul": (3,),
    "ConvInteger": (1,),
    "MatMulInteger": (1,),
    "QGemm": (3,),
    "MatMulIntegerToFloat": (1,),
    "DynamicQuantizeMatMul": (1,),
    "DynamicQuantizeLSTM": (1, 2),
    "QAttention": (1,),
}


def _of_onnx(path: Path) -> Iterator[LayerWeights]:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no stubs
    from onnx import numpy_helper

    try:
        graph = onnx.load(path).graph
    except (DecodeError, OSError, ValueError) as error:
        raise ModelFileError(f"{path} cannot be read as an ONNX file: {error}") from error
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}

    def constant(name: str) -> Array | None:
        node = producers.get(name)
        if name in tensors:
            return np.asarray(numpy_helper.to_array(tensors[name], base_dir=str(path.parent)))
        if node is not None and node.op_type == "Constant":
            return next(
                (np.asarray(numpy_helper.to_array(one.t)) for one in node.attribute if one.name == "value"),
                None,
            )
        return _packed(node, constant) if node is not None and node.op_type == "QuantizeLinear" else None

    def dequantised(name: str) -> Any:
        node = producers.get(name)
        return node if node is not None and node.op_type == "DequantizeLinear" else None

    def moved(name: str) -> str:
        """What a tensor is before its values were moved about, which a runtime does in integers."""
        while (node := producers.get(name)) is not None and node.op_type in MOVES:
            name = node.input[0]
        return name

    for node in graph.node:
        weights: list[Array | None] = []
        if node.op_type in INTEGER_WEIGHT:
            weights = [constant(node.input[place]) for place in INTEGER_WEIGHT[node.op_type]]
        elif node.op_type in ("Conv", "Gemm", "MatMul") and dequantised(moved(node.input[0])) is not None:
            source = dequantised(node.input[1])
            weights = [] if source is None else [constant(source.input[0])]
        pairs = [
            largest_pair(weight, _output_axis(node, weight), _is_depthwise(node, weight))
            for weight in weights
            if weight is not None and weight.dtype == np.int8 and weight.ndim > 1
        ]
        if pairs:
            yield LayerWeights(node.name or node.output[0], max(pairs))


def _packed(node: Any, constant: Any) -> Array | None:
    """QuantizeLinear of a constant: the integers that it computes."""
    weight, scale = constant(node.input[0]), constant(node.input[1])
    zero_point = constant(node.input[2]) if len(node.input) > 2 else np.zeros((), np.uint8)
    if weight is None or scale is None or zero_point is None:
        return None
    axis = next((one.i for one in node.attribute if one.name == "axis"), 1)
    shape = [1] * weight.ndim
    if scale.ndim and scale.size > 1:
        shape[axis] = -1
    limits = np.iinfo(zero_point.dtype)
    levels = np.rint(weight / scale.reshape(shape)) + zero_point.reshape(
        shape if zero_point.size > 1 else [1] * weight.ndim
    )
    return np.asarray(np.clip(levels, limits.min, limits.max).astype(zero_point.dtype))


def _is_depthwise(node: Any, weight: Array) -> bool:
    groups = next((one.i for one in node.attribute if one.name == "group"), 1)
    return "Conv" in node.op_type and groups > 1 and weight.shape[:2] == (groups, 1)


def _output_axis(node: Any, weight: Array) -> int:
    transposed = any(one.name == "transB" and one.i for one in node.attribute)
    return 0 if "Conv" in node.op_type or transposed else weight.ndim - 1


def _of_ir(path: Path) -> Iterator[LayerWeights]:
    import openvino as ov

    try:
        model = ov.Core().read_model(path)
    except (RuntimeError, ValueError) as error:
        raise ModelFileError(f"{path} cannot be read as an IR: {str(error).strip()[-200:]}") from error
    for operation in model.get_ordered_ops():
        if operation.get_type_name() not in ("Convolution", "GroupConvolution", "MatMul"):
            continue
        inputs, weight = (operation.input_value(index).get_node() for index in (0, 1))
        levels = _ir_integers(weight)
        if levels is not None and _is_rounded(inputs):
            yield LayerWeights(_ir_name(operation), largest_pair(*_by_output(operation, levels)))


def _ir_name(operation: Any) -> str:
    return str(operation.get_friendly_name()).split("/")[0]


def _ir_integers(node: Any) -> Array | None:
    """A weight's int8 values: a constant that is converted and multiplied, shifted and reshaped in between, or one in float
    that a FakeQuantize rounds."""
    if node.get_type_name() == "FakeQuantize":
        return _rounded_by(node)
    while node.get_type_name() in ("Convert", "Subtract", "Multiply", "Reshape", "Transpose"):
        if node.get_type_name() == "Transpose":
            return None
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant" or node.get_element_type().get_type_name() != "i8":
        return None
    return np.asarray(node.data)


def _rounded_by(node: Any) -> Array | None:
    """The integers of a FakeQuantize of constants: -128..127 of 256 levels, -127..127 of 255."""
    sources = [node.input_value(index).get_node() for index in range(3)]
    if any(source.get_type_name() != "Constant" for source in sources):
        return None
    weight, low, high = (np.asarray(source.data, np.float64) for source in sources)
    levels = int(node.get_attributes()["levels"])
    steps = np.rint((np.clip(weight, low, high) - low) / np.maximum(high - low, 1e-30) * (levels - 1))
    return np.asarray((steps - levels // 2).astype(np.int8))


def _is_rounded(node: Any) -> bool:
    """Whether a tensor lies on a grid: a FakeQuantize gives it, moved at most."""
    while node.get_type_name() in MOVES:
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "FakeQuantize")


def _by_output(operation: Any, levels: Array) -> tuple[Array, int, bool]:
    """A weight, its axis of outputs, and whether it is a depthwise convolution's; of a grouped convolution [groups, outputs, ...] the two are one."""
    kind = operation.get_type_name()
    if kind == "GroupConvolution" and levels.ndim > 2:
        depthwise = list(operation.input(1).get_shape())[1:3] == [1, 1]
        return levels.reshape(-1, *levels.shape[2:]), 0, depthwise
    if kind == "MatMul":
        return levels, levels.ndim - (2 if operation.get_attributes().get("transpose_b") else 1), False
    return levels, 0, False
