"""ONNX Runtime on an NVIDIA GPU: the CUDA and the TensorRT execution providers.

Options are ours, and become the providers' own: https://onnxruntime.ai/docs/execution-providers
"""

from pathlib import Path
from typing import Any

import onnxruntime as ort

from edgecomp.errors import RuntimeUnavailableError
from edgecomp.machine import gpus
from edgecomp.runtimes.base import NO_GPU, Held, Model, Options, Runtime, check_options
from edgecomp.runtimes.onnxruntime_cpu import OPTIMISATION, OnnxRuntimeSession, open_session

Values = tuple[str | int | float | bool, ...]

CUDA_OPTIONS: dict[str, Values] = {
    "optimisation": tuple(OPTIMISATION),
    "tf32": (False, True),  # off: "fp32" is fp32
    "convolution_search": ("exhaustive", "heuristic", "default"),
}
TENSORRT_OPTIONS: dict[str, Values] = {
    "optimisation": tuple(OPTIMISATION),
    "fp16": (False, True),
    "int8": (True, False),  # where the file holds QuantizeLinear and DequantizeLinear
    "builder_optimisation": (3, 0, 1, 2, 4, 5),
    "engine_cache": (
        False,
        True,
    ),  # of built engines, beside the model: a start of minutes is one of seconds from then on
}
ENGINES = "engines"


def cuda_settings(options: Options, folder: Path) -> list[Any]:
    """The provider and what it is told. options: of CUDA_OPTIONS; folder: the model's."""
    search = str(options.get("convolution_search", "exhaustive")).upper()
    return [
        (
            "CUDAExecutionProvider",
            {"use_tf32": str(int(bool(options.get("tf32", False)))), "cudnn_conv_algo_search": search},
        )
    ]


def tensorrt_settings(options: Options, folder: Path) -> list[Any]:
    """The provider and what it is told; what TensorRT does not take falls to CUDA.

    options: of TENSORRT_OPTIONS; folder: the model's.
    """
    cache = {"trt_engine_cache_enable": "True", "trt_engine_cache_path": str(folder / ENGINES)}
    return [
        (
            "TensorrtExecutionProvider",
            {
                "trt_fp16_enable": str(bool(options.get("fp16", False))),
                "trt_int8_enable": str(bool(options.get("int8", True))),
                "trt_builder_optimization_level": str(options.get("builder_optimisation", 3)),
                **(cache if options.get("engine_cache", False) else {}),
            },
        ),
        *cuda_settings({}, folder),
    ]


class OnnxRuntimeGpu:
    def __init__(self, name: str, known: dict[str, Values], providers: Any) -> None:
        self.name, self._known, self._providers = name, known, providers

    def load(
        self, model: Model, *, threads: int, device: str = "cuda", options: Options
    ) -> OnnxRuntimeSession:
        check_options(self.name, options, self._known)
        providers = self._providers(options, Path() if isinstance(model, Held) else model.parent)
        if not gpus():
            raise RuntimeUnavailableError(f"{self.name}: {NO_GPU}")
        wanted = providers[0][0]
        if wanted not in ort.get_available_providers():
            raise RuntimeUnavailableError(f"{self.name}: this ONNX Runtime ({ort.__version__}) was built without {wanted}: "
                                          "pip install onnxruntime-gpu")  # fmt: skip
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.log_severity_level = 3
        settings.graph_optimization_level = OPTIMISATION[str(options.get("optimisation", "all"))]
        session = open_session(model, settings, providers)
        if wanted not in session.get_providers():  # it falls back without an error
            raise RuntimeUnavailableError(f"{self.name}: {wanted} could not start, and the model would have run on the CPU: "
                                          "its libraries (CUDA, cuDNN, TensorRT) are missing or of another version")  # fmt: skip
        return OnnxRuntimeSession(session)

    def versions(self) -> dict[str, str]:
        return {"onnxruntime-gpu": ort.__version__}


CUDA: Runtime = OnnxRuntimeGpu("onnxruntime-cuda", CUDA_OPTIONS, cuda_settings)
TENSORRT: Runtime = OnnxRuntimeGpu("onnxruntime-tensorrt", TENSORRT_OPTIONS, tensorrt_settings)
