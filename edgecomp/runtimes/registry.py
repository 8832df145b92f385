"""Runtimes by name: TABLE. A new one is one file, one row here, one targets/*.yaml, and the contract suite; with a file format of its own a row of
formats.py and one of edgecomp.export.formats as well.

Importing this package imports no runtime: a worker takes only its own.
"""

import importlib
from typing import Any, NamedTuple

from edgecomp.runtimes.base import Options, Runtime

INTEGERS = ("cpu-u8", "cpu-u8-narrow")
WEIGHTS = "weights"
"""The scheme of language models: weights in integers by groups, activations in float."""


class StandIn(NamedTuple):
    """What gives the answers of a file on this CPU where its own runtime is not here: another row, its options, and what that is called;
    keeps: those of the target's options that hold for it as well."""

    runtime: str
    called: str
    options: tuple[tuple[str, str], ...] = ()
    keeps: tuple[str, ...] = ()

    def options_under(self, options: Options) -> dict[str, Any]:
        """Its own options, and those that it keeps of a target's, `options`."""
        return {**dict(self.options), **{name: options[name] for name in self.keeps if name in options}}

    @property
    def said(self) -> str:
        return f"executed on this CPU by {self.called}; the GPU did not run"


# The graph as it is written: integers in float arithmetic, exactly.
AS_WRITTEN = StandIn("onnxruntime-cpu", "ONNX Runtime with its optimisations off", (("optimisation", "off"),))
EAGER = StandIn("pytorch-cpu", "PyTorch, eager", keeps=("precision",))


class Row(NamedTuple):
    """Where an adapter is, which file it takes, and the distribution whose version is the runtime's.

    `schemes` are the quantisation schemes it executes in integers, `weight_bits` those of a weight beside 8-bit activations.
    `scripted`: it can be deployed, for edgecomp/package has a script for it.
    `idle` are the options with which a thread that waits does not spin: CPU time is compared with them.
    `stand_in` gives a file's answers where there is no GPU; nothing that is about time, memory or kernels is taken of it.
    `remote`: its model file is an address, and what it costs is a server's: of this process neither CPU time nor memory tells anything.
    `from_memory`: it loads a model that is no file, and so an encrypted one, and keeps no cache of it on disk.
    `generates`: it is for language models, and its model is the folder that the file lies in.
    Either CPU runtime takes a file with 4-bit weights, and dequantises them in every inference (benchmarks/int4_weights.py).
    """

    adapter: str
    model_file: str
    distribution: str
    schemes: tuple[str, ...] = ("none",)
    weight_bits: tuple[int, ...] = ()
    scripted: bool = False
    gpu: bool = False
    idle: tuple[tuple[str, bool], ...] = ()
    stand_in: StandIn | None = None
    from_memory: bool = False
    remote: bool = False
    generates: bool = False

    @property
    def computes_elsewhere(self) -> bool:
        """Whether a worker only waits for it: a GPU, or a server."""
        return self.gpu or self.remote


TABLE = {
    "onnxruntime-cpu": Row(
        "onnxruntime_cpu:RUNTIME",
        "model.onnx",
        "onnxruntime",
        INTEGERS,
        (8,),
        scripted=True,
        idle=(("spinning", False),),
        from_memory=True,
    ),
    "openvino-cpu": Row(
        "openvino_cpu:RUNTIME", "model.xml", "openvino", INTEGERS, (8,), scripted=True, from_memory=True
    ),
    "pytorch-cpu": Row("pytorch:CPU", "model.pt2", "torch", scripted=True),
    "torchscript-cpu": Row("torchscript:CPU", "model.ts", "torch"),
    "onnxruntime-cuda": Row(
        "onnxruntime_gpu:CUDA",
        "model.onnx",
        "onnxruntime-gpu",
        scripted=True,
        gpu=True,
        stand_in=AS_WRITTEN,
        from_memory=True,
    ),
    "onnxruntime-tensorrt": Row(
        "onnxruntime_gpu:TENSORRT",
        "model.onnx",
        "onnxruntime-gpu",
        ("gpu-s8",),
        (8,),
        scripted=True,
        gpu=True,
        stand_in=AS_WRITTEN,
    ),
    "pytorch-gpu": Row(
        "pytorch:GPU", "model.pt2", "torch", ("none", "gpu-s8"), (8,), scripted=True, gpu=True, stand_in=EAGER
    ),
    "onnxruntime-genai": Row(
        "genai.onnxruntime:RUNTIME",
        "model.onnx",
        "onnxruntime-genai",
        ("none", WEIGHTS),
        (8, 4),
        scripted=True,
        idle=(("spinning", False),),
        generates=True,
    ),
    "openvino-genai": Row(
        "genai.openvino:RUNTIME",
        "openvino_model.xml",
        "openvino-genai",
        ("none", WEIGHTS),
        (8, 4),
        scripted=True,
        generates=True,
    ),
    "kserve": Row("kserve:RUNTIME", "model.kserve", "tritonclient", remote=True),
    "fake": Row("fake:RUNTIME", "model.json", "edgecomp"),
}


def adapter(name: str) -> Runtime:
    """The runtime of that name; its library is imported now. Raises RuntimeUnavailableError."""
    from edgecomp.errors import RuntimeUnavailableError

    row = TABLE[name]
    module, _, attribute = row.adapter.partition(":")
    try:
        found: Runtime = getattr(importlib.import_module(f"edgecomp.runtimes.{module}"), attribute)
    except ImportError as error:
        raise RuntimeUnavailableError(f"runtime {name} cannot be imported: {error}; "
                                      f"pip install {row.distribution}") from error  # fmt: skip
    return found
