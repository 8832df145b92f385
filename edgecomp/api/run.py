"""`edgecomp run`: a recipe from data to verdict, or some steps of a run folder again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecomp.api.results import RunResult
from edgecomp.artifacts.rerun import Step
from edgecomp.artifacts.run_folder import RunFolder
from edgecomp.config.job import Job, load_job, on_this_machine, read_job
from edgecomp.errors import UsageError, nearest
from edgecomp.history.record import of_run, releases, remember
from edgecomp.history.store import STORE
from edgecomp.pipeline import execution, steps
from edgecomp.pipeline.fingerprints import fingerprinted
from edgecomp.pipeline.loaders import Run
from edgecomp.pipeline.stages import judging
from edgecomp.progress import Listener, Silent
from edgecomp.report.page.releases import Release

JUDGED_TOGETHER = ("gate", "report")  # a report says a verdict: it is written again with it


@dataclass(frozen=True)
class Planned:
    """What a run would do: by step, why it must run. steps: how many there are in all."""

    folder: Path
    reasons: dict[str, str]
    steps: int


def run(
    recipe: str | Path,
    overrides: Sequence[str] = (),
    *,
    out: Path | str | None = None,
    quick: bool = False,
    only: str | None = None,
    until: str | None = None,
    history: Path | str | None = STORE,
    listener: Listener | None = None,
) -> RunResult:
    """Runs a recipe from data to verdict; steps that are up to date are not run again.

    recipe: a shipped recipe's name, a YAML file, or a run folder, whose own recipe is run again. overrides: `KEY=VALUE`, in Hydra's
    grammar. out: the run folder, `runs/NAME` where it is not given. quick: a rehearsal. only: one step of a run folder (`distill`,
    `bench/openvino-cpu`), or all those of a stage (`bench`), made again whether or not it must be. until: the last step, or
    stage, that is made where it must be; nothing is judged then, and a run goes on from there. history: the file that results are
    appended to, and that a report shows earlier ones of, None for none. listener: told of progress.

    Raises EdgecompError: RecipeError and UsageError before anything is done, AlteredError where a verdict does not follow from its samples.
    """
    listener = listener or Silent()
    if only is not None:
        if until is not None:
            raise UsageError(
                f"until={until} goes up to a step, and only={only} makes one: leave out one or the other"
            )
        return _again(Path(recipe), only, overrides, out, history, listener)
    job, folder, every = prepared(recipe, overrides, out, quick, listener, history)
    with folder.locked():
        execution.save_job(job, folder)
        ran = execution.execute(
            job, folder, every if until is None else _up_to(every, until), listener.started
        )
        if until is not None:
            listener.say(f"Up to date until {until}; `edgecomp run` goes on in {folder.path}.")
            return RunResult(folder.path, None, job, made=ran)
        if not ran:
            listener.say(f"nothing to do: all {len(every)} steps are up to date")
        result = judged(job, folder, listener)
    if history is not None and ran:
        for one in of_run(result.document, folder.path, job.recipe.name):
            remember(one, Path(history), listener.note)
    return result


def plan(
    recipe: str | Path,
    overrides: Sequence[str] = (),
    *,
    out: Path | str | None = None,
    quick: bool = False,
    listener: Listener | None = None,
) -> Planned:
    """What `run` would do, and why; the data are read and the networks built, and nothing is written.

    recipe, overrides, out, quick, listener: as `run` takes them.
    """
    listener = listener or Silent()
    job, folder, every = prepared(recipe, overrides, out, quick, listener)
    execution.try_out(Run(job, folder.path, listener.track, listener.note), folder, every)
    reasons = {step.name: reason for step, reason in execution.plan(folder, every)}
    return Planned(folder.path, reasons, len(every))


def load(folder: Path | str, *, listener: Listener | None = None) -> RunResult:
    """The result of a run folder: its verdict is derived again from its raw samples. listener: told of notes,
    None for nobody. Raises RunFolderError, AlteredError."""
    place = RunFolder(Path(folder))
    job = read_job(place.path)
    return judged(job, place, listener or Silent())


def judged(job: Job, folder: RunFolder, listener: Listener) -> RunResult:
    """The verdict of a run folder, derived again from its raw samples. job: what the run was asked for;
    listener: told of what was damaged and what the data show. Raises AlteredError where another one stands in
    the folder."""
    from edgecomp.report.evidence import of_data

    asked = Run(job, folder.path, listener.track)
    judging.check_labels(asked)
    verdict, note = judging.checked(asked)
    damages = [f"damaged, and made again: {damage}" for damage in folder.notes]
    splits = of_data(folder.path)
    data = [f"data: {said}" for said in splits.notes] if splits else []
    for sentence in (*damages, *filter(None, [note]), *data):
        listener.note(sentence)
    return RunResult(folder.path, verdict, job, data_notes=splits.notes if splits else [])


def job_of(recipe: str | Path, overrides: Sequence[str]) -> Job:
    """What a `recipe`, with its `overrides`, asks for on this machine. Raises RecipeError, UsageError."""
    return on_this_machine(load_job(str(recipe), list(overrides)))


def prepared(
    recipe: str | Path,
    overrides: Sequence[str],
    out: Path | str | None,
    quick: bool,
    listener: Listener,
    history: Path | str | None = None,
) -> tuple[Job, RunFolder, list[Step]]:
    """The job, checked, the folder that may hold it, and its steps. recipe, overrides, out, quick, listener, history: as `run` takes
    them."""
    if Path(recipe).is_dir():
        if overrides or quick or out is not None:
            raise UsageError(f"{recipe} is a run folder, and is run again as it was asked for: for other settings name its recipe, "
                             "with overrides")  # fmt: skip
        job, place = on_this_machine(read_job(Path(recipe))), Path(recipe)
    else:
        job = job_of(recipe, [*overrides, *(["quick=true"] if quick else [])])
        place = (
            Path(out) if out is not None else Path("runs") / (job.recipe.name + "-quick" * job.recipe.quick)
        )
    execution.check_machine(job, listener.note)
    job, folder = fingerprinted(job), RunFolder(place)
    folder.admit(job.recipe.name)
    return job, folder, steps.steps(_run(job, place, history, listener))


def _run(job: Job, place: Path, history: Path | str | None, listener: Listener) -> Run:
    """What the steps of a run are made of; earlier results are read where a report is written."""

    def past() -> list[Release]:
        return [] if history is None else releases(Path(history), job.recipe.name)

    return Run(job, place, listener.track, listener.note, past=past)


def _up_to(every: Sequence[Step], until: str) -> list[Step]:
    """The steps of `every`, in order, up to the last one that `until` names, or that is of that stage. Raises UsageError."""
    known = list(dict.fromkeys(name for step in every for name in (step.stage, step.name)))
    if until not in known:
        raise UsageError(
            f"no such step: {until!r}{nearest(until, known)}; there is {', '.join(step.name for step in every)}"
        )
    last = max(place for place, step in enumerate(every) if until in (step.stage, step.name))
    return list(every[: last + 1])


def step_names(
    recipe: str | Path, overrides: Sequence[str] = (), *, out: Path | str | None = None, quick: bool = False
) -> tuple[Path, list[str]]:
    """The run folder, and the steps of a run in order. recipe, overrides, out, quick: as `run` takes them."""
    _, folder, every = prepared(recipe, overrides, out, quick, Silent())
    return folder.path, [step.name for step in every]


def _again(
    path: Path,
    only: str,
    overrides: Sequence[str],
    out: Path | str | None,
    history: Path | str | None,
    listener: Listener,
) -> RunResult:
    """One step or stage of a run folder, made again."""
    if overrides or out is not None:
        raise UsageError(f"only={only} makes a step of the run folder {path} again, as it was asked for: leave out "
                         f"{'the overrides' if overrides else 'out'}")  # fmt: skip
    job, folder = read_job(path), RunFolder(path)
    folder.admit(job.recipe.name)
    every = steps.steps(_run(job, path, history, listener))
    known = dict.fromkeys(name for step in every for name in (step.stage, step.name))
    if only not in known:
        raise UsageError(
            f"no such step: {only!r}{nearest(only, known)}; {path} has {', '.join(step.name for step in every)}"
        )
    with folder.locked():
        execution.execute_stage(job, folder, every, only, listener.started)
        if only in JUDGED_TOGETHER:
            return judged(job, folder, listener)
    made = [step.name for step in every if only in (step.stage, step.name)]
    listener.say(f"Done. `edgecomp run` or the next step continues in {path}.")
    return RunResult(path, None, job, made=made)
