"""TorchScript files, for those who still deploy them. A file tells the names of its inputs, not their shapes."""

import tempfile
import time
import warnings
from pathlib import Path

import torch

from edgecomp.errors import ModelFileError
from edgecomp.runtimes.base import Options, Port, Runtime, Signature, check_options, reason_of
from edgecomp.runtimes.files import script
from edgecomp.runtimes.pytorch import PyTorchSession


class TorchScript:
    name = "torchscript-cpu"

    def load(
        self, model: Path, *, threads: int, device: str = "cpu", options: Options, trusted: bool = False
    ) -> PyTorchSession:
        """A session with the file `model`, on the CPU. threads: as in `Runtime.load`; device: taken no notice
        of; options: none are known; trusted: the file may be a program; else it is one that only computes
        (edgecomp.runtimes.files.script). Raises RuntimeOptionError, ModelFileError."""
        check_options(self.name, options, {})
        if not model.is_file():
            raise ModelFileError(f"no such model file: {model}")
        torch.set_num_threads(threads)
        checked_ns = 0
        try:
            with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
                warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit's own
                file, began = model, time.perf_counter_ns()
                if not trusted:
                    file = script.checked(model, Path(folder))
                    checked_ns = time.perf_counter_ns() - began
                module = torch.jit.load(str(file), map_location="cpu").eval()  # type: ignore[no-untyped-call]  # torch does not type it
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(f"TorchScript cannot load {model}: {reason_of(error)}") from error
        names = [value.debugName() for value in module.graph.inputs()][1:]  # the first is the module itself
        outputs = sum(1 for _ in module.graph.outputs())
        session = PyTorchSession(
            module,
            Signature(
                tuple(Port(name, None, None) for name in names),
                tuple(Port(f"output_{index}" if index else "logits", None, None) for index in range(outputs)),
            ),
            "cpu",
        )
        session.checked_ns = checked_ns
        return session

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__}


CPU: Runtime = TorchScript()
