"""Runtimes by name. A new one is one file, one row here, one targets/*.yaml, and the contract suite.

Importing this package imports no runtime: a worker takes only its own.
"""

import importlib

from edgecomp.runtimes.base import Inspect, Layer, Port, Runtime, Session, Signature

TABLE = {
    "onnxruntime-cpu": "edgecomp.runtimes.onnxruntime_cpu",
    "openvino-cpu": "edgecomp.runtimes.openvino_cpu",
    "pytorch-cpu": "edgecomp.runtimes.pytorch_cpu",
}

# The file each runtime takes.
MODEL_FILE = {
    "onnxruntime-cpu": "model.onnx",
    "openvino-cpu": "model.xml",
    "pytorch-cpu": "model.pt2",
}

# What each executes in integers: quantisation schemes, and bits of a weight beside 8-bit activations. Either CPU runtime
# takes a file with 4-bit weights, and dequantises them in every inference (benchmarks/int4_weights.py).
EXECUTES = {
    "onnxruntime-cpu": ("cpu-u8", "cpu-u8-narrow"),
    "openvino-cpu": ("cpu-u8", "cpu-u8-narrow"),
    "pytorch-cpu": ("none",),
}
WEIGHT_BITS = {"onnxruntime-cpu": (8,), "openvino-cpu": (8,), "pytorch-cpu": ()}

# The distribution whose version is the runtime's.
DISTRIBUTION = {
    "onnxruntime-cpu": "onnxruntime",
    "openvino-cpu": "openvino",
    "pytorch-cpu": "torch",
}


def adapter(name: str) -> Runtime:
    """The runtime of that name; its library is imported now. Raises RuntimeUnavailableError."""
    from edgecomp.errors import RuntimeUnavailableError

    try:
        module = importlib.import_module(TABLE[name])
    except ImportError as error:
        raise RuntimeUnavailableError(f"runtime {name} cannot be imported: {error}; "
                                      f"pip install {DISTRIBUTION[name]}") from error  # fmt: skip
    return module.RUNTIME  # type: ignore[no-any-return]


__all__ = [
    "DISTRIBUTION",
    "EXECUTES",
    "MODEL_FILE",
    "TABLE",
    "WEIGHT_BITS",
    "Inspect",
    "Layer",
    "Port",
    "Runtime",
    "Session",
    "Signature",
    "adapter",
]
