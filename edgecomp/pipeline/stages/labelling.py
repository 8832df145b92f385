"""A teacher's soft labels by several processes, here or on the machines of a cluster, shard by shard: the same bytes whatever their number, and whatever ended one of them.

Each process computes with one thread, so that sums are added up in one order, and writes a shard at a time, whole or not at all. A run that was killed
goes on with the shards that are missing. Run as a module this file is such a process.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgecomp.arms import TEACHER
from edgecomp.config.job import read_job
from edgecomp.data import label_store
from edgecomp.data.label_store import VALIDATION, Layout, Logits, Shard
from edgecomp.errors import EdgecompError
from edgecomp.files.json_files import read_mapping
from edgecomp.files.scratch import replacing
from edgecomp.files.writing import sha256, write_json
from edgecomp.pipeline import loaders
from edgecomp.pipeline.loaders import Run
from edgecomp.progress import silent

if TYPE_CHECKING:
    from edgecomp.pipeline.stages.cluster import Cluster

NEEDED = ("data", "teacher")  # steps that a machine reads
LAYOUT = "layout.json"
LOOK_S = 0.1
KILL_S = 5.0

_ANSWERS: dict[Path, Callable[[Shard], Logits]] = {}
"""In a process of a cluster, by run folder: what its teacher answers."""


def in_shards(
    run: Run, out: Path, checkpoints: Path, *, workers: int, top: int, cluster: "Cluster | None" = None
) -> None:
    """Writes the store of the soft labels of the teacher of `run` into `out`, by so many `workers` on this machine, or by a `cluster`; checkpoints: where
    finished shards wait; top: how many logits of a row are kept, 0 for all. Raises EdgecompError where a worker fails; what was finished is kept."""
    checkpoints.mkdir(parents=True, exist_ok=True)
    layout = layout_of(run, top)
    write_json(checkpoints / LAYOUT, asdict(layout))
    names = [shard.name for shard in layout.shards()]
    (_by_processes if cluster is None else partial(_by_cluster, cluster))(run, checkpoints, layout, workers)
    label_store.finish(checkpoints, layout)
    for name in (*names, label_store.STORE):
        (checkpoints / name).rename(out / name)


def _by_cluster(cluster: "Cluster", run: Run, checkpoints: Path, layout: Layout, _: int) -> None:
    """Writes the shards that are missing, as machines of the `cluster` send them."""
    left = [shard for shard in layout.shards() if not label_store.is_whole(checkpoints, layout, shard)]
    done = cluster.done(_shard, run, NEEDED, [(layout, shard) for shard in left], threads=1)
    for (_, shard), content in run.track(done, f"soft labels, shards, by {cluster.cores} cores", len(left)):
        with replacing(checkpoints / shard.name) as temporary:
            temporary.write_bytes(content)


def _shard(run: Run, part: tuple[Layout, Shard]) -> bytes:
    """What the file of a shard holds, made on a machine of a cluster."""
    layout, shard = part
    if run.folder not in _ANSWERS:
        _ANSWERS.clear()
        _ANSWERS[run.folder] = answers(run)
    with tempfile.TemporaryDirectory() as name:
        label_store.write_shard(Path(name), layout, shard, _ANSWERS[run.folder](shard))
        return (Path(name) / shard.name).read_bytes()


def _by_processes(run: Run, checkpoints: Path, layout: Layout, workers: int) -> None:
    names = [shard.name for shard in layout.shards()]
    command = [
        sys.executable,
        "-m",
        "edgecomp.pipeline.stages.labelling",
        str(run.folder.resolve()),
        str(checkpoints.resolve()),
    ]
    running = [_Worker([*command, str(worker), str(workers)]) for worker in range(workers)]
    try:
        for _ in run.track(
            _finished(checkpoints, names, running), f"soft labels, shards, by {workers}", len(names)
        ):
            pass
    finally:
        for one in running:
            one.end()


def layout_of(run: Run, top: int) -> Layout:
    """What the store of `run` will hold: the width of the outputs is that of two examples' answers. top: as `in_shards` takes it. Raises UsageError."""
    import numpy as np

    from edgecomp.errors import UsageError
    from edgecomp.training.loop import logits_of

    own, data = loaders.views(run, TEACHER), run.job.recipe.data
    network = loaders.trained_teacher(run)
    shape = logits_of(network, own.held_out().chosen(np.arange(min(2, len(own.validation))))).shape[1:]
    if top and not 0 < top < int(np.prod(shape)):
        raise UsageError(
            f"--top {top}: a row has {int(np.prod(shape))} logits: keep fewer than that, or all (leave it out)"
        )
    if top and len(shape) > 1:
        raise UsageError(
            f"--top {top} is of one class an example, and the teacher's answers are {list(shape)}: leave it out"
        )
    return Layout(
        views=data.views if own.augmentation is not None else 1,
        rows=len(own.train),
        validation_rows=len(own.validation),
        shape=tuple(map(int, shape)),
        teacher_sha256=sha256(run.folder / "teacher" / "teacher.safetensors"),
        top=top,
    )


