"""OpenVINO's CPU plugin."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from edgecomp.errors import InferenceError, ModelFileError
from edgecomp.machine import cpu_flags
from edgecomp.runtimes.base import (
    Array,
    Held,
    Layer,
    LayerTime,
    Model,
    Options,
    Port,
    Runtime,
    Signature,
    check_options,
    from_bfloat16,
    reason_of,
)
from edgecomp.runtimes.files import openvino_macs

OPTIONS: dict[str, tuple[str | int | float | bool, ...]] = {
    "inference_precision": ("f32", "bf16", "f16"),
    "low_precision": (
        True,
        False,
    ),  # False: FakeQuantize is executed as it is written, in float, and so is what has int8 weights alone
    "dynamic_group": (
        0,
        32,
        64,
        128,
    ),  # of inputs that are rounded together where the weights alone are int8; 0: none are
}

BLOCK = 10  # inferences of one model that is profiled
WARMUP = 3  # inferences before a profile counts: the first ones allocate
NO_KERNEL = ("undef", "unknown")
"""The plugin's words for how it executes what it folded into another operator, and what only renames a tensor."""

INTEGER_PRECISIONS = {"i8", "u8"}
VNNI = {"avx_vnni", "avx512_vnni"}  # with which OpenVINO rounds a layer's inputs as they come


class OpenVinoSession:
    """Inputs are copied into tensors that the request keeps: to hand it an array in each call costs more, which would be counted as
    the model's (benchmarks/peers.py)."""

    concurrent = False  # one infer request

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        self._inputs = _names(compiled.inputs, "input")
        self._outputs = _names(compiled.outputs, "output")
        self._read = [READ.get(port.get_element_type().get_type_name(), _values) for port in compiled.outputs]
        self._held: dict[str, Array] = {}

    def signature(self) -> Signature:
        return Signature(
            tuple(map(_port, self._inputs, self._compiled.inputs)),
            tuple(map(_port, self._outputs, self._compiled.outputs)),
        )

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        try:
            for index, name in enumerate(self._inputs):
                self._fill(index, name, batch[name])
            if len(batch) != len(self._inputs):
                raise InferenceError(
                    f"OpenVINO: the model takes {', '.join(self._inputs)}, not {', '.join(batch)}"
                )
            self._request.infer(share_outputs=True)
            return {
                name: read(self._request.get_output_tensor(index))
                for index, (name, read) in enumerate(zip(self._outputs, self._read, strict=True))
            }
        except KeyError as error:
            raise InferenceError(f"OpenVINO: the batch has no input {error}") from error
        except (RuntimeError, ValueError, TypeError) as error:
            raise InferenceError(f"OpenVINO: {reason_of(error)}") from error

    def _fill(self, index: int, name: str, values: Array) -> None:
        if values.dtype.kind == "U":
            self._request.set_input_tensor(index, ov.Tensor(values))
            return
        held = self._held.get(name)
        if held is None or held.shape != values.shape:
            kind = self._compiled.inputs[index].get_element_type()
            tensor = ov.Tensor(kind, ov.Shape(values.shape))
            self._request.set_input_tensor(index, tensor)
            held = self._held[name] = _bits(tensor)
        np.copyto(held, values, casting="no")

    def close(self) -> None:
        self._held.clear()
        del self._request, self._compiled


