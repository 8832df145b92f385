"""This x86 CPU as an older one, at full speed: what CPUID says is masked, so that libraries choose the older CPU's kernels.

`cpuid.c` is how; it takes Linux, a C compiler and a CPU that can make CPUID fault (Intel's can). The answers are those of
qemu-user, in a two-hundredth of its time (tests/runtimes/test_other_cpus.py). Timings are not the older CPU's.
"""

import functools
import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

from edgecomp.files.scratch import folder_beside
from edgecomp.machine import cpu_flags

SOURCE = Path(__file__).with_name("cpuid.c")
COMPILERS = ("cc", "gcc", "clang")

# An instruction set → what this CPU must have to pass for one of it, and what `cpuid.c` keeps.
CPUS = {
    "x86-64-avx2": ("avx2", "KEEP_NOTHING"),
    "x86-64-avx-vnni": ("avx_vnni", "KEEP_AVX_VNNI"),
    "x86-64-avx512": ("avx512f", "KEEP_AVX512"),
    "x86-64-avx512-vnni": ("avx512_vnni", "KEEP_AVX512_VNNI"),
}


def why_not(isa: str) -> str | None:
    """None, or why this CPU cannot pass for one of the instruction set `isa`."""
    if isa not in CPUS:
        return f"no x86 CPU passes for one of {isa}"
    flags = cpu_flags()
    if platform.machine() != "x86_64" or CPUS[isa][0] not in flags:
        return f"this CPU has no {CPUS[isa][0]}"
    if "cpuid_fault" not in flags:
        return "this CPU cannot make CPUID fault (no cpuid_fault among its flags)"
    if _compiler() is None:
        return f"masking CPUID takes a C compiler, and none of {', '.join(COMPILERS)} is on the PATH"
    try:
        library(isa)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"the library that masks CPUID could not be made: {error}"
    return None


@functools.cache
def library(isa: str) -> Path:
    """What a program preloads to pass for a CPU of the instruction set `isa`; from the user's cache folder,
    or compiled now.

    Raises OSError, CalledProcessError.
    """
    source, compiler = SOURCE.read_bytes(), _compiler()
    assert compiler is not None
    keeps = CPUS[isa][1]
    digest = hashlib.sha256(source + keeps.encode()).hexdigest()[:16]
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    file = Path(cache, "edgecomp", "kernels", f"{isa}-{digest}.so")
    if not file.exists():
        with folder_beside(file) as scratch:
            made = Path(scratch, file.name)
            command = [
                compiler,
                "-O2",
                "-shared",
                "-fPIC",
                f"-D{keeps}",
                "-o",
                str(made),
                str(SOURCE),
                "-ldl",
            ]
            subprocess.run(command, check=True, capture_output=True)
            made.replace(file)
    return file


def command(isa: str) -> list[str]:
    """What stands before a command to run it as a CPU of the instruction set `isa`; `why_not` says whether it
    can."""
    return ["/usr/bin/env", f"LD_PRELOAD={library(isa)}"]


def _compiler() -> str | None:
    return next((path for name in COMPILERS if (path := shutil.which(name))), None)
