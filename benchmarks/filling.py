"""A table that is filled cell by cell: each cell is a file, made once by a process of its own, on this machine or on those of a Ray cluster.

With `--ray HOST:PORT` a machine of the cluster makes as many cells at once as it has cores for. It needs edgecomp of this version, and the data
($EDGECOMP_DATA, as `ray start` was given it); this folder's scripts and recipes are sent to it. What cells share, a teacher for one, each machine makes for itself.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from edgecomp.errors import UsageError
from edgecomp.files.writing import digest_of
from edgecomp.pipeline.stages.cluster import TRIES, Cluster, facts

KEPT = Path("~/.cache/edgecomp/cells")  # on a machine of a cluster
SENT = ("*.py", "*.yaml", "*.md")
CORES = 2  # of a cell


class Cell(NamedTuple):
    """file: where its content is kept; arguments: of the script, before the folder of runs and the file."""

    file: Path
    arguments: Sequence[str]


class Made(NamedTuple):
    """What came of a cell. said: its last words."""

    code: int
    content: bytes | None
    said: str


def options(parser: argparse.ArgumentParser) -> None:
    """Where cells are made."""
    parser.add_argument("--ray", metavar="HOST:PORT", help="by the machines of this Ray cluster")


def fill(
    script: Path, cells: Iterable[Cell], runs: Path, written: Callable[[], None], ray: str | None = None
) -> None:
    """Makes every cell that is not there yet, by `script ARGUMENTS... RUNS FILE`; `written` is called after each. ray: a cluster's address."""
    left = []
    for cell in cells:
        if cell.file.is_file():
            print(f"{cell.file.stem}: there already")
        else:
            left.append(cell)
    made = _here(script, left, runs) if ray is None else _elsewhere(script, left, ray)
    for cell, code in made:
        if code != 0:
            print(f'{cell.file.stem}: exit code {code}; it stays "not run"', flush=True)
        else:
            written()


def _here(script: Path, cells: Sequence[Cell], runs: Path) -> Iterator[tuple[Cell, int]]:
    for cell in cells:
        print(cell.file.stem, flush=True)
        yield (
            cell,
            subprocess.run(_command(script, cell, runs, cell.file), check=False, env=_env()).returncode,
        )


def _elsewhere(script: Path, cells: Sequence[Cell], address: str) -> Iterator[tuple[Cell, int]]:
    """As soon as each is there. Raises UsageError where a machine is not like this one."""
    with Cluster(address):
        import ray

        most = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
        if most < CORES:
            raise UsageError(f"--ray: a cell takes {CORES} cores, and no machine of the cluster has as many")
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        folder = script.parents[1]
        files = {
            str(file.relative_to(folder)): file.read_bytes()
            for kind in SENT
            for file in sorted(folder.rglob(kind))
        }
        sent = ray.put((files, facts()))
        do = ray.remote(_made).options(num_cpus=CORES, max_retries=TRIES)
        at = str(script.relative_to(folder))
        waiting = {do.remote(sent, at, cell): cell for cell in cells}
        while waiting:
            (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
            cell, made = waiting.pop(ready), Made(*ray.get(ready))
            print(f"{cell.file.stem}{made.said and ': ' + made.said}", flush=True)
            if made.content is not None:
                cell.file.parent.mkdir(parents=True, exist_ok=True)
                cell.file.write_bytes(made.content)
            yield cell, made.code


def _made(sent: tuple[Mapping[str, bytes], Mapping[str, str]], script: str, cell: Cell) -> Made:
    """A cell, on a machine of a cluster."""
    files, wanted = sent
    here = facts()
    if other := [f"{what} {here[what]}, and not {one}" for what, one in wanted.items() if here[what] != one]:
        raise UsageError(
            f"a machine of the cluster has {'; '.join(other)}: its cells would not be comparable"
        )
    digest = digest_of({name: digest_of(content.hex()) for name, content in files.items()})[:16]
    with _slot(KEPT.expanduser() / digest) as folder:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        file = folder / "cell.json"
        file.unlink(missing_ok=True)
        command = _command(folder / script, cell, folder / "runs", file)
        done = subprocess.run(command, check=False, env=_env(), capture_output=True, text=True, cwd=folder)
        said = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
        return Made(
            done.returncode, file.read_bytes() if done.returncode == 0 else None, (said or [""])[-1][:300]
        )


@contextmanager
def _slot(folder: Path) -> Iterator[Path]:
    """A folder that no other cell uses now; of earlier ones it has what they share."""
    from filelock import FileLock, Timeout

    for number in count():
        own = folder / str(number)
        own.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(own / "lock", timeout=0).acquire()
        except Timeout:
            continue
        with lock:
            yield own
        return


def _command(script: Path, cell: Cell, runs: Path, file: Path) -> list[str]:
    return [sys.executable, str(script), *cell.arguments, str(runs), str(file)]


def _env() -> dict[str, Any]:
    return {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
