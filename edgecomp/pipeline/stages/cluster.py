"""Work of a run on the machines of a Ray cluster: what the run has made goes there once a machine, and what comes of each part comes back.

A machine needs edgecomp, of this version, and no disk that is shared. Ray gives the parts of a machine or a process that was lost to others.
https://docs.ray.io/en/latest/ray-core/tasks.html, …/fault_tolerance/tasks.html
"""

import hashlib
import os
import platform
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from edgecomp import __version__
from edgecomp.artifacts.run_folder import JOB
from edgecomp.config.job import read_job
from edgecomp.errors import EdgecompError, UsageError
from edgecomp.files.scratch import PREFIX, owner
from edgecomp.files.writing import digest_of
from edgecomp.machine import cpu_isa, installed
from edgecomp.pipeline.loaders import Run
from edgecomp.progress import silent

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LIBRARIES = ("torch", "numpy")  # whose sums are added up otherwise by another version
TRIES = 8  # of a part, whose process or machine was lost
CONNECT_S = 10.0
AHEAD = 2  # parts a core that are handed out before one comes back

Files = Mapping[str, "npt.NDArray[np.uint8]"]
"""By path in the run folder, what a file holds."""

Work = Callable[[Run, Any], Any]
"""What is done to a part there: a function of a module of edgecomp, of the run and of the part; what it returns is sent back."""


@dataclass(frozen=True)
class Sent:
    """What goes to a machine once: the run folder's files, by digest, and what the machine has to be like. threads: of a part."""

    digest: str
    files: Files
    facts: Mapping[str, str]
    threads: int


class Cluster:
    """The machines that Ray knows at `address`, of `ray start`. Raises UsageError where Ray is not installed, or nothing answers there."""

    def __init__(self, address: str) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise UsageError("--ray needs Ray, which is not installed: pip install 'edgecomp[ray]'") from None
        _check_address(address)
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a warning of Ray's about itself
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UsageError(f"--ray {address}: {' '.join(str(error).split())[:300]}") from None
        self._ray = ray

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ray.shutdown()

    @property
    def cores(self) -> int:
        """Of all machines together, as Ray counts them."""
        return int(self._ray.cluster_resources().get("CPU", 0))

    def done(
        self, work: Work, run: Run, steps: Sequence[str], parts: Sequence[Any], *, threads: int
    ) -> Iterator[tuple[Any, Any]]:
        """Does the `work` to all `parts`, and yields each, with what came of it, as soon as that is there.

        run: whose `steps` the work reads; threads: of a part, as many cores as Ray keeps for it. Raises UsageError where a machine is not like this one,
        EdgecompError where a part fails; what is under way is cancelled then.
        """
        ray = self._ray
        if threads > max(
            (node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0
        ):
            raise UsageError(
                f"--ray: a part takes {threads} threads, and no machine of the cluster has as many cores: lower `threads` in the recipe"
            )
        sent = ray.put(packed(run, steps, threads))
        do = ray.remote(_do).options(num_cpus=threads, max_retries=TRIES)
        waiting: dict[Any, Any] = {}
        left = list(reversed(parts))
        try:
            while waiting or left:
                while left and len(waiting) < max(1, AHEAD * self.cores // threads):
                    part = left.pop()
                    waiting[do.remote(sent, work, part)] = part
                (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
                part = waiting.pop(ready)
                try:
                    found = ray.get(ready)
                except ray.exceptions.RayError as error:
                    raise EdgecompError(
                        f"--ray: {_last(error)}; what was finished is kept: run the same command again"
                    ) from None
                if "refused" in found:
                    raise UsageError(found["refused"])
                if "failed" in found:
                    raise EdgecompError(f"on {found['on']}: {found['failed']}")
                yield part, found["result"]
        finally:
            for one in waiting:
                ray.cancel(one, force=True)


def _check_address(address: str) -> None:
    """Raises UsageError where nothing listens at an `address`: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise UsageError(
            f"--ray {address}: HOST:PORT is asked for, as `ray start --head` says it, on this machine or one that this joined by `ray start --address=HOST:PORT`"
        )
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError as error:
        raise UsageError(f"--ray {address}: no cluster answers there ({error.strerror or error}): `ray start --head` starts one, and "
                         "`ray start --address=HOST:PORT` joins it") from None  # fmt: skip


def on(address: str | None) -> "AbstractContextManager[Cluster | None]":
    """The cluster at `address`, until the block ends; None where that is None. Raises UsageError."""
    return nullcontext() if address is None else Cluster(address)


def packed(run: Run, steps: Sequence[str], threads: int) -> Sent:
    """What the `steps` of `run` have made, with its job, as it is sent. threads: of a part."""
    import numpy as np

    files = [run.folder / JOB]
    for step in steps:
        files += sorted(file for file in (run.folder / step).rglob("*") if file.is_file())
    content = {str(file.relative_to(run.folder)): np.fromfile(file, np.uint8) for file in files}
    digest = digest_of({name: hashlib.sha256(values.data).hexdigest() for name, values in content.items()})
    return Sent(digest, content, facts(), threads)


def facts() -> dict[str, str]:
    """What decides, of a machine, which bytes come of the same work."""
    return {
        "edgecomp": __version__,
        "Python": ".".join(platform.python_version_tuple()[:2]),
        **{name: installed(name) for name in LIBRARIES},
        "instruction sets": f"{platform.machine()} {' '.join(cpu_isa())}",
    }


def _do(sent: Sent, work: Work, part: Any) -> dict[str, Any]:
    """What came of a part, on a machine of the cluster, or why nothing did."""
    import torch

    here, name = facts(), platform.node()
    if other := [what for what, wanted in sent.facts.items() if here[what] != wanted]:
        told = ", ".join(f"{what} {here[what]}, and here {sent.facts[what]}" for what in other)
        return {
            "refused": f"--ray: {name} has {told}: another machine's results would not be the same; leave it out of the cluster, or install that there"
        }
    torch.set_num_threads(sent.threads)
    try:
        return {"result": work(_run(sent), part)}
    except EdgecompError as error:
        return {"failed": str(error), "on": name}


_UNPACKED: dict[str, Run] = {}
"""In a process of the cluster, by digest: runs that lie on its machine."""


def _run(sent: Sent) -> Run:
    """The run that was sent, in a folder of this process's, which is swept when that has ended."""
    if sent.digest not in _UNPACKED:
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{owner()}-"))
        for name, content in sent.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            content.tofile(folder / name)
        _UNPACKED[sent.digest] = Run(read_job(folder), folder, silent)
    return _UNPACKED[sent.digest]


def _last(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1][:300] if lines else 'it said nothing'}"
