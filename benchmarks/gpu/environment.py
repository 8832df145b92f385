"""Where a report comes from: the card, its driver, and the versions of what computes on it."""

import importlib.metadata
import shutil
import subprocess
from typing import Any

import torch

from edgecomp import machine

PACKAGES = (
    "torch",
    "triton",
    "numpy",
    "onnx",
    "onnxruntime",
    "transformers",
    "tensorrt",
    "torchao",
    "pydantic",
)


def facts() -> dict[str, Any]:
    """What a reader must know to believe a figure; `not installed` is one too."""
    here = machine.facts()
    found: dict[str, Any] = {"GPU": "none"}
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        found = {
            "GPU": card.name,
            "compute capability": f"{card.major}.{card.minor}",
            "multiprocessors": card.multi_processor_count,
            "GPU memory": f"{card.total_memory / 2**30:.1f} GiB",
            "driver": _driver(),
            "cuDNN": torch.backends.cudnn.version(),
        }
    found |= {"CUDA of PyTorch": torch.version.cuda or "none"}
    found |= {name: _version(name) for name in PACKAGES}
    found |= {"nsys": "installed" if shutil.which("nsys") else "not installed"}
    return found | {name: here[name] for name in ("cpu", "cores", "python")}


def providers() -> list[str]:
    """What ONNX Runtime can execute on here."""
    try:
        import onnxruntime
    except ImportError:
        return []
    return list(onnxruntime.get_available_providers())


def _version(package: str) -> str:
    """Of torch its own word, which tells the build."""
    if package == "torch":
        return str(torch.__version__)
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _driver() -> str:
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi does not say ({type(error).__name__})"
    return done.stdout.strip().splitlines()[0]
