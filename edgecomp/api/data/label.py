"""`edgecomp data label`: a teacher's soft labels in shards, by several processes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from edgecomp.api.run import prepared
from edgecomp.data.label_store import STORE, ShardedLabels
from edgecomp.errors import UsageError
from edgecomp.pipeline import execution
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages.cluster import on
from edgecomp.pipeline.stages.labelling import in_shards
from edgecomp.progress import Listener, Silent

MOST_WORKERS = 256


@dataclass(frozen=True)
class LabelResult:
    """folder: the run's, which `edgecomp run` goes on with; store: the shards; rows: of the training split; views: of it; made: the steps that were run."""

    folder: Path
    store: Path
    rows: int
    views: int
    made: Sequence[str]


def label(
    recipe: str | Path,
    overrides: Sequence[str] = (),
    *,
    workers: int = 1,
    top: int = 0,
    ray: str | None = None,
    out: Path | str | None = None,
    quick: bool = False,
    listener: Listener | None = None,
) -> LabelResult:
    """Makes the data and the teacher of a recipe where they are not there, and its soft labels in shards; `edgecomp run` goes on from them.

    recipe, overrides, out, quick: as `run` takes them. workers: processes, each with one thread; their number changes no byte. top: how many logits of an
    example are kept, with the mass of the rest, where classes are many; 0: all. ray: the address of a Ray cluster whose machines make the shards, in place of
    `workers`. listener: told of progress. Raises EdgecompError.
    """
    heard = listener or Silent()
    if not 1 <= workers <= MOST_WORKERS:
        raise UsageError(f"--workers {workers}: from 1 to {MOST_WORKERS} processes")
    if top < 0:
        raise UsageError(f"--top {top}: a number of logits, or 0 for all")
    if ray is not None and workers != 1:
        raise UsageError(
            f"--workers {workers} are of this machine, and --ray {ray} gives a shard to every core of a cluster: leave out one or the other"
        )
    job, folder, every = prepared(recipe, overrides, out, quick, heard)
    if job.recipe.teachers is not None:
        raise UsageError(
            "teachers: the mixture of several is stored by `edgecomp run`, as one file: leave `teachers` out to label with the teacher alone"
        )
    run = Run(job, folder.path, heard.track, heard.note)
    before = [step for step in every if step.name in ("data", "teacher")]
    labels = next(step for step in every if step.name == "soft_labels")
    with on(ray) as cluster, folder.locked():
        wanted = replace(labels, make=partial(in_shards, run, workers=workers, top=top, cluster=cluster))
        execution.save_job(job, folder)
        made = execution.execute(job, folder, [*before, wanted], heard.started)
        store = folder.path / labels.name
        # `edgecomp run` goes on from any store, so that how it is stored is not in the step's key: it is looked for here.
        other = None if labels.name in made else _differs(store, top)
        if other is not None:
            heard.started(labels.name, other)
            folder.run(wanted, job.recipe.name)
            made = [*made, labels.name]
    found = ShardedLabels(store)
    return LabelResult(folder.path, store, found.layout.rows, found.views, made)


def _differs(store: Path, top: int) -> str | None:
    """How the soft labels that are there are stored otherwise than in shards of `top` logits, in words; None where they are not."""
    if not (store / STORE).is_file():
        return "as shards"
    kept = ShardedLabels(store).layout.top
    return None if kept == top else f"{top or 'all'} logits of an example, and not {kept or 'all'}"
