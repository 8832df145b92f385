"""The steps of a language model's run, in order; they are those of the main job (edgecomp/pipeline/steps.py), and have its names."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from edgecomp import arms
from edgecomp.artifacts.rerun import Step
from edgecomp.config.target import Target
from edgecomp.pipeline import loaders, shared_settings
from edgecomp.pipeline.language import stages
from edgecomp.pipeline.language.loading import settings
from edgecomp.pipeline.shared_settings import Keys, own_files, profile
from edgecomp.pipeline.stages import judging
from edgecomp.pipeline.taken import api_teachers
from edgecomp.runtimes import TABLE

TRAINING = ("torch", "numpy", "transformers", "tokenizers", "gguf")
EXPORT = (*TRAINING, "onnx", "onnxruntime-genai", "openvino-genai")
LEARNT = {"loss", "jsd_beta", "top_k", "learn_from", "teacher_tokens", "packed", "reasoning"}
MEASURED = {"prompt_tokens", "new_tokens", "generations", "choices"}

Make = Callable[[loaders.Run, Path, Path], None]


def steps(run: loaders.Run) -> list[Step]:
    """Every step of `run`, in order."""
    keys = Keys(run)
    return [*_training(run, keys), *_for_targets(run), *_judging(run, keys)]


def _students(run: loaders.Run) -> tuple[str, ...]:
    """The steps that train a student."""
    return ("distill", "quantize") if run.job.recipe.quantize.trains else ("distill",)


def _rounds(run: loaders.Run) -> list[object]:
    """What decides how weights are rounded, and learn to be."""
    return [run.job.recipe.quantize.model_dump(), settings(run).group_size]


def _training(run: loaders.Run, keys: Keys) -> Iterator[Step]:
    """From texts to the students."""
    job, asked = run.job, settings(run)
    learnt = asked.model_dump(include=LEARNT)
    read = [keys.seeded, job.data_files, own_files(job, "teacher"), asked.packed, asked.learn_from]
    if "reasoning" in learnt:  # of a run that keeps it the keys are what they were
        read.append(asked.reasoning)
    if asked.writer is not None:
        learnt |= {"writer": api_teachers.decides(asked.writer), **own_files(job, "teachers")}
    said = [keys.training, keys.teacher, learnt, job.recipe.distill.temperature]
    taught = [keys.training, keys.student, keys.distill, learnt]
    yield _trains(run, "data", "data", stages.data, read)
    yield _trains(run, "teacher", "teacher", stages.teacher, [keys.training, keys.teacher], "data")
    soft_labels = _trains(run, "soft_labels", "teacher", stages.soft_labels, said, "data", "teacher")
    yield soft_labels if asked.writer is None else replace(soft_labels, libraries=(*TRAINING, "jinja2"))
    learns_from = ("data", "teacher", "soft_labels")
    yield _trains(run, "distill", "distill", stages.distill, taught, *learns_from)
    if "quantize" in _students(run):
        rounded = [*taught, *_rounds(run)]
        yield _trains(run, "quantize", "distill", stages.quantize, rounded, *learns_from, "distill")


def _trains(run: loaders.Run, name: str, stage: str, make: Make, settings: object, *inputs: str) -> Step:
    threads = loaders.training_threads(run)
    return Step(name, stage, partial(make, run), settings, inputs, TRAINING, executes=True, threads=threads)


def _for_targets(run: loaders.Run) -> Iterator[Step]:
    """Folders for each runtime, held against what they are made of, sent and measured."""
    job, students = run.job, _students(run)
    runtimes = list(dict.fromkeys(target.runtime for target in job.targets))
    made_of = ("data", "teacher", *students)
    told = [*_rounds(run), runtimes]
    yield Step("export", "export", partial(stages.export, run), told, made_of, EXPORT, executes=True)

    def step(stage: str, make: Callable[..., None], target: Target, told: object, *inputs: str) -> Step:
        own = ("numpy", TABLE[target.runtime].distribution)
        name = make.__name__
        return Step(
            f"{name}/{target.name}",
            stage,
            partial(make, run, target=target),
            told,
            inputs,
            own,
            executes=True,
        )

    how = settings(run)
    for target in job.targets:
        parity = [profile(job, target), how.parity_texts]
        yield step("export", stages.parity, target, parity, "data", *students, "export")
        yield step("export", stages.deploy, target, profile(job, target), "data", *students, "export")
    for target in job.targets:
        told = [shared_settings.bench(job), profile(job, target), how.model_dump(include=MEASURED)]
        judged = (f"parity/{target.name}", f"deploy/{target.name}")
        yield step("bench", stages.bench, target, told, "data", "export", *judged)


def _judging(run: loaders.Run, keys: Keys) -> Iterator[Step]:
    """The verdict, and what is said of it."""
    job = run.job
    parities, deploys, benches = (
        tuple(f"{step}/{target.name}" for target in job.targets) for step in ("parity", "deploy", "bench")
    )
    policy = [keys.rows, job.policy.model_dump(mode="json"), keys.expired_waivers]
    judged = (*benches, *parities)
    yield Step("gate", "gate", partial(judging.gate, run), policy, judged, ("numpy", "scipy"))
    told = [job.recipe.model_dump(), keys.rows, job.data_files]
    shown = (*arms.TEACHER.steps, *_students(run), "export", *deploys, *benches, "gate")
    yield Step("report", "report", partial(judging.report, run), told, shown, ("matplotlib", "jinja2"))
