"""An environment for the emulator: another machine's Python and runtimes, unpacked into a folder.

apt and pip do the work, from the user's own mirrors: apt with a state of its own, so that this system's
architectures, lists and packages stay as they are, and with its signatures and digests checked as always; pip for
the other machine's wheels. Nothing of it is executed before qemu-user does, and nothing half-made is ever found: the
folder gets its name when it has been tried.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from edgecomp.artifacts.places import check_apart
from edgecomp.benchmark.hosts.emulators import CPUS, how_to_install, in_root, python_of, variable
from edgecomp.errors import EmulatorError, UsageError
from edgecomp.files.scratch import folder_beside

# A machine's name → Debian's.
DEBIAN = {"aarch64": "arm64", "x86_64": "amd64"}
PACKAGES = ("python3", "libstdc++6")
LOWEST_PYTHON, LOWEST_GLIBC = (3, 11), 17

# What is tried in turn: what this machine has, then the newest that qemu 7.2 executes (1.28 to 1.31 end in SIGSEGV).
FALLBACKS = {"onnxruntime": ("1.27.0",), "openvino": ()}

APT_CONF = """
#clear APT::Architectures;
#clear APT::Update;
#clear DPkg;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "{state}";
Dir::State::status "{state}/status";
Dir::Cache "{state}/cache";
"""
OTHER_SOURCES = """Dir::Etc::SourceList "{file}";
Dir::Etc::SourceParts "/dev/null";
"""

Say = Callable[[str], None]


class Python(NamedTuple):
    """An environment's interpreter, as it describes itself under the emulator."""

    command: list[str]
    version: tuple[int, int]
    glibc: int  # 36 is glibc 2.36


def prepare(machine: str, folder: Path, *, apt_sources: Path | None = None, say: Say) -> None:
    """Makes an environment of that `machine`, a row of DEBIAN, in `folder`, in place of an earlier one.
    apt_sources: a file of apt's, None for this system's own; say: is told what goes on.

    Raises UsageError where this system cannot, or the folder is something else, EmulatorError where it did
    not work.
    """
    emulator = _check(machine, folder, apt_sources)
    with folder_beside(folder) as scratch:
        root = Path(scratch, "root")
        say(f"apt: {', '.join(PACKAGES)} for {DEBIAN[machine]}, with what they need")
        _unpack(_download(machine, Path(scratch, "apt"), apt_sources), root)
        python = _describe(emulator, root)
        wheels = Path(scratch, "wheels")
        brought = [name for name in FALLBACKS if _bring(name, machine, python, root, wheels, say)]
        if not brought:
            raise EmulatorError(f"no runtime can be imported under {Path(emulator).name}: its lines above say why; a "
                                "newer qemu-user may")  # fmt: skip
        _run([*python.command, "-s", "-c", f"import numpy, {', '.join(brought)}"],
             "what was unpacked does not work together", env={})  # fmt: skip
        if folder.exists():
            folder.rename(Path(scratch, "earlier"))
        root.rename(folder)


def _check(machine: str, folder: Path, apt_sources: Path | None) -> str:
    """The emulator's path. Raises UsageError where the request cannot be carried out, before anything is fetched."""
    if machine not in DEBIAN:
        raise UsageError(f"no emulated machine is called {machine!r}: it is one of {', '.join(DEBIAN)}")
    program = next(cpu.program for cpu in CPUS.values() if cpu.machine == machine)
    emulator = shutil.which(program)
    if emulator is None:
        raise UsageError(how_to_install(program))
    if missing := [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]:
        raise UsageError(f"{' and '.join(missing)} not found: this takes Debian or Ubuntu. Elsewhere, let "
                         f"{variable(machine)} name the root folder of a Debian of {machine} whose python3 imports "
                         "numpy and the runtime: an exported container, for example")  # fmt: skip
    if apt_sources is not None and not apt_sources.is_file():
        raise UsageError(f"no such file of apt sources: {apt_sources}")
    check_apart(folder, "--to")
    if folder.exists() and python_of(folder) is None and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} is no environment of edgecomp's, and would be replaced: give another folder"
        )
    return emulator


