"""Which other CPUs this machine can stand in for: as it is, with what CPUID says masked, or by qemu-user on the PATH.

qemu-user executes a program of the CPU's own machine. Where that is this machine, it is this Python. Elsewhere it
is the Python of an environment: a folder that is the root of a Debian or Ubuntu of that machine, with a
`usr/bin/python3` of 3.11 or newer that imports numpy and the runtime. `edgecomp prepare emulator` makes one. It knows
neither AVX-512 nor VNNI.
"""

import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from edgecomp.benchmark.hosts import masked
from edgecomp.machine import host_isa
from edgecomp.runtimes import TABLE


class Emulated(NamedTuple):
    program: str
    cpu: str
    machine: str


class Interpreter(NamedTuple):
    """A command that runs Python as another CPU, and the folders of the packages it does not find by itself.

    slow: two hundred times slower than this CPU.
    """

    command: list[str]
    packages: list[str]
    slow: bool = False


# A device profile's `isa` → what qemu-user stands in for it with.
CPUS = {
    "x86-64-avx2": Emulated(
        "qemu-x86_64", "Haswell", "x86_64"
    ),  # AVX2, no VNNI: u8×s8 sums saturate at 16 bits
    "x86-64": Emulated("qemu-x86_64", "Nehalem", "x86_64"),
    "armv8-a": Emulated("qemu-aarch64", "cortex-a72", "aarch64"),  # no dot product
    "armv8.2-dotprod": Emulated("qemu-aarch64", "neoverse-n1", "aarch64"),
    "armv8.6-i8mm": Emulated("qemu-aarch64", "max", "aarch64"),
}


def availability(isa: str, runtime: str | None = None) -> tuple[Interpreter | None, str]:
    """What executes as `isa`, and its versions; or None, and why it, or that runtime, cannot be run here."""
    this = this_cpu()
    if isa == host_isa():
        return this, "this machine's own CPU"
    if masked.why_not(isa) is None:
        how = f"this machine's CPU as {isa}: CPUID is masked"
        return this._replace(command=[*masked.command(isa), *this.command]), how
    if isa not in CPUS:
        return None, f"it takes such a CPU: this is {host_isa()}, and qemu-user does not emulate {isa}"
    return emulated(isa, runtime)


# What an x86 and an Arm device may be: the oldest that is met, whose integer kernels differ most.
OTHER_CPUS = ("x86-64-avx2", "armv8.2-dotprod")


def this_cpu() -> Interpreter:
    """This Python, as it is."""
    return Interpreter([os.path.realpath(sys.executable)], own_packages())


def emulated(isa: str, runtime: str | None = None) -> tuple[Interpreter | None, str]:
    """As `availability`, by qemu-user alone. isa: a row of CPUS; runtime: None where any will do."""
    wanted = CPUS[isa]
    path = shutil.which(wanted.program)
    if path is None:
        return None, how_to_install(wanted.program)
    emulator = [path, "-cpu", wanted.cpu]
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    how = f"{version.splitlines()[0] if version else wanted.program}, -cpu {wanted.cpu}"
    if wanted.machine == platform.machine() and variable(wanted.machine) not in os.environ:
        return Interpreter([*emulator, os.path.realpath(sys.executable)], own_packages(), slow=True), how
    root = environment(wanted.machine)
    python = python_of(root)
    if python is None:
        return None, (f"{isa} takes a Python of {wanted.machine}, and {_shown(root)} holds none: "
                      f"`edgecomp prepare emulator {wanted.machine}` makes one")  # fmt: skip
    versions = runtimes_in(root)
    names = [TABLE[runtime].distribution] if runtime else list(versions)
    if missing := [name for name in names if name not in versions]:
        return None, (f"{_shown(root)} holds no {missing[0]} for {wanted.machine}: `edgecomp prepare emulator {wanted.machine}` "
                      "says which runtimes it could bring, and why not the others")  # fmt: skip
    held = ", ".join([python.name, *(f"{name} {versions[name]}" for name in names)])
    return Interpreter([*emulator, *in_root(root, python)], [], slow=True), f"{how}, {held}"


def _shown(root: Path) -> str:
    """A folder as a report may have it: without the user's name."""
    home = Path.home()
    return f"~/{root.relative_to(home)}" if root.is_relative_to(home) else str(root)


def how_to_install(program: str) -> str:
    """What to do where `program`, one of qemu-user's, is not here."""
    return f"{program} is not on the PATH: install qemu-user (Debian, Ubuntu: apt-get install qemu-user)"


def variable(machine: str) -> str:
    """The variable that names a machine's environment: EDGECOMP_AARCH64."""
    return f"EDGECOMP_{machine.upper()}"


def environment(machine: str) -> Path:
    """Where a machine's environment is, or would be."""
    if named := os.environ.get(variable(machine)):
        return Path(named).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "edgecomp", machine)


def python_of(root: Path) -> Path | None:
    """The interpreter of the environment in the folder `root` by its real path, which is what qemu takes;
    None where there is none."""
    for folder in ("usr/local/bin", "usr/bin"):
        python = Path(os.path.realpath(root / folder / "python3"))
        if python.is_file() and python.is_relative_to(os.path.realpath(root)):
            return python
    return None


def in_root(root: Path, python: Path) -> list[str]:
    """qemu-user's arguments that run `python`, of the environment in the folder `root`, on its own libraries."""
    return ["-L", str(root), "-U", "LD_LIBRARY_PATH", str(python)]


def runtimes_in(root: Path) -> dict[str, str]:
    """The runtimes installed in the environment in the folder `root`: distribution → version."""
    homes = (root / "usr/local/lib", root / "usr/lib")
    folders = [str(path) for home in homes for path in home.glob("python3*/*-packages")]
    found = {package.name: package.version for package in metadata.distributions(path=folders)}
    return {name: found[name] for name in {row.distribution for row in TABLE.values()} if name in found}


def own_packages() -> list[str]:
    """Where this interpreter's packages are: started by its real path, it does not know its virtual environment."""
    return [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
