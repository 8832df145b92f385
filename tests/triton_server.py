"""A real Triton server: the binary of nvidia-pytriton, from a virtual environment of its own that EDGECOMP_TRITON names (`tox run -e triton`).

Only the Python backend is in that package. Its stub runs Debian's Python 3.11 (libpython3.11), which does not look where the packages are: the folder of
backends is made here, with a triton_python_backend_utils.py that says it.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


class Served(NamedTuple):
    http: str
    grpc: str
    log: Path

    def model(self, name: str, grpc: bool = False) -> str:
        """The address of the model called `name`."""
        return f"grpc://{self.grpc}/v2/models/{name}" if grpc else f"http://{self.http}/v2/models/{name}"


def environment() -> Path:
    """The virtual environment with nvidia-pytriton; a test that asks is skipped where there is none."""
    folder = os.environ.get("EDGECOMP_TRITON")
    if not folder:
        pytest.skip("EDGECOMP_TRITON names no environment with nvidia-pytriton: tox run -e triton")
    return Path(folder)


def _backends(packages: Path, folder: Path) -> Path:
    given = packages / "pytriton" / "tritonserver"
    own = folder / "backends" / "python"
    own.mkdir(parents=True)
    for file in (given / "backends" / "python").glob("*.so"):
        (own / file.name).symlink_to(file)
    shutil.copy(given / "python_backend_stubs" / "3.11" / "triton_python_backend_stub", own)
    utils = (given / "backends" / "python" / "triton_python_backend_utils.py").read_text(encoding="utf-8")
    (own / "triton_python_backend_utils.py").write_text(
        f"import sys\nsys.path.insert(0, {str(packages)!r})\n{utils}", encoding="utf-8"
    )
    return own.parent


def free_ports(count: int) -> list[int]:
    """So many ports that nothing listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextmanager
def triton(repository: Path, folder: Path, *models: str, more: tuple[Path, ...] = ()) -> Iterator[Served]:
    """A server with the `models` of the `repository`, which may be loaded and unloaded. folder: an empty one, for what it takes; more: repositories
    beside that."""
    packages = next((environment() / "lib").glob("python3*/site-packages"))
    http, grpc = free_ports(2)
    command = [
        str(packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
        *(word for one in (repository, *more) for word in ("--model-repository", str(one))),
        *("--backend-directory", str(_backends(packages, folder))),
        *("--http-address", "127.0.0.1", "--http-port", str(http), "--grpc-address", "127.0.0.1", "--grpc-port", str(grpc)),
        *("--allow-metrics", "false", "--model-control-mode", "explicit", *(f"--load-model={name}" for name in models)),
    ]  # fmt: skip
    log = folder / "triton.log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            command,
            stdout=file,
            stderr=file,
            env={**os.environ, "LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs")},
        )
        try:
            deadline = time.monotonic() + 120
            while True:
                with (
                    suppress(OSError),
                    urllib.request.urlopen(f"http://127.0.0.1:{http}/v2/health/ready", timeout=5) as answer,
                ):
                    if answer.status == 200:
                        break
                if server.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"Triton did not start: {log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.1)
            yield Served(f"127.0.0.1:{http}", f"127.0.0.1:{grpc}", log)
        finally:
            server.terminate()
            try:
                server.wait(timeout=40)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