class _Worker:
    def __init__(self, command: Sequence[str]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the worker ends
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def failed(self) -> str | None:
        """Why, in its last words; None while it runs, and where it ended well."""
        code = self._process.poll()
        if not code:
            return None
        self._said.seek(0)
        words = self._said.read().decode("utf-8", "replace").strip().splitlines()
        return f"ended with {code}: {words[-1] if words else 'it said nothing'}"

    def is_running(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(KILL_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._said.close()


def _finished(folder: Path, names: Sequence[str], running: Sequence[_Worker]) -> Iterator[str]:
    """The names of shards as they are there. Raises EdgecompError where a worker has failed."""
    left = list(names)
    while any(one.is_running() for one in running):
        for name in [name for name in left if (folder / name).exists()]:
            left.remove(name)
            yield name
        if said := next(filter(None, (one.failed() for one in running)), None):
            raise EdgecompError(f"soft labels: a worker {said}. Finished shards are kept: run again")
        time.sleep(LOOK_S)
    if said := next(filter(None, (one.failed() for one in running)), None):
        raise EdgecompError(f"soft labels: a worker {said}. Finished shards are kept: run again")
    yield from left


def answers(run: Run) -> Callable[[Shard], Logits]:
    """What the teacher of `run` answers to the rows of a shard, computed by one thread; views are made once where shards of one come in turn."""
    import numpy as np
    import torch

    from edgecomp.training.loop import Examples, logits_of

    network, own = loaders.trained_teacher(run), loaders.views(run, TEACHER)
    torch.set_num_threads(1)
    last: tuple[int, Examples] | None = None

    def logits(shard: Shard) -> Logits:
        nonlocal last
        if last is None or last[0] != shard.view:
            last = shard.view, own.held_out() if shard.view == VALIDATION else own.view(shard.view)
        with torch.autocast("cpu", torch.bfloat16, enabled=run.job.precision == "bf16"):
            return logits_of(network, last[1].chosen(np.arange(shard.start, shard.stop)))

    return logits


def _work(folder: Path, checkpoints: Path, worker: int, workers: int) -> None:
    """Writes the shards of one worker of several."""
    parent = os.getppid()
    told = read_mapping(checkpoints / LAYOUT)
    layout = Layout(**told | {"shape": tuple(told["shape"])})
    logits = answers(Run(read_job(folder), folder, silent))
    for _ in label_store.write(checkpoints, layout, logits, worker=worker, workers=workers):
        if os.getppid() != parent:  # whoever asked was killed
            return


def main() -> None:
    """One worker, as the command line says: run folder, folder of shards, its number, how many there are."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkpoints", type=Path)
    parser.add_argument("worker", type=int)
    parser.add_argument("workers", type=int)
    asked = parser.parse_args()
    try:
        _work(asked.folder, asked.checkpoints, asked.worker, asked.workers)
    except EdgecompError as error:
        sys.exit(f"{' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
