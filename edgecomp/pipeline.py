"""The main job, stage by stage. Read this first.

    recipe → data → teacher → soft labels → distill → quantise, precision → export → parity, deploy → bench, emulation
           → gate → report

Each step reads artifacts and writes new ones; only this file knows their order, what each reads, and which
settings and libraries change what it makes.
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

from edgecomp import made, stages
from edgecomp.artifacts import RunFolder, Step, write_json
from edgecomp.emulators import availability
from edgecomp.errors import RunFolderError
from edgecomp.job import Job
from edgecomp.runtimes import TABLE
from edgecomp.targets import Target, check_cores

TRAINING = ("torch", "numpy")
EXPORTING = (*TRAINING, "onnx", "onnxscript", "openvino", "onnxruntime")

Started = Callable[[Step, str], None]


def steps(run: made.Run) -> list[Step]:
    """Every step of a job, in order."""
    job, recipe = run.job, run.job.recipe
    seeded = {"seed": recipe.seed, "threads": recipe.threads, "data": recipe.data.model_dump()}
    training = [seeded, {"precision": recipe.precision}]
    teacher = recipe.teacher.model_dump() | _outside(job, "teacher")
    student = recipe.student.model_dump() | _outside(job, "student")
    quantised = {"network": student, "scheme": made.scheme_of(job)}
    texts = ("tokenizers",) if recipe.data.tokenizer else ()
    ready_made = any(
        network.startswith("hf:") for network in (recipe.teacher.network, recipe.student.network)
    )
    models = (*TRAINING, "transformers") if ready_made else TRAINING
    trains: dict[str, Any] = {"executes": True, "threads": made.training_threads(run)}
    rivals = [recipe.quantize.method, *recipe.quantize.baselines]
    quantizers = ("nncf",) if {"ptq-nncf", "ptq-best"}.intersection(rivals) and find_spec("nncf") else ()
    further = ("control",) if "control" in recipe.quantize.baselines else ()
    rival = "ptq-best" in recipe.quantize.baselines
    distill = {**recipe.distill.model_dump(), "calibration_batches": recipe.quantize.calibration_batches}
    chosen = {"max_drop"}  # after training, and shown
    quantize = recipe.quantize.model_dump(exclude={"baselines", *chosen})
    qad = recipe.quantize.method == "qad"
    trained = ("quantize", "precision") if qad else ()
    words = {"description", "budget"}  # what a target may cost is the gate's business
    profiles = {target.name: target.model_dump(exclude=words) for target in (*job.targets, *job.beside)}
    rows = {
        target: {name: row.model_dump() for name, row in named.items()} for target, named in job.rows.items()
    }
    expired = [waiver.row for waiver in job.policy.waivers if waiver.has_expired(run.today)]
    deploys = tuple(f"deploy/{target.name}" for target in job.targets)
    parities = tuple(f"parity/{target.name}" for target in job.targets)
    benches = tuple(f"bench/{name}" for name in profiles)
    emulations = tuple(f"emulation/{target.name}" for target in job.targets if target.isa != "host")

    def bests(target: Target) -> tuple[str, ...]:
        return (f"ptq/{target.name}",) if rival and target in job.targets else ()

    def step(
        name: str, stage: str, make: Callable[..., None], settings: object, *inputs: str, **facts: object
    ) -> Step:
        return Step(name, stage, partial(make, run), settings, inputs, **facts)  # type: ignore[arg-type]

    return [
        step("data", "data", stages.data, [seeded, job.data_files, _outside(job, "tokenizer")], libraries=("numpy", "scikit-learn", "pillow", "pyarrow", *texts)),
        step("teacher", "teacher", stages.teacher, [training, teacher], "data", libraries=models, **trains),
        step("soft_labels", "teacher", stages.soft_labels, [training, teacher], "data", "teacher",
             libraries=(*models, "h5py"), **trains),
        step("distill", "distill", stages.distill, [training, student, distill], "data", "teacher", "soft_labels",
             libraries=models, **trains),
        *(step(name, "distill", make, settings, "data", "teacher", "soft_labels", *inputs,
               libraries=models, **trains)
          for name, make, settings, inputs in (
              ("quantize", stages.quantize, [training, quantised, distill, quantize], ("distill",)),
              ("precision", stages.precision, [training, quantised, distill, quantize, recipe.quantize.max_drop],
               ("distill", "quantize")),
          ) if qad),
        *(step(name, "distill", stages.control, [training, student, distill, quantize], "data", "teacher", "soft_labels",
               "distill", libraries=models, **trains)
          for name in further),
        step("export", "export", stages.export, [seeded, teacher, quantised, quantize, recipe.quantize.baselines],
             "data", "teacher", "soft_labels", "distill", *trained, *further, libraries=(*EXPORTING, *quantizers), **trains),
        *(step(f"ptq/{target.name}", "export", partial(stages.best_ptq, target=target),
               [seeded, quantised, recipe.distill.batch_size, quantize, profiles[target.name]],
               "data", "soft_labels", "distill", libraries=(*EXPORTING, *quantizers), **trains)
          for target in job.targets if rival),
        *(step(f"parity/{target.name}", "export", partial(stages.parity, target=target),
               [profiles[target.name], recipe.quantize.baselines], "data", "export", *trained, *bests(target), libraries=(TABLE[target.runtime].distribution,), executes=True)
          for target in job.targets),
        *(step(f"deploy/{target.name}", "export", partial(stages.deploy, target=target), profiles[target.name],
               "data", "export", libraries=(TABLE[target.runtime].distribution,))
          for target in job.targets),
        *(step(f"bench/{target.name}", "bench", partial(stages.bench, target=target),
               [recipe.bench.model_dump(exclude={"emulated_examples", "emulation_timeout_s"}), profiles[target.name]],
               "data", "export", *trained, *bests(target), *(f"{room}/{target.name}" for room in ("parity", "deploy") if target in job.targets),
               libraries=("numpy", TABLE[target.runtime].distribution), executes=True)
          for target in (*job.targets, *job.beside)),
        *(step(f"emulation/{target.name}", "bench", partial(stages.emulation, target=target),
               [recipe.bench.emulated_examples, profiles[target.name], availability(target.isa, target.runtime)[1]],
               "data", "export", f"deploy/{target.name}", libraries=(TABLE[target.runtime].distribution,))
          for target in job.targets if target.isa != "host"),
        step("gate", "gate", stages.gate, [rows, job.policy.model_dump(mode="json"), expired], *benches, *emulations, *parities,
             libraries=("numpy", "scipy")),
        step("report", "report", stages.report, [recipe.model_dump(), rows, job.data_files],
             "teacher", "distill", *trained, *further, "export", *deploys, *benches, "gate", libraries=("matplotlib", "jinja2")),
    ]  # fmt: skip


def _outside(job: Job, name: str) -> dict[str, str]:
    """For the settings of what is made of files that are not edgecomp's own."""
    return {"files": job.outside[name]} if name in job.outside else {}


