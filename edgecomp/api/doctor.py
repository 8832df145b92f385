"""What this machine can run, measure and enforce; nothing is changed to find out."""

import os
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from edgecomp import machine
from edgecomp.benchmark.hosts.emulators import Interpreter, availability
from edgecomp.benchmark.hosts.process import py_spy
from edgecomp.benchmark.worker.noise import RAPL
from edgecomp.metrics.units import format_value
from edgecomp.runtimes import TABLE, Row


class Finding(NamedTuple):
    what: str
    available: bool | None  # None: a fact, neither good nor bad
    detail: str


def examine() -> list[Finding]:
    isa, host = machine.cpu_isa(), machine.host_isa()
    saturates, bf16 = machine.saturates(host), machine.has_bf16()
    return [
        *(_runtime(name, row) for name, row in TABLE.items() if name != "fake"),
        Finding("CPU", None, f"{machine.cpu_model()}, {machine.usable_cores()} cores usable"),
        Finding("memory", None, format_value(float(machine.memory_bytes()), "bytes")),
        *(Finding(name, name in isa, "") for name in ("AVX2", "AVX-512", "AVX-VNNI", "AVX-512 VNNI", "BF16")),
        Finding("isa", None, f"{host}: what `isa: host` is here"),
        Finding("int8 without saturation", not saturates, "u8×s8 products saturate at 16 bits on this CPU: an int8 file with ordinary "
                "weights can lose accuracy here; those of scheme cpu-u8-narrow cannot" if saturates else ""),
        Finding("training in bf16", bf16, "precision: auto takes bf16 here" if bf16 else "this CPU has no instructions for it: precision: auto "
                "takes fp32 here, and bf16 by name takes several times as long"),
        _cgroup(),
        Finding("energy", os.access(RAPL, os.R_OK), RAPL if os.access(RAPL, os.R_OK) else "no sensor that this user may read "
                "(RAPL): energy is unavailable"),
        Finding("pressure (PSI)", Path("/proc/pressure/cpu").is_file(), ""),
        _gpu(),
        *(Finding(f"executed as {isa}", interpreter is not None, how) for isa, (interpreter, how) in _emulators()),
        Finding("C++ compiler", *_compiler()),
        Finding("py-spy", py_spy() is not None, py_spy() or "flame graphs, and the stack of a worker that hangs: pip install py-spy"),
    ]  # fmt: skip


def _emulators() -> list[tuple[str, tuple[Interpreter | None, str]]]:
    return [(isa, availability(isa)) for isa in machine.ISAS if isa != machine.host_isa()]


def _runtime(name: str, row: Row) -> Finding:
    try:
        there = f"{row.distribution} {version(row.distribution)}"
    except PackageNotFoundError:
        return Finding(f"runtime {name}", False, f"pip install {row.distribution}")
    usable = not row.gpu or bool(machine.gpus())
    return Finding(f"runtime {name}", usable, there if usable else f"{there}, and no NVIDIA device here")


def _cgroup() -> Finding:
    """Whether a memory budget could be enforced by the kernel, by this user."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").is_file():
        writable = os.access(root / "cgroup.procs", os.W_OK) and os.access(root, os.W_OK)
        return Finding("cgroup v2", writable, "" if writable else "mounted, but not writable for this user")
    if (root / "memory").is_dir():
        writable = os.access(root / "memory", os.W_OK)
        return Finding("cgroup v1", writable, "" if writable else "mounted, but not writable for this user")
    return Finding("cgroup", False, "not mounted: memory is measured, not enforced")


def _gpu() -> Finding:
    nodes = machine.gpus()
    return Finding(
        "GPU", bool(nodes), ", ".join(nodes) if nodes else "no NVIDIA device here; GPU targets are not run"
    )


def _compiler() -> tuple[bool, str]:
    found = next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), None)
    return found is not None, found or "quantize.kernel: fused needs one; the kernel torch does not"
