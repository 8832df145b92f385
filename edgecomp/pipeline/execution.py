"""A run executed: what is checked before it starts, which steps must run, and one after another of them."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from edgecomp.artifacts.rerun import Away, Step
from edgecomp.artifacts.run_folder import JOB, RunFolder
from edgecomp.config.job import Job
from edgecomp.config.parts.language import TASK as LANGUAGE
from edgecomp.config.target import check_cores
from edgecomp.errors import EdgecompError, RunFolderError, UsageError
from edgecomp.files.writing import write_json
from edgecomp.machine import gpus, has_bf16
from edgecomp.pipeline import loaders, several_teachers, trying
from edgecomp.pipeline.language import stages as language
from edgecomp.pipeline.practice import not_installed
from edgecomp.pipeline.stages import health, judging, learning
from edgecomp.progress import Note, at_once
from edgecomp.runtimes import TABLE
from edgecomp.runtimes.base import NO_GPU

SHOWN = 3  # files that are named


Started = Callable[[str, str], None]
"""Takes a step's name, and why it runs."""


def check_machine(job: Job, note: Note) -> None:
    """Raises UsageError where a target of the job asks for more cores than there are, the fused kernel cannot be compiled, there is no GPU
    to train in fp16 on, a tracker is not installed, or several processes were started; notes what else the machine lacks, a `note` each."""
    if (started := os.environ.get("WORLD_SIZE", "1")) != "1":
        raise UsageError(f"a run is one process, which measures alone, and {started} were started: leave out torchrun; a script of your own may "
                         "train in several (edgecomp.training.loop.train)")  # fmt: skip
    for loop in (job.recipe.teacher.loop, job.recipe.distill.loop):
        for name in not_installed(loop):
            raise UsageError(
                f"loop.trackers: {name} is not installed: pip install 'edgecomp[{name}]', or take it out"
            )
    if job.precision == "fp16" and not gpus():
        raise UsageError(
            "precision: fp16 is trained on a GPU, and there is none here: take fp32, bf16 or auto"
        )
    if job.recipe.quantize.kernel == "fused":
        from edgecomp.quantization import fused

        fused.load()
    for target in (*job.targets, *job.ungated_targets):
        check_cores(target)
    for lack in notes(job):
        note(lack)


def notes(job: Job) -> list[str]:
    """What a run of the job costs on this machine that it would not elsewhere, and what it cannot measure
    here, in words."""
    found = []
    if job.precision == "bf16" and not has_bf16():
        costs = "on a CPU without instructions for it a linear layer's step takes some five times fp32's"
        found.append(f"precision: bf16: {costs}; precision=auto takes fp32 here")
    for target in (*job.targets, *job.ungated_targets):
        if TABLE[target.runtime].gpu and not gpus():
            stand_in = TABLE[target.runtime].stand_in if target in job.targets else None
            answers = f"; its answers are executed on this CPU by {stand_in.called}" if stand_in else ""
            found.append(
                f"target {target.name}: {NO_GPU}; a verdict that asks for them is INCONCLUSIVE{answers}"
            )
    return found


def try_out(run: loaders.Run, folder: RunFolder, all_steps: list[Step]) -> None:
    """Raises what a run would before anything is trained: the data are read and the networks are built, in a
    folder that is deleted. folder: the run's, which tells what is outdated; all_steps: of the job, in order.

    Nothing is done where nothing would be trained.
    """
    training = [step for step in all_steps if step.stage in ("data", "teacher", "distill")]
    outdated = [step.name for step in training if folder.reason_to_run(step) is not None]
    with TemporaryDirectory(prefix="edgecomp-plan-") as scratch:
        if "data" in outdated and run.job.recipe.task == LANGUAGE:
            language.data(run, Path(scratch), Path(scratch))
        elif "data" in outdated:
            run = replace(run, folder=Path(scratch), asks=False)
            (run.folder / "data").mkdir()
            learning.data(run, run.folder / "data", run.folder)
        if outdated and run.job.recipe.task != LANGUAGE:
            several_teachers.try_others(run)
            health.check(run)
            trying.tried(run)


def plan(folder: RunFolder, all_steps: list[Step]) -> Iterator[tuple[Step, str]]:
    """Which of all_steps, in order, would run in `folder`, and why, without running any: one that waits for
    another may find nothing new."""
    running: list[str] = []
    for step in all_steps:
        reason = folder.reason_to_run(step)
        waiting = [name for name in step.inputs if name in running]
        if reason is not None or waiting:
            running.append(step.name)
            yield step, reason or f"if {', '.join(waiting)} comes out different"


