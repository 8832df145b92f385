"""ONNX Runtime on the CPU execution provider."""

import ctypes
import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from edgecomp.errors import InferenceError, ModelFileError
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
from edgecomp.runtimes.files import onnx_macs

OPTIMISATION = {
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "off": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
OPTIONS: dict[str, tuple[str | int | float | bool, ...]] = {
    "optimisation": tuple(OPTIMISATION),
    "spinning": (True, False),
    # Kernels that add products in 32 bits on every x86 CPU; int8 is slower than fp32 with them (benchmarks/portable).
    "x64quantprecision": (True, False),
}

BFLOAT16, ELEMENT_BFLOAT16 = "tensor(bfloat16)", 16  # onnx.proto, TensorProto.DataType

LARGEST = 2**31 - 2**20  # bytes of a protobuf file, with its weights inside
WARMUP = 3  # inferences before a profile counts: the first ones allocate

INTEGER_OPERATORS = {
    "QLinearConv",
    "QGemm",
    "QLinearMatMul",
    "MatMulInteger",
    "ConvInteger",
    "DynamicQuantizeMatMul",
    "MatMulIntegerToFloat",
    "QAttention",
    "DynamicQuantizeLSTM",
}
FLOAT_OPERATORS = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "NhwcFusedConv"}

# Everything onnxruntime raises: the exceptions of its pybind module derive from Exception and nothing else.
VENDOR_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(
        kind
        for kind in vars(ort.capi.onnxruntime_pybind11_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
)


class OnnxRuntimeSession:
    concurrent = True

    def __init__(self, session: ort.InferenceSession) -> None:
        """Raises ModelFileError for names that are no text."""
        self._session = session
        try:
            self._signature = Signature(
                tuple(_port(argument) for argument in session.get_inputs()),
                tuple(_port(argument) for argument in session.get_outputs()),
            )
        except UnicodeDecodeError as error:
            raise ModelFileError(f"a name of an input, an output or an axis is no text: {error}") from error
        self._names = [port.name for port in self._signature.outputs]
        self._bits = [port.name for port in self._signature.inputs if port.dtype == "bfloat16"]
        self._has_bits = any(port.dtype == "bfloat16" for ports in self._signature for port in ports)

    def signature(self) -> Signature:
        return self._signature

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        try:
            if self._has_bits:
                return self._run_with_bits(batch)
            outputs = self._session.run(None, dict(batch))
        except VENDOR_ERRORS as error:
            raise InferenceError(f"ONNX Runtime: {reason_of(error)}") from error
        return dict(zip(self._names, outputs, strict=True))

    def _run_with_bits(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """numpy has no bfloat16, so such tensors pass as values of the runtime's own."""
        feed = {
            name: ort.OrtValue.ortvalue_from_numpy_with_onnx_type(values, ELEMENT_BFLOAT16)
            if name in self._bits
            else ort.OrtValue.ortvalue_from_numpy(values)
            for name, values in batch.items()
        }
        outputs = self._session.run_with_ort_values(None, feed)
        return {name: _from_value(value) for name, value in zip(self._names, outputs, strict=True)}

    def close(self) -> None:
        del self._session


class OnnxRuntimeCpu:
    name = "onnxruntime-cpu"

    def load(
        self, model: Model, *, threads: int, device: str = "cpu", options: Options
    ) -> OnnxRuntimeSession:
        return OnnxRuntimeSession(open_session(model, _settings(threads, options)))

    def versions(self) -> dict[str, str]:
        return {"onnxruntime": ort.__version__}

    def layer_times(
        self, model: Path, feed: Mapping[str, Array], *, threads: int, options: Options, runs: int
    ) -> list[LayerTime]:
        """From the profile that the runtime writes on request: kernel times of its optimised graph's nodes."""
        with tempfile.TemporaryDirectory() as folder:
            settings = _settings(threads, options)
            settings.enable_profiling = True
            settings.profile_file_prefix = str(Path(folder) / "profile")
            session = open_session(model, settings)
            for _ in range(WARMUP + runs):
                session.run(None, dict(feed))
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        return kernel_times(events, WARMUP)

    def executed_layers(self, model: Path, *, options: Options) -> list[Layer]:
        """Read from the optimised graph, which the runtime writes on request.

        A layer with weights is int8 where the optimised graph holds an integer operator of its name; block-wise
        layouts rename the float ones, so a layer that is not found there runs in float.
        """
        import onnx
        from onnx import inliner

        loaded = onnx.load(model)
        own = {
            ("com.microsoft", name) for name in INTEGER_OPERATORS
        }  # what it has a kernel for, it does not look into
        known = [one for one in ((one.domain, one.name) for one in loaded.functions) if one in own]
        exported = inliner.inline_selected_functions(loaded, known, exclude=True)
        with tempfile.TemporaryDirectory() as folder:
            settings = _settings(1, options)
            settings.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
            inlined = len(loaded.functions) > len(known)
            open_session(_named(model, exported, Path(folder), inlined), settings)
            optimised = onnx.load(settings.optimized_model_filepath).graph
        integer = {
            _exported_name(node.name): node.op_type
            for node in optimised.node
            if node.op_type in INTEGER_OPERATORS
        }
        weighted = [
            Layer(
                node.name,
                integer.get(node.name, node.op_type),
                "int8" if node.name in integer else "fp32",
                macs,
            )
            for node, macs in onnx_macs.of_graph(exported)
        ]
        told = {layer.name for layer in weighted}
        others = [
            Layer(node.name, node.op_type, "int8" if node.op_type.startswith("Q") else "fp32", 0)
            for node in optimised.node
            if node.name not in told
            and (
                node.op_type not in INTEGER_OPERATORS | FLOAT_OPERATORS
                or _multiplies_activations(node, optimised.initializer)
            )
        ]
        return weighted + others


RUNTIME: Runtime = OnnxRuntimeCpu()


def kernel_times(events: Sequence[Mapping[str, Any]], skip: int) -> list[LayerTime]:
    """Time by node, without each node's first `skip` calls, under the names of `executed_layers`. events: a profile of ONNX Runtime's, in
    the Chrome trace format."""
    calls: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            node = event["name"].removesuffix("_kernel_time")
            calls[node, event["args"]["op_name"]].append(float(event["dur"]))
    return [
        LayerTime(_exported_name(node), kind, len(times) - skip, sum(times[skip:]), tuple(times[skip:]))
        for (node, kind), times in calls.items()
        if len(times) > skip
    ]


def _exported_name(node: str) -> str:
    """What a node was called before the runtime fused it: it appends a number."""
    return node.split("_token_")[0]


def _settings(threads: int, options: Options) -> ort.SessionOptions:
    check_options("onnxruntime-cpu", options, OPTIONS)
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    settings.graph_optimization_level = OPTIMISATION[str(options.get("optimisation", "all"))]
    if options.get("x64quantprecision", False):
        settings.add_session_config_entry("session.x64quantprecision", "1")
    if not options.get("spinning", True):
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return settings


def open_session(
    model: Model, settings: ort.SessionOptions, providers: Sequence[Any] = ("CPUExecutionProvider",)
) -> ort.InferenceSession:
    """ONNX Runtime's session with the `model`, a file or in memory. Raises ModelFileError.

    settings: threads, optimisation and so on; providers: execution providers, each for what those before it
    do not take.
    """
    if not isinstance(model, Held) and not model.is_file():
        raise ModelFileError(f"no such model file: {model}")
    called, source = (model.name, model.content) if isinstance(model, Held) else (str(model), str(model))
    try:
        return ort.InferenceSession(source, settings, providers=list(providers))
    except VENDOR_ERRORS as error:
        raise ModelFileError(f"ONNX Runtime cannot load {called}: {reason_of(error)}") from error


def _port(argument: Any) -> Port:
    """Of a sequence or a map it tells no shape."""
    if not argument.type.startswith("tensor("):
        return Port(argument.name, None, argument.type)
    shape = tuple(size if isinstance(size, int) else None for size in argument.shape)
    dtype = argument.type.removeprefix("tensor(").removesuffix(")")
    axes = tuple(size if isinstance(size, str) else "" for size in argument.shape)
    known = {"float": "float32", "double": "float64"}
    return Port(argument.name, shape, known.get(dtype, dtype), axes if any(axes) else ())


def _from_value(value: ort.OrtValue) -> Array:
    if value.data_type() != BFLOAT16:
        found: Array = value.numpy()
        return found
    shape = tuple(value.shape())
    held = (ctypes.c_uint16 * math.prod(shape)).from_address(value.data_ptr())
    return from_bfloat16(np.frombuffer(held, np.uint16).reshape(shape))


def _multiplies_activations(node: Any, constants: Any) -> bool:
    """An attention's own product: neither side is a weight."""
    known = {constant.name for constant in constants}
    return node.op_type in ("MatMul", "FusedMatMul") and not known & set(node.input)


def _named(model: Path, loaded: Any, folder: Path, functions: bool) -> Path:
    """The file itself where every node has a name of its own and none stands for many, else a copy, `loaded`, where that is so."""
    names = [node.name for node in loaded.graph.node]
    if all(names) and len(set(names)) == len(names) and not functions:
        return model
    import onnx

    for place, node in enumerate(loaded.graph.node):
        if not node.name or names.count(node.name) > 1:
            node.name = f"{node.op_type}_{place}"
    copy = folder / "named.onnx"
    onnx.save(loaded, copy, save_as_external_data=loaded.ByteSize() > LARGEST, location="weights")
    return copy
