"""The steps of a language model's run, in order; which are those of the main job (edgecomp/pipeline/steps.py), and have its names."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from edgecomp import arms
from edgecomp.artifacts.rerun import Step
from edgecomp.pipeline import loaders, shared_settings
from edgecomp.pipeline.language import stages
from edgecomp.pipeline.language.loading import settings
from edgecomp.pipeline.shared_settings import Keys, own_files, profile
from edgecomp.pipeline.stages import judging
from edgecomp.runtimes import TABLE

TRAINING = ("torch", "numpy", "transformers", "tokenizers", "gguf")
EXPORT = (*TRAINING, "onnx", "onnxruntime-genai", "openvino-genai")
LEARNT = ("loss", "jsd_beta", "top_k", "learn_from", "teacher_tokens", "packed")
MEASURED = ("prompt_tokens", "new_tokens", "generations")

Make = Callable[[loaders.Run, Path, Path], None]


def steps(run: loaders.Run) -> list[Step]:
    """Every step of `run`, in order."""
    job, recipe, keys, asked = run.job, run.job.recipe, Keys(run), settings(run)
    learnt = asked.model_dump(include={*LEARNT})
    rounds = [recipe.quantize.model_dump(), asked.group_size]
    taught = [keys.training, keys.student, keys.distill, learnt]

    def trains(name: str, stage: str, make: Make, told: object, *inputs: str) -> Step:
        return Step(name, stage, partial(make, run), told, inputs, TRAINING, executes=True, threads=loaders.training_threads(run))

    students = ["distill"]
    data = [keys.seeded, job.data_files, own_files(job, "teacher"), asked.packed, asked.learn_from]
    found = [
        trains("data", "data", stages.data, data),
        trains("teacher", "teacher", stages.teacher, [keys.training, keys.teacher], "data"),
        trains("soft_labels", "teacher", stages.soft_labels, [taught[0], learnt, recipe.distill.temperature], "data", "teacher"),
        trains("distill", "distill", stages.distill, taught, "data", "teacher", "soft_labels"),
    ]
    if recipe.quantize.trains:
        found.append(trains("quantize", "distill", stages.quantize, [*taught, rounds], "data", "teacher", "soft_labels", "distill"))
        students.append("quantize")
    runtimes = list(dict.fromkeys(target.runtime for target in job.targets))
    exported = partial(stages.export, run)
    found.append(Step("export", "export", exported, [rounds, runtimes], ("teacher", *students), EXPORT, executes=True))
    for target in job.targets:
        libraries = (TABLE[target.runtime].distribution,)
        told = [profile(job, target), asked.parity_texts]
        made = partial(stages.parity, run, target=target)
        found.append(Step(f"parity/{target.name}", "export", made, told, ("data", *students, "export"), libraries, executes=True))
        sent = partial(stages.deploy, run, target=target)
        found.append(Step(f"deploy/{target.name}", "export", sent, profile(job, target), ("data", "distill", "export"), libraries))
    for target in job.targets:
        made = partial(stages.bench, run, target=target)
        told = [shared_settings.bench(job), profile(job, target), asked.model_dump(include={*MEASURED})]
        inputs = ("data", "export", f"parity/{target.name}", f"deploy/{target.name}")
        libraries = ("numpy", TABLE[target.runtime].distribution)
        found.append(Step(f"bench/{target.name}", "bench", made, told, inputs, libraries, executes=True))
    benches = [f"bench/{target.name}" for target in job.targets]
    policy = [keys.rows, job.policy.model_dump(mode="json"), keys.expired_waivers]
    parities = [f"parity/{target.name}" for target in job.targets]
    found.append(Step("gate", "gate", partial(judging.gate, run), policy, (*benches, *parities), ("numpy", "scipy")))
    shown = (arms.TEACHER.steps[0], *students, "export", *(f"deploy/{target.name}" for target in job.targets), *benches, "gate")
    told = [recipe.model_dump(), keys.rows, job.data_files]
    found.append(Step("report", "report", partial(judging.report, run), told, shown, ("matplotlib", "jinja2")))
    return found