def check_machine(job: Job) -> None:
    """Raises UsageError where a target asks for more cores than there are, or the fused kernel cannot be compiled."""
    if job.recipe.quantize.kernel == "fused":
        from edgecomp.quantize import fused

        fused.load()
    for target in (*job.targets, *job.beside):
        check_cores(target)


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
    """Runs what must run, in order, and returns the names of the steps that did."""
    ran = []
    for step in all_steps:
        reason = folder.reason_to_run(step)
        if reason is not None:
            started(step, reason)
            folder.run(step, job.recipe.name)
            ran.append(step.name)
    return ran


def execute_stage(job: Job, folder: RunFolder, all_steps: list[Step], stage: str, started: Started) -> None:
    """Runs the steps of one stage, whether or not they must, and with the gate the report, which says its verdict. Raises
    RunFolderError where what they read is not what was asked for; another machine may have made it."""
    together = ("gate", "report") if stage == "gate" else (stage,)
    chosen = [step for step in all_steps if step.stage in together]
    own = {step.name for step in chosen}
    needed = {name for step in chosen for name in step.inputs} - own
    for step in all_steps:
        if step.name in needed and (reason := folder.reason_to_run(step, here=False)) is not None:
            raise RunFolderError(f"{folder.path}: {stage} needs {step.name} ({reason}): "
                                 f"`edgecomp run` makes it, and all that must come before")  # fmt: skip
    for step in chosen:
        started(step, "asked for")
        folder.run(step, job.recipe.name)


def save_job(job: Job, folder: RunFolder) -> None:
    """Keeps the request beside its results, with everything it named, for stages run alone and for a reviewer."""
    write_json(folder.path / "job.json", job.model_dump(mode="json"))
