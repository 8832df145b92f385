"""Runs a command as a CPU that has AVX2 and nothing newer would: its kernels, its rounding, its saturation, at full speed.

    python benchmarks/avx2_only edgecomp run digits
    python benchmarks/avx2_only python -m pytest -m "not slow"

What `cpuid.c` hides, libraries do not use. It takes Linux, a C compiler and an Intel CPU (`cpuid_fault` among the flags of
/proc/cpuinfo); exit code 70 where one of them is missing. Against qemu-user, which takes 200 times as long, its answers are
checked by tests/runtimes/test_avx2_only.py. A CPU that is older than Haswell is not imitated.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("cpuid.c")


def library(folder: Path) -> Path:
    """The library to preload, compiled into `folder`. Raises OSError or CalledProcessError."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise OSError("no C compiler on the PATH: install gcc or clang")
    made = folder / "avx2_only.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(made), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return made


def available() -> str | None:
    """None, or why this machine cannot do it."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError as error:
        return str(error)
    if "avx2" not in flags:
        return "this CPU has no AVX2"
    if "cpuid_fault" not in flags:
        return "this CPU cannot make CPUID fault (no cpuid_fault among its flags)"
    if shutil.which("cc") is None and shutil.which("gcc") is None and shutil.which("clang") is None:
        return "no C compiler on the PATH"
    return None


def main(command: list[str]) -> int:
    if not command:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    if (reason := available()) is not None:
        sys.stderr.write(f"avx2_only: {reason}\n")
        return 70
    with tempfile.TemporaryDirectory() as folder:
        preloaded = [str(library(Path(folder))), *os.environ.get("LD_PRELOAD", "").split()]
        return subprocess.run(command, env={**os.environ, "LD_PRELOAD": " ".join(preloaded)}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
