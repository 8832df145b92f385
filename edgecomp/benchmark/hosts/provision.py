"""What a device needs to be measured: Python, and beside it numpy and the runtime in the versions of this machine, in a virtual environment of
their own."""

import shlex
import subprocess
from collections.abc import Callable, Sequence

from edgecomp.benchmark.hosts.connection import OF_SSH, VENV, command
from edgecomp.errors import DeviceError, RuntimeUnavailableError
from edgecomp.machine import installed
from edgecomp.runtimes import TABLE
from edgecomp.text import plain

MINUTES = 30  # of an installation, on a slow device with a slow network


def prepare(host: str, runtime: str, say: Callable[[str], None], ssh: Sequence[str] = ("ssh",)) -> None:
    """Makes the environment on `host`, or tells what is missing there. runtime: a row of edgecomp.runtimes.TABLE; say: told of each step; ssh: the
    client. Raises DeviceError, RuntimeUnavailableError."""
    wanted = [f"{name}=={installed(name)}" for name in ("numpy", TABLE[runtime].distribution)]
    if missing := [one for one in wanted if one.endswith("not installed")]:
        raise RuntimeUnavailableError(
            f"{missing[0].partition('==')[0]} is not installed here, so that no version of it is known: install it first"
        )
    say(
        f"{host}: {_run(host, 'python3 --version', 'has no python3: install Python 3.11 or newer there', ssh)}"
    )
    folder = f'"$HOME/{VENV}"'
    say(f"{host}: a virtual environment in ~/{VENV}")
    _run(
        host,
        f"[ -x {folder}/bin/pip ] || python3 -m venv {folder}",
        "cannot make one: install the package python3-venv there",
        ssh,
    )
    say(f"{host}: {', '.join(wanted)}")
    install = f"{folder}/bin/python -m pip install --quiet --disable-pip-version-check {shlex.join(wanted)}"
    _run(
        host,
        install,
        f"cannot install them: without a network there, copy their wheels and install those into ~/{VENV}",
        ssh,
    )
    imports = f"{folder}/bin/python -c {shlex.quote('import numpy, ' + _module(runtime))}"
    _run(
        host,
        imports,
        "cannot import what was installed: its CPU or its system libraries are not those that the wheel is for",
        ssh,
    )
    say(f"{host} is ready: name it in a target, `host: {host}`")


def _module(runtime: str) -> str:
    """What is imported of a runtime."""
    return TABLE[runtime].distribution.removesuffix("-gpu").replace("-", "_")


def _run(host: str, line: str, failure: str, ssh: Sequence[str]) -> str:
    """What a line of shell prints there, in one line; `failure` says what it means that it fails."""
    try:
        done = subprocess.run(
            command(host, line, ssh),
            capture_output=True,
            text=True,
            check=False,
            timeout=60 * MINUTES,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise DeviceError(f"{host}: `{line}` took more than {MINUTES} minutes and was given up") from None
    said = plain(done.stderr.strip() or done.stdout.strip())
    last = said.splitlines()[-1][:300] if said else f"exit code {done.returncode}"
    if done.returncode == OF_SSH:
        raise DeviceError(
            f"{host} cannot be reached: {last}: `ssh {host}` has to work by a key, without a password"
        )
    if done.returncode:
        raise RuntimeUnavailableError(f"{host} {failure} ({last})")
    return " ".join(done.stdout.split())
