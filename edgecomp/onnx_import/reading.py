"""An ONNX file, read: what it is made of, checked, with its constants folded."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no stubs
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model, uses_external_data
from onnxscript import optimizer

from edgecomp.errors import ModelFileError, UsageError, nearest
from edgecomp.onnx_import.joining import join
from edgecomp.onnx_import.operators import TABLE
from edgecomp.onnx_import.operators.recurrent import GATES

KNOWN = {*TABLE, *GATES, "Constant"}
STANDARD = ("", "ai.onnx")
RANDOM = {
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
}
CONTROL = {"If", "Loop", "Scan", "SequenceMap"}
GROWING = {"ConstantOfShape", "Expand", "OneHot", "Pad", "Range", "Resize", "Tile", "Upsample"}
ALIASES = "aliases"
"""Of a model that is read: pairs of names of one value, which has kept either."""
MOST_PASSES = 4
MOST_FOLDED = 2**20
"""Values of a constant that is computed once, and not again each time: of operators that make much of little."""


def read(file: Path, fixed: Mapping[str, int], kept: Collection[str] = ()) -> ir.Model:
    """The model in `file`, its functions inlined, its constants folded, and what was taken apart for an older opset joined again.

    fixed: by name of an axis or of an input that is one number, what it always is; kept: names of values that are asked for. Raises ModelFileError where the file is none, or holds
    what has no conversion, and UsageError where `fixed` names nothing.
    """
    loaded = load(file)
    check_kind(file, loaded)
    _fix(loaded, fixed, file)
    try:
        model: ir.Model = ir.from_proto(loaded)
        optimizer.inline(model)
        wanted = _recurrent_weights(model)
        for _ in range(MOST_PASSES):  # a branch that is chosen lets more be known
            folded = optimizer.fold_constants(
                model,
                onnx_shape_inference=True,
                should_fold=lambda node: node in wanted or _should_fold(node),
            )
            optimizer.remove_unused_nodes(model)
            if not folded.modified:
                break
        join(model, kept)
    except Exception as error:  # whatever onnx's own tools raise over a graph that is none
        raise ModelFileError(f"{file}: its graph cannot be read: {_said(error)}") from error
    check_operators(file, model)
    model.meta[ALIASES] = [
        (node.input[0], node.output[0]) for node in loaded.graph.node if node.op_type == "Identity"
    ]
    return model


def load(file: Path) -> onnx.ModelProto:
    """The model in `file`, with its weights. Raises ModelFileError."""
    if not file.is_file():
        raise ModelFileError(f"no such model file: {file}")
    try:
        model = onnx.load(file, load_external_data=False)
        _check_places(file, model)
        load_external_data_for_model(model, str(file.parent))
    except ModelFileError:
        raise
    except (DecodeError, OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        raise ModelFileError(f"{file} is no ONNX model that can be read: {_said(error)}") from error
    if not model.graph.node:
        raise ModelFileError(f"{file} is no ONNX model: it has no operators")
    return model


def files_of(file: Path) -> list[Path]:
    """`file`, and those beside it that hold its weights. Raises ModelFileError."""
    try:
        model = onnx.load(file, load_external_data=False)
    except (DecodeError, OSError) as error:
        raise ModelFileError(f"{file} is no ONNX model that can be read: {_said(error)}") from error
    _check_places(file, model)
    return [file, *sorted({file.parent / place for place in _places(model)})]


def _places(model: onnx.ModelProto) -> Iterator[str]:
    for one in onnx.external_data_helper._get_all_tensors(model):
        if uses_external_data(one):
            yield str(ExternalDataInfo(one).location)


def _check_places(file: Path, model: onnx.ModelProto) -> None:
    folder = file.parent.resolve()
    for place in _places(model):
        path = file.parent / place
        if not path.resolve().is_relative_to(folder) or path.is_symlink():
            raise ModelFileError(
                f"{file}: its weights lie in {place!r:.200}, which leads out of its folder: put them beside it"
            )
        if not path.is_file():
            raise ModelFileError(
                f"{file}: its weights lie in {place!r:.200}, and there is no such file beside it"
            )


def check_kind(file: Path, model: onnx.ModelProto) -> None:
    """Raises ModelFileError where `model`, of `file`, is quantised already, random, or of half precision."""
    nodes = list(_nodes(model))
    quantised = [one for one in nodes if _is_quantised(one.op_type)]
    if quantised:
        raise ModelFileError(f"{file} is quantised already: it has {_named(quantised[0])}. It can be benched and compared as it is "
                             "(edgecomp bench, edgecomp compare); quantise the file in float that it was made of")  # fmt: skip
    _refuse_random(file, [one for one in nodes if one.op_type in RANDOM])
    halves = {onnx.TensorProto.FLOAT16: "float16", onnx.TensorProto.BFLOAT16: "bfloat16"}
    for tensor in model.graph.initializer:
        if tensor.data_type in halves:
            raise ModelFileError(
                f"{file} computes in {halves[tensor.data_type]} ({tensor.name!r:.100}): export it in float32"
            )
    for value in model.graph.input:
        if value.type.tensor_type.elem_type in halves:
            raise ModelFileError(
                f"{file}: input {value.name!r:.100} is {halves[value.type.tensor_type.elem_type]}: export it in float32"
            )
        if (
            not value.type.HasField("tensor_type")
            or value.type.tensor_type.elem_type == onnx.TensorProto.STRING
        ):
            raise ModelFileError(
                f"{file}: input {value.name!r:.100} is no tensor of numbers: a network takes nothing else"
            )


def check_operators(file: Path, model: ir.Model) -> None:
    """Raises ModelFileError where operators of `model`, of `file`, have no conversion: all of them, each with its first node."""
    _refuse_random(file, [node for node in model.graph if _drops(node)])
    trained = [
        node for node in model.graph if node.op_type == "BatchNormalization" and _is_on(node, "training_mode")
    ]
    if trained:
        raise ModelFileError(
            f"{file}: {_named(trained[0])} is as in training: export the network after eval()"
        )
    branches = [node for node in model.graph if node.op_type in CONTROL]
    if branches:
        node = branches[0]
        why = ", ".join(sorted(_sources(node.inputs[0]))) if node.inputs and node.inputs[0] else ""
        raise ModelFileError(f"{file}: {_named(node)} chooses what is computed by its data{f' ({why})' if why else ''}, which no graph of "
                             "fixed operators can: fix what it depends on, the length of an axis or an input of one number, with "
                             "fixed: {NAME: NUMBER} in a recipe's arguments, --fixed NAME=NUMBER of edgecomp quantize; or export the network without it")  # fmt: skip
    missing: dict[str, ir.Node] = {}
    for node in model.graph:
        if node.domain not in STANDARD or node.op_type not in KNOWN:
            missing.setdefault(
                f"{node.domain}.{node.op_type}" if node.domain not in STANDARD else node.op_type, node
            )
    if missing:
        told = ", ".join(
            f"{kind} (node {node.name or '?'!s:.100})" for kind, node in list(missing.items())[:8]
        )
        what = "operator has" if len(missing) == 1 else f"{len(missing)} operators have"
        raise ModelFileError(f"{file}: {what} no conversion to PyTorch: {told}")


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    left = [model.graph.node, *(function.node for function in model.functions)]
    while left:
        for node in left.pop():
            yield node
            left += [one.g.node for one in node.attribute if one.HasField("g")]
            left += [graph.node for one in node.attribute for graph in one.graphs]


def _refuse_random(file: Path, nodes: Sequence[Any]) -> None:
    if nodes:
        raise ModelFileError(f"{file} is no function of its inputs: {_named(nodes[0])} draws random numbers; export it for inference, "
                             "after eval()")  # fmt: skip


def _is_quantised(kind: str) -> bool:
    return kind in (
        "DynamicQuantizeLinear",
        "QuantizeLinear",
        "DequantizeLinear",
        "MatMulNBits",
        "QAttention",
        "QGemm",
    ) or (kind.startswith("QLinear") or kind.endswith("Integer"))


def _is_on(node: ir.Node, attribute: str) -> bool:
    return attribute in node.attributes and bool(node.attributes[attribute].as_int())


def _drops(node: ir.Node) -> bool:
    """Whether it is a Dropout that is told to drop, or may be."""
    if node.op_type != "Dropout" or len(node.inputs) < 3 or node.inputs[2] is None:
        return False
    told = node.inputs[2].const_value
    return told is None or bool(told.numpy().any())


def _recurrent_weights(model: ir.Model) -> set[ir.Node]:
    """What the weights of recurrent layers are computed by, which are wanted as they are, however large."""
    found: set[ir.Node] = set()
    left = [value for node in model.graph.all_nodes() if node.op_type in GATES for value in node.inputs[1:4]]
    while left:
        value = left.pop()
        node = value.producer() if value is not None else None
        if node is not None and node not in found and node.op_type != "Constant":
            found.add(node)
            left += node.inputs
    return found


def _should_fold(node: ir.Node) -> bool | None:
    """None where onnxscript decides. What makes much of little is folded where it is known to stay small."""
    if node.op_type not in GROWING:
        return None
    shape = node.outputs[0].shape
    if shape is None or not shape.is_static():
        return False
    return math.prod(shape.numpy()) <= MOST_FOLDED


def _fix(model: onnx.ModelProto, fixed: Mapping[str, int], file: Path) -> None:
    """Writes what is always the same into the model: the length of an axis, by its name, or an input of one number."""
    left = dict(fixed)
    for value in list(model.graph.input):
        if value.name in left:
            number = onnx.helper.make_tensor(
                value.name, value.type.tensor_type.elem_type, [], [left.pop(value.name)]
            )
            model.graph.input.remove(value)
            model.graph.initializer.append(number)
            continue
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param in fixed:
                left.pop(axis.dim_param, None)
                axis.dim_value = fixed[axis.dim_param]
    if left:
        (name, *_) = left
        axes = [
            axis.dim_param
            for value in model.graph.input
            for axis in value.type.tensor_type.shape.dim
            if axis.dim_param
        ]
        known = list(dict.fromkeys([*(value.name for value in model.graph.input), *axes]))
        raise UsageError(f"{file}: fixed names {name!r}, which is neither an input nor a free axis{nearest(name, known)}; it has "
                         f"{', '.join(known)}")  # fmt: skip
    if fixed:
        del model.graph.value_info[:]  # shapes that were found for other lengths


def _sources(value: Any) -> set[str]:
    """The inputs of a graph, and their axes, that a value is computed from."""
    found: set[str] = set()
    left, seen = [value], set()
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if one.is_graph_input():
            axes = [str(size) for size in one.shape or () if not isinstance(size, int)]
            found.add(f"input {one.name}" + (f", axes {', '.join(axes)}" if axes else ""))
        elif (node := one.producer()) is not None:
            left += node.inputs
    return found


def _named(node: Any) -> str:
    return f"{node.op_type} (node {node.name or '?'!s:.100})"


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".removesuffix(": ")
