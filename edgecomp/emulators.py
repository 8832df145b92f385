"""Which other CPUs this machine can stand in for: a table of instruction sets, and qemu-user on the PATH."""

import platform
import shutil
import subprocess
from typing import NamedTuple


class Emulated(NamedTuple):
    program: str
    cpu: str
    machine: str


# A device profile's `isa` → what stands in for it.
CPUS = {
    "x86-64-avx2": Emulated(
        "qemu-x86_64", "Haswell", "x86_64"
    ),  # AVX2, no VNNI: u8×s8 sums saturate at 16 bits
    "armv8-a": Emulated("qemu-aarch64", "cortex-a72", "aarch64"),
    "armv8.2-dotprod": Emulated("qemu-aarch64", "neoverse-n1", "aarch64"),
}


def availability(isa: str) -> tuple[list[str] | None, str]:
    """The command that executes as `isa`, and its version; or None, and why it cannot be run here."""
    wanted = CPUS[isa]
    path = shutil.which(wanted.program)
    if path is None:
        return (
            None,
            f"{wanted.program} is not on the PATH: install qemu-user (Debian, Ubuntu: apt-get install qemu-user)",
        )
    if wanted.machine != platform.machine():
        return (
            None,
            f"{isa} takes a {wanted.machine} Python with its runtime, which this {platform.machine()} one is not",
        )
    version = subprocess.run(
        [path, "--version"], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    return [path, "-cpu", wanted.cpu], f"{version[0] if version else wanted.program}, -cpu {wanted.cpu}"
