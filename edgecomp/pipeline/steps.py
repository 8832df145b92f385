"""The main job, stage by stage. Read this first.

    recipe → data → teacher → soft labels → distill → (speed) → quantise, precision → export, (pytorch) → parity, deploy
           → bench, emulation → gate → report

Each step reads artifacts and writes new ones. Only this file knows their order and what each reads; which settings and
libraries change what they make, `step_keys.py` spells out.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgecomp import arms
from edgecomp.artifacts.run_folder import JOB, RunFolder, Step
from edgecomp.config.job import Job, is_for_cpus
from edgecomp.config.target import Target, check_cores
from edgecomp.errors import RunFolderError
from edgecomp.files.writing import write_json
from edgecomp.machine import gpus, has_bf16
from edgecomp.pipeline import loaders, stages
from edgecomp.pipeline.cache_keys import Keys, own_files, profile
from edgecomp.progress import Note
from edgecomp.runtimes import PYTORCH_FILES, TABLE
from edgecomp.runtimes.base import NO_GPU

ELSEWHERE = {"emulated_examples", "portable_examples", "emulation_timeout_s"}  # what is asked of other CPUs
SHOWN = 3  # files that are named
DISTILLATION_DATA = ("data", "teacher", "soft_labels")

Make = Callable[[loaders.Run, Path, Path], None]
Started = Callable[[Step, str], None]


def steps(run: loaders.Run) -> list[Step]:
    """Every step of a job, in order."""
    keys = Keys(run)
    return [*_training(run, keys), *_exporting(run, keys), *_measuring(run), *_judging(run, keys)]


def _training(run: loaders.Run, keys: Keys) -> Iterator[Step]:
    """From data to the student that is quantised while it learns, and the one that learns as long without."""
    quantize = run.job.recipe.quantize
    trains: dict[str, Any] = {
        "libraries": keys.training_libraries,
        "executes": True,
        "threads": loaders.training_threads(run),
    }
    taught = [keys.training, keys.teacher]
    learnt = [keys.training, keys.student, keys.distill]
    quantised = [keys.training, keys.quantised, keys.distill, keys.quantize]

    def training(name: str, stage: str, make: Make, settings: object, *inputs: str) -> Step:
        return Step(name, stage, partial(make, run), settings, inputs, **trains)

    yield Step(
        "data",
        "data",
        partial(stages.data, run),
        [keys.seeded, run.job.data_files, own_files(run.job, "tokenizer")],
        libraries=("numpy", "scikit-learn", "pillow", "pyarrow", *keys.tokenizer_libraries),
    )
    yield training("teacher", "teacher", stages.teacher, taught, "data")
    soft_labels = training("soft_labels", "teacher", stages.soft_labels, taught, "data", "teacher")
    yield replace(soft_labels, libraries=(*keys.training_libraries, "h5py"))
    yield training("distill", "distill", stages.distill, learnt, *DISTILLATION_DATA)
    if quantize.trains:
        by_speed = _by_speed(run.job)
        if by_speed:
            where = [*quantised, *(profile(run.job, target) for target in run.job.targets)]
            timed = training("speed", "distill", stages.speed, where, *DISTILLATION_DATA, "distill")
            yield replace(timed, libraries=keys.export_libraries)
        yield training(
            "quantize", "distill", stages.quantize, quantised, *DISTILLATION_DATA, "distill", *by_speed
        )
        chosen = [*quantised, quantize.max_drop]
        yield training(
            "precision",
            "distill",
            stages.precision,
            chosen,
            *DISTILLATION_DATA,
            "distill",
            *by_speed,
            "quantize",
        )
    if arms.CONTROL in arms.trained(quantize):
        as_long = [*learnt, keys.quantize]
        yield training("control", "distill", stages.control, as_long, *DISTILLATION_DATA, "distill")


def _exporting(run: loaders.Run, keys: Keys) -> Iterator[Step]:
    """From networks to the files that a device is sent, held against what they are made of."""
    job, recipe = run.job, run.job.recipe
    computes: dict[str, Any] = {
        "libraries": keys.export_libraries,
        "executes": True,
        "threads": loaders.training_threads(run),
    }
    of_all = [keys.seeded, keys.teacher, keys.quantised, keys.quantize, recipe.quantize.baselines]
    trained = (*DISTILLATION_DATA, *_students(job))
    yield Step("export", "export", partial(stages.export, run), of_all, trained, **computes)
    if any(map(_pytorch, (*job.targets, *job.ungated_targets))):
        yield Step("pytorch", "export", partial(stages.pytorch, run), of_all, trained, **computes)
    for target in job.targets if _chooses_ptq(job) else ():
        yield Step(
            f"ptq/{target.name}",
            "export",
            partial(stages.best_ptq, run, target=target),
            [keys.seeded, keys.quantised, recipe.distill.batch_size, keys.quantize, profile(job, target)],
            ("data", "soft_labels", "distill"),
            **computes,
        )
    for target in job.targets:
        yield Step(
            f"parity/{target.name}",
            "export",
            partial(stages.parity, run, target=target),
            [profile(job, target), recipe.quantize.baselines],
            ("data", "export", *_pytorch(target), *_quantised(job), *_best_ptq(job, target)),
            libraries=(TABLE[target.runtime].distribution,),
            executes=True,
        )
    for target in job.targets:
        yield Step(
            f"deploy/{target.name}",
            "export",
            partial(stages.deploy, run, target=target),
            profile(job, target),
            ("data", "export", *_pytorch(target)),
            libraries=(TABLE[target.runtime].distribution,),
        )


def _measuring(run: loaders.Run) -> Iterator[Step]:
    """Each target's runtime on this machine, and another machine's CPU under emulation."""
    job, bench = run.job, run.job.recipe.bench
    for target in (*job.targets, *job.ungated_targets):
        gated = (f"parity/{target.name}", f"deploy/{target.name}") if target in job.targets else ()
        yield Step(
            f"bench/{target.name}",
            "bench",
            partial(stages.bench, run, target=target),
            [bench.model_dump(exclude=ELSEWHERE), profile(job, target)],
            ("data", "export", *_pytorch(target), *_quantised(job), *_best_ptq(job, target), *gated),
            libraries=("numpy", TABLE[target.runtime].distribution),
            executes=True,
        )
    for target in _for_cpus(job):
        yield Step(
            f"portable/{target.name}",
            "bench",
            partial(stages.portable, run, target=target),
            [bench.portable_examples, profile(job, target)],
            ("data", "export", *_pytorch(target), f"deploy/{target.name}"),
            libraries=("numpy", TABLE[target.runtime].distribution),
            executes=True,
            means=stages.executed_as(target),
        )
    for target in _emulated(job):
        yield Step(
            f"emulation/{target.name}",
            "bench",
            partial(stages.emulation, run, target=target),
            [bench.emulated_examples, profile(job, target)],
            ("data", "export", *_pytorch(target), f"deploy/{target.name}"),
            libraries=(TABLE[target.runtime].distribution,),
            means=stages.executed_as(target),
        )


def _judging(run: loaders.Run, keys: Keys) -> Iterator[Step]:
    """The verdict, and what is said of it."""
    job = run.job
    benches = tuple(f"bench/{target.name}" for target in (*job.targets, *job.ungated_targets))
    others = tuple(f"portable/{target.name}" for target in _for_cpus(job))
    yield Step(
        "gate",
        "gate",
        partial(stages.gate, run),
        [keys.rows, job.policy.model_dump(mode="json"), keys.expired_waivers],
        (
            *benches,
            *others,
            *(f"emulation/{target.name}" for target in _emulated(job)),
            *(f"parity/{target.name}" for target in job.targets),
        ),
        libraries=("numpy", "scipy"),
    )
    deploys = (f"deploy/{target.name}" for target in job.targets)
    yield Step(
        "report",
        "report",
        partial(stages.report, run),
        [job.recipe.model_dump(), keys.rows, job.data_files],
        (
            "teacher",
            *_students(job),
            "export",
            *deploys,
            *benches,
            *others,
            "gate",
        ),
        libraries=("matplotlib", "jinja2"),
    )


def _by_speed(job: Job) -> tuple[str, ...]:
    return ("speed",) if job.recipe.quantize.precision_by == "speed" else ()


def _quantised(job: Job) -> tuple[str, ...]:
    return arms.STUDENT_INT8.steps if job.recipe.quantize.trains else ()


def _students(job: Job) -> tuple[str, ...]:
    """The steps that train a student."""
    trained = (arm for arm in arms.trained(job.recipe.quantize) if arm is not arms.TEACHER)
    return tuple(step for arm in trained for step in arm.steps)


def _chooses_ptq(job: Job) -> bool:
    return arms.PTQ_BEST in arms.baselines(job.recipe.quantize)


def _best_ptq(job: Job, target: Target) -> tuple[str, ...]:
    return (f"ptq/{target.name}",) if _chooses_ptq(job) and target in job.targets else ()


def _pytorch(target: Target) -> tuple[str, ...]:
    return ("pytorch",) if Path(TABLE[target.runtime].model_file).suffix in PYTORCH_FILES else ()


def _emulated(job: Job) -> list[Target]:
    return [target for target in job.targets if target.isa != "host"]


def _for_cpus(job: Job) -> list[Target]:
    return [target for target in job.targets if is_for_cpus(job, target)]


def check_machine(job: Job, note: Note) -> None:
    """Raises UsageError where a target asks for more cores than there are, or the fused kernel cannot be compiled; notes what else the
    machine lacks."""
    if job.recipe.quantize.kernel == "fused":
        from edgecomp.quantize import fused

        fused.load()
    for target in (*job.targets, *job.ungated_targets):
        check_cores(target)
    for lack in notes(job):
        note(lack)


def notes(job: Job) -> list[str]:
    """What a run costs on this machine that it would not elsewhere, and what it cannot measure here."""
    found = []
    if job.precision != "fp32" and not has_bf16():
        costs = "on a CPU without instructions for it a linear layer's step takes some five times fp32's"
        found.append(f"precision: bf16: {costs}; precision=auto takes fp32 here")
    for target in (*job.targets, *job.ungated_targets):
        if TABLE[target.runtime].gpu and not gpus():
            found.append(f"target {target.name}: {NO_GPU}; a verdict that asks for them is INCONCLUSIVE")
    return found


def try_out(run: loaders.Run, folder: RunFolder, all_steps: list[Step]) -> None:
    """Raises what a run would before anything is trained: the data are read and the networks are built, in a folder that is deleted.

    Nothing is done where nothing would be trained.
    """
    learning = [step for step in all_steps if step.stage in ("data", "teacher", "distill")]
    outdated = [step.name for step in learning if folder.reason_to_run(step) is not None]
    with TemporaryDirectory(prefix="edgecomp-plan-") as scratch:
        if "data" in outdated:
            run = replace(run, folder=Path(scratch))
            (run.folder / "data").mkdir()
            stages.data(run, run.folder / "data", run.folder)
        if outdated:
            loaders.tried(run)


def plan(folder: RunFolder, all_steps: list[Step]) -> Iterator[tuple[Step, str]]:
    """Which steps would run, and why, without running any: one that waits for another may find nothing new."""
    running: list[str] = []
    for step in all_steps:
        reason = folder.reason_to_run(step)
        waiting = [name for name in step.inputs if name in running]
        if reason is not None or waiting:
            running.append(step.name)
            yield step, reason or f"if {', '.join(waiting)} comes out different"


def execute(job: Job, folder: RunFolder, all_steps: list[Step], started: Started) -> list[str]:
    """Runs what must run, in order, and returns the names of the steps that did. Where the first cannot, nothing is left."""
    ran = []
    try:
        for step in all_steps:
            reason = folder.reason_to_run(step)
            if reason is not None:
                started(step, f"{reason}{_kept(folder, step)}")
                folder.run(step, job.recipe.name)
                ran.append(step.name)
    except BaseException:
        folder.forget()
        raise
    folder.clear_checkpoints()  # of one that was killed when it had just been recorded
    return ran


def _kept(folder: RunFolder, step: Step) -> str:
    """What is in a step's folder that no manifest lists, and stays there."""
    found = folder.not_its_own(step.name)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    told = "; kept, for the manifest does not list it (as NAME.kept, where it is in the way): "
    return f"{told}{', '.join(found[:SHOWN])}{more}" if found else ""


