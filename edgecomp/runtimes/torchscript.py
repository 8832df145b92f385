"""TorchScript files, for those who still deploy them. A file tells the names of its inputs, not their shapes."""

import warnings
from pathlib import Path

import torch

from edgecomp.errors import ModelFileError
from edgecomp.runtimes.base import Options, Port, Runtime, Signature, check_options, reason_of
from edgecomp.runtimes.pytorch import PyTorchSession


class TorchScript:
    name = "torchscript-cpu"

    def load(self, model: Path, *, threads: int, device: str = "cpu", options: Options) -> PyTorchSession:
        check_options(self.name, options, {})
        if not model.is_file():
            raise ModelFileError(f"no such model file: {model}")
        torch.set_num_threads(threads)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit's own
                module = torch.jit.load(str(model), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(f"TorchScript cannot load {model}: {reason_of(error)}") from error
        names = [value.debugName() for value in module.graph.inputs()][1:]  # the first is the module itself
        outputs = sum(1 for _ in module.graph.outputs())
        return PyTorchSession(
            module,
            Signature(
                tuple(Port(name, None, None) for name in names),
                tuple(Port(f"output_{index}" if index else "logits", None, None) for index in range(outputs)),
            ),
            "cpu",
        )

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__}


CPU: Runtime = TorchScript()
