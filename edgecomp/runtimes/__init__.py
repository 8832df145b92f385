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
    "MODEL_FILE",
    "TABLE",
    "Inspect",
    "Layer",
    "Port",
    "Runtime",
    "Session",
    "Signature",
    "adapter",
]
