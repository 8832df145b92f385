"""Runs a command as an older x86 CPU would: its kernels, its rounding, its saturation, at full speed.

    python benchmarks/avx2_only edgecomp run digits
    python benchmarks/avx2_only python -m pytest -m "not slow"
    python benchmarks/avx2_only --as x86-64-avx-vnni edgecomp doctor

`--if-possible` as the first word does nothing, and says so, where this machine cannot. The CPU is x86-64-avx2 (AVX2 and nothing newer), or one that `--as` names. How, and what it takes: edgecomp/benchmark/hosts/masked.py.
Exit code 70 where this machine cannot do it.
"""

import subprocess
import sys

from edgecomp.benchmark.hosts import masked


def available() -> str | None:
    """None, or why this machine cannot do it."""
    return masked.why_not("x86-64-avx2")


def main(command: list[str]) -> int:
    isa, needed = "x86-64-avx2", 70
    if command[:1] == ["--if-possible"]:
        command, needed = command[1:], 0
    if command[:1] == ["--as"] and len(command) > 1:
        isa, command = command[1], command[2:]
    if not command:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    if (reason := masked.why_not(isa)) is not None:
        sys.stderr.write(f"not run as {isa}: {reason}\n")
        return needed
    return subprocess.run([*masked.command(isa), *command], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
