"""LSQ's forward and backward in one pass over memory each: C++, compiled on demand. An option, never required.

Plain C++ behind ctypes and not torch's extension loader: that takes Python's and PyTorch's headers, ninja and most
of a minute, for a file that needs none of them.
"""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgecomp.errors import UsageError
from edgecomp.files.scratch import folder_beside

SOURCE = Path(__file__).with_name("lsq.cpp")
COMPILERS = ("c++", "g++", "clang++")
# Without contraction no CPU's fused multiply-add rounds otherwise than the next one's.
FLAGS = ("-O3", "-march=native", "-std=c++17", "-ffp-contract=off", "-fopenmp", "-shared", "-fPIC")
INSTEAD = "the kernel `torch` needs no compiler"


class _Tensor(ctypes.Structure):
    """lsq.cpp's struct of that name: a tensor as it lies in memory, with its grid."""

    _fields_ = (
        ("outer", ctypes.c_long),
        ("channels", ctypes.c_long),
        ("inner", ctypes.c_long),
        ("scale", ctypes.c_void_p),
        ("zero_point", ctypes.c_void_p),
        ("low", ctypes.c_float),
        ("high", ctypes.c_float),
        ("threads", ctypes.c_int),
    )


@functools.cache
def load() -> ctypes.CDLL:
    """The compiled lsq.cpp, from the user's cache folder or made now. Raises UsageError where it cannot be."""
    compiler = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if compiler is None:
        raise UsageError(f"the fused kernel needs a C++ compiler, and none of {', '.join(COMPILERS)} is on the PATH; {INSTEAD}")  # fmt: skip
    file = _cache() / f"lsq-{_digest(compiler)}.so"
    try:
        if not file.exists():
            _build(compiler, file)
        library = ctypes.CDLL(str(file))
    except OSError as error:
        raise UsageError(f"the fused kernel's file cannot be made or loaded ({error}): delete it, or let XDG_CACHE_HOME "
                         f"name a folder that can be written; {INSTEAD}") from error  # fmt: skip
    for name, pointers in (("forward", 2), ("backward", 4)):
        for dtype in ("float32", "bfloat16"):
            function = library[f"{name}_{dtype}"]
            function.restype, function.argtypes = (
                None,
                [ctypes.POINTER(_Tensor)] + [ctypes.c_void_p] * pointers,
            )
            setattr(library, f"{name}_{dtype}", function)
    return library


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "edgecomp", "kernels")


def _digest(compiler: str) -> str:
    """Of the source, the flags, and what the compiler predefines: its version, and what it takes this CPU for."""
    predefined = _run(compiler, "-march=native", "-dM", "-E", "-x", "c++", os.devnull)
    return hashlib.sha256(
        "\n".join([SOURCE.read_text(encoding="utf-8"), *FLAGS, predefined]).encode()
    ).hexdigest()[:16]


def _build(compiler: str, file: Path) -> None:
    """Compiles beside the final name and renames: of two processes at once each leaves a whole file."""
    with folder_beside(file) as scratch:
        made = Path(scratch, file.name)
        _run(compiler, *FLAGS, str(SOURCE), "-o", str(made))
        made.replace(file)


def _run(*command: str) -> str:
    """What the compiler said. Raises UsageError with its words where it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()[
            -2:
        ]
        words = " | ".join(lines[:2])[:400] or f"exit code {done.returncode}"
        raise UsageError(f"the fused kernel could not be compiled by {command[0]}: {words}; {INSTEAD}")
    return done.stdout


def covers(x: torch.Tensor, scale: torch.Tensor) -> bool:
    """Whether the kernel takes such a tensor: fp32 or bfloat16, in this machine's memory, with fp32 scales.

    scale: one, or several that broadcast against `x` and run along one axis.
    """
    return (
        type(x) in (torch.Tensor, nn.Parameter)  # a subclass may have no memory behind it
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and scale.dtype == torch.float32
        and x.ndim >= scale.ndim
        and (scale.numel() == 1 or x.shape[_axis(scale)] == scale.numel())
    )


def _axis(scale: torch.Tensor) -> int:
    """The axis that several scales run along, counted from the last."""
    return next(axis for axis in range(-scale.ndim, 0) if scale.shape[axis] != 1)


class FusedStep(torch.autograd.Function):
    """The same as `_LearnedStep` for what `covers` takes; bfloat16 is computed in fp32 and rounded once."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        log_scale: torch.Tensor,
        zero_point: torch.Tensor,
        low: int,
        high: int,
        factor: float,
    ) -> torch.Tensor:
        """Rounds x to the grid low..high and back; of its shape and type.

        ctx: torch's; log_scale, zero_point: one, or several that broadcast against x; factor: LSQ's, on the
        gradient by log_scale.
        """
        x, scale, zero_point = _dense(x), log_scale.exp().contiguous(), zero_point.contiguous()
        y = torch.empty_like(x)
        ctx.save_for_backward(x, scale, zero_point)
        ctx.range, ctx.factor = (low, high), factor
        _call("forward", _as_it_lies(x, scale, zero_point, ctx.range), x, y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """The gradients by x and by log_scale; None by all else. ctx: torch's; gradients: by the result."""
        x, scale, zero_point = ctx.saved_tensors
        (gradient,) = gradients
        if gradient.stride() != x.stride():
            gradient = torch.empty_like(x).copy_(gradient)
        by_x, by_scale = torch.empty_like(x), torch.empty(scale.shape, dtype=torch.float64)
        _call("backward", _as_it_lies(x, scale, zero_point, ctx.range), gradient, x, by_x, by_scale)
        return by_x, by_scale.mul_(scale).mul_(ctx.factor).to(scale.dtype), None, None, None, None


def _dense(x: torch.Tensor) -> torch.Tensor:
    """x without gaps or overlaps in memory, in the order of axes it has."""
    whole = x.is_contiguous() or (x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last))
    return x if whole else x.contiguous()


def _as_it_lies(
    x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, bounds: tuple[int, int]
) -> _Tensor:
    channels = scale.numel()
    inner = x.numel() if channels == 1 else x.stride(_axis(scale))
    outer = 1 if channels == 1 else x.numel() // (channels * inner)
    pointers = scale.data_ptr(), zero_point.data_ptr()
    return _Tensor(outer, channels, inner, *pointers, *bounds, torch.get_num_threads())


def _call(name: str, tensor: _Tensor, *operands: torch.Tensor) -> None:
    function = getattr(load(), f"{name}_{str(operands[0].dtype).removeprefix('torch.')}")
    function(ctypes.byref(tensor), *(operand.data_ptr() for operand in operands))