def execute(job: Job, folder: RunFolder, all_steps: list[Step], started: Started) -> list[str]:
    """Runs what must run of all_steps, in order, and returns the names of the steps that did. Where the first
    cannot, nothing is left. job: whose steps they are; folder: the run's; started: told of each step and why
    it runs."""
    ran = []
    try:
        for is_away, some in groupby(all_steps, lambda step: step.away is not None):
            if is_away:
                asked = [
                    (step, reason) for step in some if (reason := folder.reason_to_run(step)) is not None
                ]
                ran += _away(job, folder, asked, started)
                continue
            for step in some:
                reason = folder.reason_to_run(step)
                if reason is not None:
                    started(step.name, f"{reason}{_kept(folder, step)}")
                    folder.run(step, job.recipe.name)
                    ran.append(step.name)
    except BaseException:
        folder.forget()
        raise
    folder.clear_checkpoints()  # of one that was killed when it had just been recorded
    return ran


def _away(job: Job, folder: RunFolder, asked: Sequence[tuple[Step, str]], started: Started) -> list[str]:
    """Runs steps that keep devices busy, those of different devices at the same time, and of one device in order; returns their names. asked: each with
    the reason that it runs for. What stops one leaves the others, whose steps are kept; it is raised at last."""
    ran: list[str] = []
    work: dict[str, list[Callable[[], None]]] = {}

    def run(step: Step, reason: str, away: Away) -> None:
        def make(scratch: Path, checkpoints: Path) -> None:
            step.make(scratch, checkpoints)
            away.stop.check()  # what was broken off is no result

        started(step.name, f"{reason}{_kept(folder, step)}")
        folder.run(replace(step, make=make), job.recipe.name)
        ran.append(step.name)

    stop = None
    for step, reason in asked:
        assert step.away is not None
        work.setdefault(step.away.host, []).append(partial(run, step, reason, step.away))
        stop = step.away.stop
    if stop is None:
        return ran
    raised = at_once(work, stop)
    for error in raised:
        if not isinstance(error, EdgecompError):
            raise error
    if raised:
        raised[0].args = ("\n".join(map(str, raised)),)
        raise raised[0]
    return ran


def _kept(folder: RunFolder, step: Step) -> str:
    """What is in a step's folder that no manifest lists, and stays there."""
    found = folder.not_its_own(step.name)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    told = "; kept, for the manifest does not list it (as NAME.kept, where it is in the way): "
    return f"{told}{', '.join(found[:SHOWN])}{more}" if found else ""


def execute_stage(job: Job, folder: RunFolder, all_steps: list[Step], only: str, started: Started) -> None:
    """Runs one step, or those of one stage, whether or not they must, and with the gate the report, which
    says its verdict. job: whose steps they are; folder: the run's; all_steps: in order; only: the step's
    name, or the stage's; started: told of each step. Raises RunFolderError where what they read is not what
    was asked for; another machine may have made it. AlteredError, of a verdict, where what it rests on is not
    what was written."""
    together = {only, "report"} if only == "gate" else {only}
    chosen = [step for step in all_steps if together & {step.stage, step.name}]
    own = {step.name for step in chosen}
    needed = {name for step in chosen for name in step.inputs} - own
    if only in ("gate", "report"):
        judging.check_evidence(folder, sorted(needed))
    for step in all_steps:
        if step.name in needed and (reason := folder.reason_to_run(step, here=False)) is not None:
            raise RunFolderError(f"{folder.path}: {only} needs {step.name} ({reason}): "
                                 f"`edgecomp run` makes it, and all that must come before")  # fmt: skip
    for is_away, some in groupby(chosen, lambda step: step.away is not None):
        if is_away:
            _away(job, folder, [(step, "asked for") for step in some], started)
            continue
        for step in some:
            started(step.name, f"asked for{_kept(folder, step)}")
            folder.run(step, job.recipe.name)
    folder.clear_checkpoints()


def save_job(job: Job, folder: RunFolder) -> None:
    """Keeps the job beside its results, in `folder`, with everything it named, for stages run alone and for a
    reviewer. Raises RunFolderError."""
    try:
        write_json(folder.path / JOB, job.model_dump(mode="json"))
    except OSError as error:
        raise RunFolderError(f"{folder.path / JOB} cannot be written: {error.strerror or error}") from error
