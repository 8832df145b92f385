"""The main job, step by step. Read this first.

    recipe → data → teacher, (teachers) → soft labels → (old) → distill → (speed) → quantise, precision → export, (pytorch) → parity, deploy
           → bench, portable, emulation, (attacks), (health) → gate → report

Each step reads artifacts and writes new ones. Only this file (of a language model `language/steps.py`) knows their order and what each reads; which settings and
libraries several of them share in their keys, `shared_settings.py` spells out. A step that trains a student is named in its arm
(`edgecomp/arms.py`), so that exports and reports depend on it; its work is a function of `stages/`.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from edgecomp import arms
from edgecomp.artifacts.rerun import Away, Step
from edgecomp.config.job import Job, is_for_cpus
from edgecomp.config.parts.language import TASK as LANGUAGE
from edgecomp.config.target import Target
from edgecomp.machine import installed
from edgecomp.pipeline import loaders, several_teachers, shared_settings
from edgecomp.pipeline.language import steps as language
from edgecomp.pipeline.shared_settings import Keys, own_files, profile
from edgecomp.pipeline.stages import exporting, handing_on, health, judging, learning, measuring
from edgecomp.pipeline.taken import api_teachers
from edgecomp.runtimes import TABLE
from edgecomp.runtimes.formats import PYTORCH, is_pytorch

DISTILLATION_DATA = ("data", "teacher", "soft_labels")

Make = Callable[[loaders.Run, Path, Path], None]


def steps(run: loaders.Run) -> list[Step]:
    """Every step of a job, `run`, in order. What depends on a quantisation scheme is made for each that the
    targets need."""
    if run.job.recipe.task == LANGUAGE:
        return language.steps(run)
    keys = Keys(run)
    editions = [(one, Keys(one)) for one in map(run.of, run.job.schemes)]
    return [
        *_training(run, keys),
        *(step for of_scheme in editions for step in _quantising(*of_scheme)),
        *_control(run, keys),
        *(step for of_scheme in editions for step in _exporting(*of_scheme)),
        *_for_each_target(run),
        *_measuring(run),
        *_health(run, editions),
        *_judging(run, keys),
    ]


def _training(run: loaders.Run, keys: Keys) -> Iterator[Step]:
    """From data to the fp32 student."""
    taught = [keys.training, keys.teacher]
    yield Step(
        "data",
        "data",
        partial(learning.data, run),
        [keys.seeded, run.job.data_files, own_files(run.job, "tokenizer"), *keys.cleaned],
        libraries=(
            "numpy",
            "scikit-learn",
            "pillow",
            "pyarrow",
            *keys.tokenizer_libraries,
            *keys.cleaning_libraries,
        ),
    )
    yield _trains(run, keys, "teacher", "teacher", learning.teacher, taught, "data")
    others = several_teachers.networks(run.job.recipe)
    for name, wanted in others.items():
        make = partial(learning.another_teacher, name=name)
        told = [keys.training, wanted.model_dump(), own_files(run.job, "teachers")]
        yield _trains(run, keys, api_teachers.step_of(name), "teacher", make, told, "data")
    asked = api_teachers.of(run.job.recipe)
    for name, api in asked.items():
        make = partial(learning.asked_teacher, name=name)
        own = [own_files(run.job, "teachers")] if api.function is not None else []
        told = [keys.seeded, api_teachers.decides(api), *keys.cleaned, *own]
        yield Step(api_teachers.step_of(name), "teacher", partial(make, run), told, ("data",), ("jinja2",))
    from_all = ("data", "teacher", *map(api_teachers.step_of, (*others, *asked)))
    soft_labels = _trains(run, keys, "soft_labels", "teacher", learning.soft_labels, keys.taught, *from_all)
    yield replace(soft_labels, libraries=(*keys.training_libraries, "h5py"))
    learnt = [keys.training, keys.student, keys.distill]
    if run.job.recipe.distill.lifelong is not None:
        yield _trains(run, keys, loaders.OLD, "distill", learning.old, learnt, *DISTILLATION_DATA)
    yield _trains(run, keys, "distill", "distill", learning.distill, learnt, *_learnt_from(run))


def _quantising(run: loaders.Run, keys: Keys) -> Iterator[Step]:
    """The student that is quantised while it learns, through one scheme; or, after training, which of its layers stay in float."""
    quantize = run.job.recipe.quantize
    quantised = [keys.training, keys.quantised, keys.distill, keys.quantize]
    chosen = [*quantised, quantize.max_drop]
    learns_from, name = (*_learnt_from(run), "distill"), run.named("precision")
    if quantize.drops_layers:
        yield _trains(run, keys, name, "distill", learning.precision, chosen, *learns_from)
    if not quantize.trains:
        return
    by_speed = (run.named("speed"),) if quantize.precision_by == "speed" else ()
    if by_speed:
        where = [
            *quantised,
            *(profile(run.job, target) for target in run.job.targets if target.scheme == run.scheme),
        ]
        timed = _trains(run, keys, *by_speed, "distill", measuring.speed, where, *learns_from)
        yield replace(timed, libraries=keys.export_libraries)
    name = run.named("quantize")
    yield _trains(run, keys, name, "distill", learning.quantize, quantised, *learns_from, *by_speed)
    yield _trains(
        run,
        keys,
        run.named("precision"),
        "distill",
        learning.precision,
        chosen,
        *learns_from,
        *by_speed,
        name,
    )


def _control(run: loaders.Run, keys: Keys) -> Iterator[Step]:
    """The fp32 student that learns as long without quantisation."""
    if arms.CONTROL in arms.trained(run.job.recipe.quantize):
        as_long = [keys.training, keys.student, keys.distill, keys.quantize]
        yield _trains(
            run, keys, "control", "distill", learning.control, as_long, *_learnt_from(run), "distill"
        )


def _trains(
    run: loaders.Run, keys: Keys, name: str, stage: str, make: Make, settings: object, *inputs: str
) -> Step:
    return Step(
        name,
        stage,
        partial(make, run),
        settings,
        inputs,
        libraries=keys.training_libraries,
        executes=True,
        threads=loaders.training_threads(run),
        means=shared_settings.trained_on(),
    )


def _exporting(run: loaders.Run, keys: Keys) -> Iterator[Step]:
    """From networks to files: those in float and those of the first scheme, then those of each other scheme."""
    job = run.job
    computes: dict[str, Any] = {
        "libraries": keys.export_libraries,
        "executes": True,
        "threads": loaders.training_threads(run),
    }
    first = run.scheme == job.schemes[0]
    of_all = [keys.seeded, keys.teacher, keys.quantised, keys.quantize, job.recipe.quantize.baselines]
    trained = (*_learnt_from(run), *(_students(run) if first else ("distill", *_quantised(run), "export")))
    yield Step(run.named("export"), "export", partial(exporting.export, run), of_all, trained, **computes)
    sent = [one for one in (*job.targets, *job.ungated_targets) if first or one.scheme == run.scheme]
    if any(is_pytorch(target.runtime) for target in sent):
        yield Step(run.named(PYTORCH), "export", partial(exporting.pytorch, run), of_all, trained, **computes)
    candidates = [keys.seeded, keys.quantised, job.recipe.distill.batch_size, keys.post_training]
    versions = {name: installed(name) for name in keys.export_libraries}
    in_float = _quantised(run) if job.recipe.quantize.drops_layers else ()
    for target in _chooses_ptq(job):
        if target.scheme == run.scheme:
            yield Step(
                f"ptq/{target.name}",
                "export",
                partial(exporting.best_ptq, run, target=target, candidates=[candidates, versions]),
                [*candidates, profile(job, target)],
                ("data", "soft_labels", "distill", *in_float),
                **computes,
            )
    for target in job.targets:
        if target.scheme == run.scheme and job.recipe.quantize.of(target.scheme, target.runtime).picks:
            yield Step(
                f"best/{target.name}",
                "export",
                partial(exporting.best, run, target=target),
                profile(job, target),
                ("data", "soft_labels", f"ptq/{target.name}", *_quantised(run), *_files(run, target)),
                **computes,
            )
    for target in job.targets:
        asked = job.recipe.quantize.of(target.scheme, target.runtime).cascade
        if target.scheme == run.scheme and asked is not None:
            yield Step(
                f"cascade/{target.name}",
                "export",
                partial(handing_on.cascade, run, target=target),
                [keys.seeded, asked.model_dump(), profile(job, target)],
                ("data", "teacher", *_quantised(run), *_files(run, target)),
                **computes,
            )


def _for_each_target(run: loaders.Run) -> Iterator[Step]:
    """Files held against what they are made of, and what a device is sent."""
    job = run.job
    for target in job.targets:
        own = run.of(target.scheme)
        yield Step(
            f"parity/{target.name}",
            "export",
            partial(exporting.parity, own, target=target),
            [profile(job, target), job.recipe.quantize.baselines],
            ("data", *_files(own, target), *_quantised(own, target), *_per_target(job, target)),
            libraries=(TABLE[target.runtime].distribution,),
            executes=True,
        )
    for target in job.targets:
        own = run.of(target.scheme)
        yield Step(
            f"deploy/{target.name}",
            "export",
            partial(exporting.deploy, own, target=target),
            profile(job, target),
            ("data", *_files(own, target), *_per_target(job, target)),
            libraries=(TABLE[target.runtime].distribution,),
        )


def _measuring(run: loaders.Run) -> Iterator[Step]:
    """Each target's runtime on its device, all devices at once, then on this machine, and another machine's CPU under emulation."""
    job, bench = run.job, run.job.recipe.bench
    for target in sorted((*job.targets, *job.ungated_targets), key=lambda target: target.host is None):
        gated = (f"parity/{target.name}", f"deploy/{target.name}") if target in job.targets else ()
        own = run.of(target.scheme) if gated else run
        yield Step(
            f"bench/{target.name}",
            "bench",
            partial(measuring.bench, own, target=target),
            [shared_settings.bench(job), profile(job, target)],
            (
                "data",
                *_files(own, target),
                *_quantised(own, target),
                *_per_target(job, target),
                *gated,
                *_old(run),
            ),
            libraries=("numpy", TABLE[target.runtime].distribution),
            executes=True,
            away=None if target.host is None else Away(target.host, run.stop),
        )
    for target in _for_cpus(job):
        own = run.of(target.scheme)
        yield Step(
            f"portable/{target.name}",
            "bench",
            partial(measuring.portable, own, target=target),
            [bench.portable_examples, profile(job, target)],
            ("data", *_files(own, target), f"deploy/{target.name}"),
            libraries=("numpy", TABLE[target.runtime].distribution),
            executes=True,
            means=measuring.executed_as(target),
        )
    for target in _emulated(job):
        own = run.of(target.scheme)
        yield Step(
            f"emulation/{target.name}",
            "bench",
            partial(measuring.emulation, own, target=target),
            [bench.emulated_examples, profile(job, target)],
            ("data", *_files(own, target), f"deploy/{target.name}"),
            libraries=(TABLE[target.runtime].distribution,),
            means=measuring.executed_as(target),
        )


def _health(run: loaders.Run, editions: list[tuple[loaders.Run, Keys]]) -> Iterator[Step]:
    """Attacked, corrupted and training examples, where the recipe asks."""
    job = run.job
    if (asked := job.recipe.health) is None:
        return
    for one, keys in editions if asked.by_gradient else ():
        told = [keys.training, keys.teacher, keys.quantised, keys.quantize, health.decides_attacks(asked)]
        trained = (*DISTILLATION_DATA, *_old(one), "distill", *_quantised(one))
        made = _trains(one, keys, one.named("attacks"), "bench", health.attacks, told, *trained)
        yield replace(made, libraries=(*keys.training_libraries, health.TOOLBOX))
    for target in job.targets:
        own = run.of(target.scheme)
        yield Step(
            f"health/{target.name}",
            "bench",
            partial(health.health, own, target=target),
            [job.recipe.seed, asked.model_dump(), own_files(job, "key_samples"), profile(job, target)],
            (
                "data",
                *_files(own, target),
                *_per_target(job, target),
                f"deploy/{target.name}",
                *((own.named("attacks"),) if asked.by_gradient else ()),
            ),
            libraries=("numpy", TABLE[target.runtime].distribution),
            executes=True,
        )


def _judging(run: loaders.Run, keys: Keys) -> Iterator[Step]:
    """The verdict, and what is said of it."""
    job = run.job
    benches = tuple(f"bench/{target.name}" for target in (*job.targets, *job.ungated_targets))
    others = tuple(f"portable/{target.name}" for target in _for_cpus(job))
    yield Step(
        "gate",
        "gate",
        partial(judging.gate, run),
        [keys.rows, job.policy.model_dump(mode="json"), keys.expired_waivers],
        (
            *benches,
            *others,
            *(f"emulation/{target.name}" for target in _emulated(job)),
            *(f"parity/{target.name}" for target in job.targets),
            *(f"health/{target.name}" for target in job.targets if job.recipe.health is not None),
        ),
        libraries=("numpy", "scipy"),
    )
    deploys = (f"deploy/{target.name}" for target in job.targets)
    yield Step(
        "report",
        "report",
        partial(judging.report, run),
        [job.recipe.model_dump(), keys.rows, job.data_files],
        (
            "teacher",
            *_students(run),
            *(run.of(scheme).named("export") for scheme in job.schemes),
            *deploys,
            *benches,
            *others,
            "gate",
        ),
        libraries=("matplotlib", "jinja2"),
    )


def _old(run: loaders.Run) -> tuple[str, ...]:
    """The step that trains what a student goes on from, where it does."""
    return () if run.job.recipe.distill.lifelong is None else (loaders.OLD,)


def _learnt_from(run: loaders.Run) -> tuple[str, ...]:
    """The steps that make what a student learns from."""
    return (*DISTILLATION_DATA, *_old(run))


def _quantised(run: loaders.Run, target: Target | None = None) -> tuple[str, ...]:
    """The steps that train the student of the run's scheme through its integers, or choose its layers; none for a target that is sent the one in
    float."""
    quantize, in_float = run.job.recipe.quantize, target in run.job.targets and target.scheme == "none"
    if in_float or not (quantize.trains or quantize.drops_layers):
        return ()
    return tuple(map(run.named, arms.STUDENT_INT8.steps[0 if quantize.trains else -1 :]))


def _students(run: loaders.Run) -> tuple[str, ...]:
    """The steps that train a student, of whatever scheme."""
    trained = [arm for arm in arms.trained(run.job.recipe.quantize) if arm is not arms.TEACHER]
    shared = [step for arm in trained if not arm.per_scheme for step in arm.steps]
    return (*shared, *(step for scheme in run.job.schemes for step in _quantised(run.of(scheme))))


def _files(run: loaders.Run, target: Target) -> tuple[str, ...]:
    """The steps that export what is executed under a target."""
    made = ("export", PYTORCH) if is_pytorch(target.runtime) else ("export",)
    return tuple(dict.fromkeys(name for step in made for name in (step, run.named(step))))


def _chooses_ptq(job: Job) -> list[Target]:
    return [
        target
        for target in job.targets
        if arms.tries_ptq(job.recipe.quantize.of(target.scheme, target.runtime))
    ]


def _per_target(job: Job, target: Target) -> tuple[str, ...]:
    """The steps that make an arm for this target alone."""
    measured = arms.measured(job.recipe.quantize.of(target.scheme, target.runtime), gated=True)
    return (
        tuple(f"{arm.steps[0]}/{target.name}" for arm in measured if arm.per_target)
        if target in job.targets
        else ()
    )


def _emulated(job: Job) -> list[Target]:
    return [target for target in job.targets if target.isa != "host"]


def _for_cpus(job: Job) -> list[Target]:
    return [target for target in job.targets if is_for_cpus(job, target)]
