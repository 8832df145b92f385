"""Facts about this machine, read from the kernel; nothing is probed by running it."""

import functools
import os
import platform
from pathlib import Path

# What decides which integer kernels run, by the kernel's name for it.
ISA_FLAGS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "BF16",
    "amx_int8": "AMX int8",
    "asimddp": "dot product",
    "i8mm": "i8mm",
    "bf16": "BF16",
}


@functools.cache
def cpu_isa() -> tuple[str, ...]:
    """The instruction sets of this CPU that matter here; empty where the kernel does not say."""
    for line in _lines("/proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            flags = set(value.split())
            return tuple(label for flag, label in ISA_FLAGS.items() if flag in flags)
    return ()


@functools.cache
def cpu_model() -> str:
    for line in _lines("/proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def usable_cores() -> int:
    return len(usable_core_numbers())


def usable_core_numbers() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def gpus() -> tuple[str, ...]:
    """NVIDIA devices, by the names of their nodes."""
    return tuple(sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*")))


def facts() -> dict[str, str | int | list[str]]:
    """What a reviewer asks of the machine a figure comes from."""
    return {
        "cpu": cpu_model(),
        "isa": list(cpu_isa()),
        "cores": usable_cores(),
        "memory_bytes": memory_bytes(),
        "kernel": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