class OpenVinoCpu:
    name = "openvino-cpu"

    def load(self, model: Model, *, threads: int, device: str = "cpu", options: Options) -> OpenVinoSession:
        return OpenVinoSession(_compile(model, threads, options))

    def versions(self) -> dict[str, str]:
        return {"openvino": ov.__version__}

    def layer_times(
        self, model: Path, feed: Mapping[str, Array], *, threads: int, options: Options, runs: int
    ) -> list[LayerTime]:
        """From the plugin's performance counters, which are means over all inferences of a compiled model so far, in whole microseconds: by
        call it is the mean of BLOCK inferences, each block of a model compiled anew."""
        named: list[tuple[str, str]] = []  # of the first: what the plugin adds is numbered on in the next
        has_kernel: list[bool] = []
        each: list[list[float]] = []
        for start in range(0, runs, BLOCK):
            calls = min(BLOCK, runs - start)
            request = _compile(model, threads, options, profiled=True).create_infer_request()
            for _ in range(WARMUP):
                request.infer(dict(feed))
            before = [node.real_time for node in request.profiling_info]
            for _ in range(calls):
                request.infer(dict(feed))
            after = request.profiling_info
            named = named or [(node.node_name, node.node_type) for node in after]
            has_kernel = has_kernel or [not node.exec_type.startswith(NO_KERNEL) for node in after]
            each = each or [[] for _ in named]
            for kernel, node, warm in zip(each, after, before, strict=True):
                took = node.real_time * (WARMUP + calls) - warm * WARMUP
                kernel += [max(0.0, took.total_seconds() * 1e6 / calls)] * calls
        return [
            LayerTime(name, kind, len(times), sum(times), tuple(times))
            for (name, kind), is_executed, times in zip(named, has_kernel, each, strict=True)
            if is_executed or sum(times) > 0  # the others are folded into one
        ]

    def executed_layers(self, model: Path, *, options: Options) -> list[Layer]:
        """Read from the executed graph's `runtimePrecision`; of a layer that has int8 weights alone, whether its inputs are rounded as well."""
        compiled = _compile(model, 1, options)
        executed = compiled.get_runtime_model()
        rounds = int(
            compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE")
        ) > 0 and not cpu_flags().isdisjoint(VNNI)
        layers = []
        for operation in executed.get_ordered_ops():
            information = operation.get_rt_info()
            precision = _text(information, "runtimePrecision")
            if precision in INTEGER_PRECISIONS and not rounds and _reads_floats(operation):
                precision = "f32"
            kind = _text(information, "layerType") or operation.get_type_name()
            if kind == "Subgraph" and any(
                word in _text(information, "originalLayersNames").lower() for word in ("matmul", "softmax")
            ):
                kind = "MultiHeadAttention"  # its two products and what is between, compiled as one
            layers.append(
                Layer(
                    name=operation.get_friendly_name(),
                    type=kind,
                    precision="int8" if precision in INTEGER_PRECISIONS else precision.replace("f32", "fp32"),
                    macs=openvino_macs.of(operation, kind),
                )
            )
        return layers


RUNTIME: Runtime = OpenVinoCpu()


def _reads_floats(operation: Any) -> bool:
    """Whether it is a linear layer of the executed graph that is given what is not in integers: it says int8 of its weights alone."""
    if _text(operation.get_rt_info(), "layerType") != "FullyConnected":
        return False
    given = operation.input_value(0).get_node().get_rt_info()
    return _text(given, "outputPrecisions").split(",")[0] not in INTEGER_PRECISIONS


def _compile(model: Model, threads: int, options: Options, profiled: bool = False) -> ov.CompiledModel:
    check_options("openvino-cpu", options, OPTIONS)
    if not isinstance(model, Held) and not model.is_file():
        raise ModelFileError(f"no such model file: {model}")
    settings: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": str(options.get("inference_precision", "f32")),
    }
    if profiled:
        settings["PERF_COUNT"] = True
    if not options.get("low_precision", True):
        settings |= {"LP_TRANSFORMS_MODE": "NO", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    if "dynamic_group" in options:
        settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = int(options["dynamic_group"])
    try:
        core = ov.Core()
        read = (
            core.read_model(model.content, model.weights)
            if isinstance(model, Held)
            else core.read_model(model)
        )
        return core.compile_model(read, "CPU", settings)
    except (RuntimeError, ValueError) as error:
        called = model.name if isinstance(model, Held) else model
        raise ModelFileError(f"OpenVINO cannot load {called}: {reason_of(error)}") from error


# What numpy calls a type otherwise.
TYPES = {
    "boolean": "bool",
    "f16": "float16",
    "f32": "float32",
    "f64": "float64",
    "bf16": "bfloat16",
    "string": "string",
}


def _port(name: str, port: Any) -> Port:
    kind, shape = port.get_element_type(), port.get_partial_shape()
    told = (
        None
        if shape.rank.is_dynamic
        else tuple(size.get_length() if size.is_static else None for size in shape)
    )
    return Port(name, told, TYPES.get(kind.get_type_name()) or kind.to_dtype().name)


def _names(ports: Sequence[Any], kind: str) -> list[str]:
    """As the file calls them; what has no name of its own, as an IR of ov.convert_model, is called by its place."""
    names: list[str] = []
    for place, port in enumerate(ports):
        known = port.get_any_name() if port.get_names() else ""
        names.append(known if known and known not in names else f"{kind}_{place}")
    return names


def _bits(tensor: ov.Tensor) -> Array:
    """What a tensor holds, of bfloat16 its bits: numpy has no such type, and OpenVINO says float16 of it."""
    held: Array = tensor.data
    return held.view(np.uint16) if tensor.element_type == ov.Type.bf16 else held


def _values(tensor: ov.Tensor) -> Array:
    values: Array = tensor.data
    return values.copy()


READ: dict[str, Callable[[ov.Tensor], Array]] = {
    "bf16": lambda tensor: from_bfloat16(_bits(tensor)),
    "string": lambda tensor: np.asarray(tensor.str_data),
}


def _text(information: Any, key: str) -> str:
    if key not in information:
        return ""
    value = information[key]
    return str(getattr(value, "value", value))
