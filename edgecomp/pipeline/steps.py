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
from typing import Any

from edgecomp import arms
from edgecomp.artifacts.run_folder import Step
from edgecomp.config.job import Job, is_for_cpus
from edgecomp.config.target import Target
from edgecomp.pipeline import loaders, stages
from edgecomp.pipeline.cache_keys import Keys, own_files, profile
from edgecomp.runtimes import PYTORCH_FILES, TABLE

ELSEWHERE = {"emulated_examples", "portable_examples", "emulation_timeout_s"}  # what is asked of other CPUs
DISTILLATION_DATA = ("data", "teacher", "soft_labels")

Make = Callable[[loaders.Run, Path, Path], None]


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
