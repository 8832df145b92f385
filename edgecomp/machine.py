"""Facts about this machine; nothing is probed by running it.

A device that is measured over SSH has Python and no psutil: what Linux tells by itself is asked of it, and psutil elsewhere. Read from /proc
by hand: what a CPU can do and what it is called, which psutil does not know, and who wants to run just now, for which load averages are too
slow.
"""

import contextlib
import functools
import os
import platform
import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

# What decides which integer kernels run, by the kernel's name for it.
ISA_FLAGS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "BF16",
    "amx_int8": "AMX int8",
    "amx_bf16": "AMX BF16",
    "asimddp": "dot product",
    "i8mm": "i8mm",
    "bf16": "BF16",
}
BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")


class Isa(NamedTuple):
    """A kind of CPU. flags: the kernel's names of what it has. wide: it adds int8 products in 32 bits, so that none saturates."""

    machine: str
    flags: tuple[str, ...]
    wide: bool


# By the name that a target's `isa` has; of a machine's, the first whose flags are there is this CPU's. On x86 without VNNI,
# also with AVX-512, both runtimes add two u8×s8 products in 16 bits. On Arm neither was seen to saturate.
ISAS = {
    "x86-64-amx": Isa("x86_64", ("avx512_vnni", "amx_int8"), True),
    "x86-64-avx512-vnni": Isa("x86_64", ("avx512f", "avx512_vnni"), True),
    "x86-64-avx-vnni": Isa("x86_64", ("avx2", "avx_vnni"), True),
    "x86-64-avx512": Isa("x86_64", ("avx512f",), False),
    "x86-64-avx2": Isa("x86_64", ("avx2",), False),
    "x86-64": Isa("x86_64", (), False),
    "armv8.6-i8mm": Isa("aarch64", ("asimddp", "i8mm"), True),
    "armv8.2-dotprod": Isa("aarch64", ("asimddp",), True),
    "armv8-a": Isa("aarch64", (), True),
}
UNKNOWN_ISA = "unknown"  # neither x86-64 nor Arm: nothing is taken for granted of it


def host_isa() -> str:
    """The row of ISAS that this CPU is, by its flags and not by a trial, so that one kind of machine is always the same."""
    flags = cpu_flags()
    own = (
        name
        for name, isa in ISAS.items()
        if isa.machine == platform.machine() and flags.issuperset(isa.flags)
    )
    return next(own, UNKNOWN_ISA)


def saturates(isa: str) -> bool:
    """Whether a kernel of the CPU `isa`, a row of ISAS, may add two int8 products in 16 bits; of one that is
    not named there, it may."""
    return isa not in ISAS or not ISAS[isa].wide


def has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 itself; elsewhere a linear layer's training step takes five times fp32's."""
    return not cpu_flags().isdisjoint(BF16_FLAGS)


@functools.cache
def cpu_flags() -> frozenset[str]:
    """The kernel's names of what this CPU can do; empty where it does not say."""
    for line in _lines("/proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def cpu_isa() -> tuple[str, ...]:
    """The instruction sets of this CPU that matter here; empty where the kernel does not say."""
    flags = cpu_flags()
    return tuple(label for flag, label in ISA_FLAGS.items() if flag in flags)


@functools.cache
def cpu_model() -> str:
    for line in _lines("/proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def is_idle(looks: int = 5, every_s: float = 0.005) -> bool:
    """Whether nothing else wants to run here just now: the median over a few `looks`, `every_s` seconds one,
    at how many threads do (proc_loadavg(5)). No where the system does not say."""
    wanting = []
    for _ in range(looks):
        fields = (_lines("/proc/loadavg") or [""])[0].split()
        if len(fields) < 4 or not fields[3].partition("/")[0].isdigit():
            return False
        wanting.append(int(fields[3].partition("/")[0]) - 1)  # without ourselves
        time.sleep(every_s)
    return statistics.median(wanting) < 1


def memory_bytes() -> int:
    """Of the whole machine."""
    with contextlib.suppress(ValueError, OSError):  # a device has no psutil
        pages: int = os.sysconf("SC_PHYS_PAGES")
        return pages * int(os.sysconf("SC_PAGE_SIZE"))
    import psutil  # a worker imports this module, and must stay as small as its runtime

    return int(psutil.virtual_memory().total)


def usable_cores() -> int:
    return len(usable_core_numbers())


def usable_core_numbers() -> list[int]:
    """The cores that this process may run on; all of them where the system has no affinity, as macOS."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    import psutil

    return list(range(psutil.cpu_count() or 1))


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


def installed(library: str) -> str:
    """The version of `library`, or that it is not installed: a GPU's runtime is not where there is no GPU."""
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"
