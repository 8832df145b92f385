"""PyTorch eager on the CPU, from a file that torch.export wrote."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from edgecomp.errors import InferenceError, ModelFileError
from edgecomp.runtimes.base import Array, Options, Port, Runtime, Signature, check_options


class PyTorchSession:
    concurrent = False

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        self._module = program.module()
        nodes = {node.name: node.meta["val"] for node in program.graph.nodes if "val" in node.meta}
        graph = program.graph_signature
        self._inputs = tuple(_port(name, nodes[name]) for name in graph.user_inputs if isinstance(name, str))
        self._outputs = tuple(
            _port(f"output_{index}" if index else "logits", nodes[name])
            for index, name in enumerate(graph.user_outputs)
            if isinstance(name, str)
        )

    def signature(self) -> Signature:
        return Signature(self._inputs, self._outputs)

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        try:
            with torch.inference_mode():
                result = self._module(*(torch.from_numpy(batch[port.name]) for port in self._inputs))
        except KeyError as error:
            raise InferenceError(f"PyTorch: the batch has no input {error}") from error
        except (RuntimeError, TypeError, ValueError, AssertionError) as error:
            raise InferenceError(f"PyTorch: {' '.join(str(error).split())[:400]}") from error
        outputs = result if isinstance(result, tuple | list) else (result,)
        return {port.name: output.numpy() for port, output in zip(self._outputs, outputs, strict=True)}

    def close(self) -> None:
        del self._module


class PyTorchCpu:
    name = "pytorch-cpu"

    def load(self, model: Path, *, threads: int, device: str = "cpu", options: Options) -> PyTorchSession:
        check_options(self.name, options, {})
        if not model.is_file():
            raise ModelFileError(f"no such model file: {model}")
        torch.set_num_threads(threads)
        try:
            return PyTorchSession(torch.export.load(model))
        except Exception as error:  # torch.export.load raises whatever the archive's parts raise
            raise ModelFileError(
                f"PyTorch cannot load {model}: {' '.join(str(error).split())[:400]}"
            ) from error

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__}


RUNTIME: Runtime = PyTorchCpu()


def _port(name: str, value: Any) -> Port:
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return Port(name, shape, str(value.dtype).removeprefix("torch."))
