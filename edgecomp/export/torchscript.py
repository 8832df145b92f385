"""TorchScript, for those who still deploy it. torch.jit is deprecated; its warning is caught here and nowhere else."""

import io
import warnings
import zipfile
from pathlib import Path

import torch
from torch import nn

NOTES = (".debug_pkl", "serialization_id")  # stack traces with this machine's paths, and a digest of them


@torch.no_grad()
def save(network: nn.Module, example: torch.Tensor, path: Path) -> None:
    """Writes the traced network: any batch size, no control flow; the same network gives the same bytes."""
    traced = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        torch.jit.save(torch.jit.trace(network.eval(), example, check_trace=False), traced)  # type: ignore[no-untyped-call]
    with zipfile.ZipFile(traced) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name in whole.namelist():
            if not name.endswith(NOTES):
                file.writestr(zipfile.ZipInfo(name), whole.read(name))
