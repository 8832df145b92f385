"""PyTorch from a file that torch.export wrote, eager or compiled, on the CPU or a GPU.

The file is read as data (edgecomp.runtimes.files.pt2); with torch's own loader, which runs what it holds, only where it is trusted.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
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
    Layer,
    Options,
    Port,
    Runtime,
    Signature,
    check_options,
    reason_of,
)
from edgecomp.runtimes.files import pt2, torch_layers

TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
OPTIONS: dict[str, tuple[str | int | float | bool, ...]] = {
    "mode": ("eager", "compile"),
    "precision": tuple(TYPES),
}


COUNTED_AT = 32  # of every axis that a file leaves free, where its layers are counted


class PyTorchSession:
    """Whatever PyTorch can call, with tensors on `device`."""

    concurrent = False

    def __init__(
        self,
        module: Callable[..., Any],
        signature: Signature,
        device: str,
        axes: Sequence[pt2.Axis] = (),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._module, self._signature, self._device, self._axes = module, signature, device, axes
        self._dtype = dtype
        self.checked_ns = 0  # of its loading, what looking at the file took

    def signature(self) -> Signature:
        return self._signature

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        try:
            self._check_lengths(batch)
            with torch.inference_mode(), _computing_in(self._dtype, self._device):
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
        if self._dtype is not torch.float32:
            outputs = [one.float() if one.dtype is self._dtype else one for one in outputs]
        return {name: _array(output) for name, output in zip(names, outputs, strict=False)}

    def _check_lengths(self, batch: Mapping[str, Array]) -> None:
        """A graph is for the lengths it was exported with: with others it may fail, or compute something else. Raises ValueError."""
        lengths: dict[str, int] = {}
        for place, axis, symbol, fewest, most in self._axes:
            name = self._signature.inputs[place].name
            length = batch[name].shape[axis]
            if (
                length < fewest
                or (most is not None and length > most)
                or lengths.setdefault(symbol, length) != length
            ):
                raise ValueError(f"axis {axis} of {name} is {length} long; the file is for {fewest} to {most or 'any'}, and for inputs that "
                                 "agree in their lengths")  # fmt: skip
        for port in self._signature.inputs:
            if port.shape is not None and not _fits(batch[port.name].shape, port.shape):
                raise ValueError(
                    f"{port.name} is of {list(batch[port.name].shape)}, the file is for {list(port.shape)}"
                )

    def close(self) -> None:
        del self._module


class PyTorch:
    def __init__(self, name: str, device: str) -> None:
        self.name, self._device = name, device

    def load(
        self, model: Path, *, threads: int, device: str = "cpu", options: Options, trusted: bool = False
    ) -> PyTorchSession:
        """A session with the file `model`; threads, options: as in `Runtime.load`; device: taken no notice
        of, for this object's own counts; trusted: torch's own loader may run what the file holds. Raises as
        `Runtime.load` does."""
        check_options(self.name, options, OPTIONS)
        check_device(self.name, self._device)
        if not model.is_file():
            raise ModelFileError(f"no such model file: {model}")
        torch.set_num_threads(threads)
        program = _run(model, self._device) if trusted else pt2.read(model, self._device)
        dtype = TYPES[str(options.get("precision", "fp32"))]
        module: Callable[..., Any] = _in_type(program.module, dtype)
        if options.get("mode", "eager") == "compile":
            # A cache on disk that another CPU has filled gives NaN, or crashes: PyTorch's keys do not have the CPU.
            torch.compiler.config.cache_key_tag = f"edgecomp {host_isa()}"
            module = torch.compile(module, dynamic=False)
        return PyTorchSession(module, program.signature, self._device, program.axes, dtype)

    def executed_layers(self, model: Path, *, options: Options) -> list[Layer]:
        """As in `Inspect`: nothing is fused that changes what a layer computes in. model: the file; options: as in `Runtime.load`."""
        check_options(self.name, options, OPTIONS)
        program = pt2.read(model, self._device)
        module = _in_type(program.module, TYPES[str(options.get("precision", "fp32"))])
        inputs = tuple(
            torch.zeros([size or COUNTED_AT for size in port.shape or ()], dtype=getattr(torch, port.dtype or "float32"), device=self._device)
            for port in program.signature.inputs
        )  # fmt: skip
        with _computing_in(TYPES[str(options.get("precision", "fp32"))], self._device):
            return torch_layers.layers(module, inputs, COUNTED_AT)

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__}


def _in_type(module: Any, dtype: torch.dtype) -> Any:
    """The network with its matrices and kernels in that type, in place; vectors, a layer's scales among them, stay as they are."""
    if dtype is not torch.float32:
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.dtype is torch.float32 and tensor.ndim > 1:
                tensor.data = tensor.data.to(dtype)
    return module


def _computing_in(dtype: torch.dtype, device: str) -> torch.autocast:
    """Products are of that type, whatever is put into them; what would lose by it, such as a softmax, stays in fp32."""
    return torch.autocast(device, dtype, enabled=dtype is not torch.float32)


CPU: Runtime = PyTorch("pytorch-cpu", "cpu")
GPU: Runtime = PyTorch("pytorch-gpu", "cuda")


def check_device(runtime: str, device: str) -> None:
    """Raises RuntimeUnavailableError where the device is not here, or this PyTorch cannot use it.

    runtime: what the message calls it; device: `cpu` or `cuda`.
    """
    if device == "cpu":
        return
    if not gpus():
        raise RuntimeUnavailableError(f"{runtime}: {NO_GPU}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a driver that is too old: said below
        if not torch.cuda.is_available():
            raise RuntimeUnavailableError(f"{runtime}: there is a GPU, but this PyTorch ({torch.__version__}) cannot use it: "
                                          "install a build of it for CUDA")  # fmt: skip


def _run(model: Path, device: str) -> pt2.Program:
    """The file through torch's own loader, which may do anything."""
    try:
        with warnings.catch_warnings():  # PyTorch 2.11 warns of how its own loader reads the archive
            warnings.filterwarnings("ignore", message="The given buffer is not writable")
            program = torch.export.load(model)
        if device != "cpu":
            program = move_to_device_pass(program, device)
    except Exception as error:  # it raises whatever the archive's parts raise
        raise ModelFileError(f"PyTorch cannot load {model}: {reason_of(error)}") from error
    return pt2.Program(program.module(), _signature(program), [])


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        size is None or size == has for size, has in zip(wanted, shape, strict=True)
    )


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
