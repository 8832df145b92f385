"""PyTorch from a file that torch.export wrote, eager or compiled, on the CPU or a GPU."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export.passes import move_to_device_pass
from torch.utils._pytree import tree_leaves

from edgecomp.errors import InferenceError, ModelFileError, RuntimeUnavailableError
from edgecomp.machine import gpus, host_isa
from edgecomp.runtimes.base import (
    NO_GPU,
    Array,
    Options,
    Port,
    Runtime,
    Signature,
    check_options,
    reason_of,
)

OPTIONS: dict[str, tuple[str | int | float | bool, ...]] = {"mode": ("eager", "compile")}


class PyTorchSession:
    """Whatever PyTorch can call, with tensors on `device`."""

    concurrent = False

    def __init__(self, module: Callable[..., Any], signature: Signature, device: str) -> None:
        self._module, self._signature, self._device = module, signature, device

    def signature(self) -> Signature:
        return self._signature

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        try:
            with torch.inference_mode():
                result = self._module(
                    *(_tensor(batch[port.name], port).to(self._device) for port in self._signature.inputs)
                )
        except KeyError as error:
            raise InferenceError(f"PyTorch: the batch has no input {error}") from error
        except (RuntimeError, TypeError, ValueError, AssertionError) as error:
            raise InferenceError(f"PyTorch: {reason_of(error)}") from error
        outputs = [result] if isinstance(result, torch.Tensor) else tree_leaves(result)
        names = [port.name for port in self._signature.outputs]
        names += [f"output_{place}" for place in range(len(names), len(outputs))]
        return {name: _array(output) for name, output in zip(names, outputs, strict=False)}

    def close(self) -> None:
        del self._module


class PyTorch:
    def __init__(self, name: str, device: str) -> None:
        self.name, self._device = name, device

    def load(self, model: Path, *, threads: int, device: str = "cpu", options: Options) -> PyTorchSession:
        check_options(self.name, options, OPTIONS)
        check_device(self.name, self._device)
        if not model.is_file():
            raise ModelFileError(f"no such model file: {model}")
        torch.set_num_threads(threads)
        try:
            with warnings.catch_warnings():  # PyTorch 2.11 warns of how its own loader reads the archive
                warnings.filterwarnings("ignore", message="The given buffer is not writable")
                program = torch.export.load(model)
            if self._device != "cpu":
                program = move_to_device_pass(program, self._device)
        except Exception as error:  # torch.export.load raises whatever the archive's parts raise
            raise ModelFileError(f"PyTorch cannot load {model}: {reason_of(error)}") from error
        module: Callable[..., Any] = program.module()
        if options.get("mode", "eager") == "compile":
            # A cache on disk that another CPU has filled gives NaN, or crashes: PyTorch's keys do not have the CPU.
            torch.compiler.config.cache_key_tag = f"edgecomp {host_isa()}"
            module = torch.compile(module, dynamic=False)
        return PyTorchSession(module, _signature(program), self._device)

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__}


CPU: Runtime = PyTorch("pytorch-cpu", "cpu")
GPU: Runtime = PyTorch("pytorch-gpu", "cuda")


def check_device(runtime: str, device: str) -> None:
    """Raises RuntimeUnavailableError where the device is not here, or this PyTorch cannot use it."""
    if device == "cpu":
        return
    if not gpus():
        raise RuntimeUnavailableError(f"{runtime}: {NO_GPU}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a driver that is too old: said below
        if not torch.cuda.is_available():
            raise RuntimeUnavailableError(f"{runtime}: there is a GPU, but this PyTorch ({torch.__version__}) cannot use it: "
                                          "install a build of it for CUDA")  # fmt: skip


def _signature(program: torch.export.ExportedProgram) -> Signature:
    nodes = {node.name: node.meta["val"] for node in program.graph.nodes if "val" in node.meta}
    graph = program.graph_signature
    return Signature(
        tuple(_port(name, nodes[name]) for name in graph.user_inputs if isinstance(name, str)),
        tuple(
            _port(f"output_{index}" if index else "logits", nodes[name])
            for index, name in enumerate(graph.user_outputs)
            if isinstance(name, str)
        ),
    )


def _tensor(values: Array, port: Port) -> torch.Tensor:
    tensor = torch.from_numpy(values)
    return tensor.view(torch.bfloat16) if port.dtype == "bfloat16" else tensor


def _array(output: Any) -> Array:
    if not isinstance(output, torch.Tensor):
        return np.asarray(output)
    output = output.cpu()
    found: Array = (output.float() if output.dtype == torch.bfloat16 else output).numpy()
    return found


def _port(name: str, value: Any) -> Port:
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return Port(name, shape, str(value.dtype).removeprefix("torch."))