def execute_stage(job: Job, folder: RunFolder, all_steps: list[Step], stage: str, started: Started) -> None:
    """Runs the steps of one stage, whether or not they must, and with the gate the report, which says its verdict. Raises
    RunFolderError where what they read is not what was asked for; another machine may have made it. AlteredError, of a verdict, where
    what it rests on is not what was written."""
    together = ("gate", "report") if stage == "gate" else (stage,)
    chosen = [step for step in all_steps if step.stage in together]
    own = {step.name for step in chosen}
    needed = {name for step in chosen for name in step.inputs} - own
    if stage in ("gate", "report"):
        stages.check_evidence(folder, sorted(needed))
    for step in all_steps:
        if step.name in needed and (reason := folder.reason_to_run(step, here=False)) is not None:
            raise RunFolderError(f"{folder.path}: {stage} needs {step.name} ({reason}): "
                                 f"`edgecomp run` makes it, and all that must come before")  # fmt: skip
    for step in chosen:
        started(step, f"asked for{_kept(folder, step)}")
        folder.run(step, job.recipe.name)


def save_job(job: Job, folder: RunFolder) -> None:
    """Keeps the request beside its results, with everything it named, for stages run alone and for a reviewer. Raises RunFolderError."""
    try:
        write_json(folder.path / JOB, job.model_dump(mode="json"))
    except OSError as error:
        raise RunFolderError(f"{folder.path / JOB} cannot be written: {error.strerror or error}") from error