def _download(machine: str, state: Path, apt_sources: Path | None) -> list[Path]:
    """The Debian packages of a Python of that machine. Raises EmulatorError."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True)
    (state / "status").touch()
    content = APT_CONF.format(architecture=DEBIAN[machine], state=state.absolute())
    if apt_sources is not None:
        content += OTHER_SOURCES.format(file=apt_sources.absolute())
    (state / "apt.conf").write_text(content, encoding="utf-8")
    apt = ["apt-get", "-q", "-y", "-c", str(state / "apt.conf")]
    _run([*apt, "update"], "apt-get update failed: look at this system's apt sources")
    _run([*apt, "install", "--download-only", "--no-install-recommends", *PACKAGES],
         f"apt could not fetch a Python of {DEBIAN[machine]}: where this system's sources hold none of that architecture "
         "(Ubuntu keeps arm64 in its ports archive), name some that do with --apt-sources FILE")  # fmt: skip
    return sorted((state / "cache" / "archives").glob("*.deb"))


def _unpack(packages: list[Path], root: Path) -> None:
    for package in packages:
        _run(["dpkg-deb", "-x", str(package), str(root)], f"{package.name} could not be unpacked")
    if not (root / "lib").exists():  # base-files makes this link where /usr is merged
        (root / "lib").symlink_to("usr/lib")


def _describe(emulator: str, root: Path) -> Python:
    """What was unpacked, asked of itself. Raises EmulatorError where it does not run, or is too old."""
    python = python_of(root)
    if python is None:
        raise EmulatorError("the packages that apt fetched hold no usr/bin/python3")
    command = [emulator, *in_root(root, python)]
    question = (
        "import json, os, sys; print(json.dumps([*sys.version_info[:2], os.confstr('CS_GNU_LIBC_VERSION')]))"
    )
    said = _run([*command, "-c", question], f"{python.name} does not run under {Path(emulator).name}", env={})
    major, minor, glibc = json.loads(said.splitlines()[-1])
    if (major, minor) < LOWEST_PYTHON:
        raise EmulatorError(f"apt's Python is {major}.{minor}, edgecomp takes 3.11 or newer: name the sources of a newer "
                            "release with --apt-sources FILE")  # fmt: skip
    return Python(command, (major, minor), int(glibc.split(".")[1]))


def _bring(runtime: str, machine: str, python: Python, root: Path, scratch: Path, say: Say) -> bool:
    """Whether a version of this runtime was found that the emulator imports; it is in the environment then."""
    for version in dict.fromkeys([*_here(runtime), *FALLBACKS[runtime]]):
        wheels = scratch / f"{runtime}-{version}"
        try:
            _fetch_wheels(f"{runtime}=={version}", machine, python, wheels)
            said = _run([*python.command, "-s", "-c", f"import numpy, {runtime}; print(numpy.__version__)"],
                        "it cannot be imported", env={"PYTHONPATH": str(wheels)})  # fmt: skip
        except EmulatorError as error:
            say(f"{runtime} {version}: no: {error}")
        else:
            shutil.copytree(wheels, root / "usr/lib/python3/dist-packages", dirs_exist_ok=True)
            say(f"{runtime} {version}: imported under the emulator, with numpy {said.splitlines()[-1]}")
            return True
    return False


def _here(runtime: str) -> list[str]:
    try:
        return [metadata.version(runtime)]
    except metadata.PackageNotFoundError:
        return []


def _fetch_wheels(requirement: str, machine: str, python: Python, folder: Path) -> None:
    """Raises EmulatorError where there is no such wheel, or pip does not run."""
    tags = [
        f"--platform=manylinux_2_{glibc}_{machine}" for glibc in range(python.glibc, LOWEST_GLIBC - 1, -1)
    ]
    tags += [f"--platform=manylinux2014_{machine}", f"--python-version={'.'.join(map(str, python.version))}"]
    # A constraint is about this machine's packages.
    environment = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
    _run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
          "--only-binary=:all:", "--implementation=cp", *tags, "--target", str(folder), requirement],
         "pip found no wheel", env=environment)  # fmt: skip


def _run(command: Sequence[str], failure: str, env: dict[str, str] | None = None) -> str:
    """What a program said. Raises EmulatorError with that sentence and the program's last words."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=env, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        told = [line for line in lines if line.startswith(("E:", "ERROR:"))] or lines
        raise EmulatorError(f"{failure} ({' | '.join(told[-2:])[-400:] or f'exit code {done.returncode}'})")
    return done.stdout
