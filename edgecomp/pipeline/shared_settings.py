"""The settings and libraries that several steps have in their keys: what decides their artifacts, and nothing else does.

A step's own list of settings is in `steps.py`. Inputs, versions, CPU, threads, and what makes a step run again: edgecomp/artifacts/rerun.py.
"""

from importlib.util import find_spec

from edgecomp import arms
from edgecomp.config.job import Job
from edgecomp.config.parts.teachers import Teacher
from edgecomp.config.recipe import Distill
from edgecomp.config.target import Target
from edgecomp.machine import gpus, installed
from edgecomp.pipeline import loaders, several_teachers
from edgecomp.pipeline.taken import api_teachers, cleaning, synthesising
from edgecomp.tasks import DEFAULT

PYTORCH = ("torch", "numpy")
ELSEWHERE = {"emulated_examples", "portable_examples", "emulation_timeout_s"}  # what is asked of other CPUs
FORMATS = ("onnx", "onnxscript", "openvino", "onnxruntime")


class Keys:
    """Settings that several steps share, and libraries whose versions change what they make."""

    def __init__(self, run: loaders.Run) -> None:
        job, recipe = run.job, run.job.recipe
        self.seeded = {
            "seed": recipe.seed,
            "threads": recipe.threads,
            "data": synthesising.settings(recipe.data),
        }
        if recipe.keeps_rows:
            self.seeded["rows"] = True
        if recipe.student.inputs or recipe.teacher.inputs:
            self.seeded["inputs"] = {"student": recipe.student.inputs, "teacher": recipe.teacher.inputs}
        if (
            recipe.meant != DEFAULT
        ):  # the settings of a run that was made before there were others stay what they were
            self.seeded |= {"task": recipe.meant, "ready": recipe.teacher.epochs == 0}
        self.training = [self.seeded, {"precision": job.precision}]
        self.teacher = learnt(recipe.teacher) | own_files(job, "teacher")
        # Of a run with one teacher these are what they were before there could be others.
        others = (
            None
            if recipe.teachers is None
            else api_teachers.settings(recipe.teachers) | own_files(job, "teachers")
        )
        self.taught = [self.training, self.teacher, *([others, recipe.distill.temperature] if others else [])]
        self.student = recipe.student.model_dump() | own_files(job, "student")
        self.quantised = {"network": self.student, "scheme": run.scheme}
        self.distill = learnt(recipe.distill) | {"calibration_batches": recipe.quantize.calibration_batches}
        after_training = {"baselines", "cascade", "max_drop", "precision_by", "ptq_minutes"}
        self.quantize = recipe.quantize.model_dump(exclude=after_training)
        used = {"calibration_batches", "float_layers", "weight_bits", "activation_bits"}
        if recipe.quantize.ptq_minutes is not None:  # the keys of a run without it stay what they were
            used.add("ptq_minutes")
        self.post_training = recipe.quantize.model_dump(include=used)
        self.rows = {
            target: {name: row.model_dump() for name, row in rows.items()}
            for target, rows in job.rows.items()
        }
        self.expired_waivers = [
            waiver.check for waiver in job.policy.waivers if waiver.has_expired(run.today)
        ]

        networks = [
            recipe.teacher.network,
            recipe.student.network,
            *(one.network for one in several_teachers.networks(recipe).values()),
        ]
        ready_made = any(network.startswith("hf:") for network in networks)
        imported = any(network.startswith("onnx:") for network in networks)
        # Of a run that cleans nothing these are what they were before it could.
        self.cleaned = [
            found
            for name in ("cleaning", "augmentation", "synthesis", "pseudonyms")
            if (found := own_files(job, name))
        ]
        self.cleaning_libraries = cleaning.LIBRARIES if recipe.data.clean or recipe.data.synthesis else ()
        prompted = recipe.data.augment is not None and recipe.data.augment.paraphrase is not None
        self.tokenizer_libraries = (
            *(("tokenizers",) if recipe.data.tokenizer else ()),
            *(("jinja2",) if prompted else ()),
        )
        self.training_libraries = (
            *PYTORCH, *(("transformers",) if ready_made else ()), *(("onnx", "onnxscript") if imported else ())
        )  # fmt: skip
        asked = {
            arms.judged(recipe.quantize),
            *arms.baselines(recipe.quantize),
            *arms.of_tools(recipe.quantize),
        }
        by_nncf = {arms.PTQ_NNCF, arms.PTQ_DYNAMIC, arms.PTQ_BEST, arms.BEST}
        quantizes = recipe.quantize.tool in {one.tool for one in by_nncf if one.tool} or asked & by_nncf
        nncf = ("nncf",) if quantizes and find_spec("nncf") else ()
        self.export_libraries = (*PYTORCH, *FORMATS, *nncf)


def learnt(part: Teacher | Distill) -> dict[str, object]:
    """What of a `part` of a recipe decides what it makes: not who is told of its epochs."""
    plain = part.loop.model_copy(update={"trackers": None})
    return part.model_copy(update={"loop": plain}).model_dump()


def bench(job: Job) -> dict[str, object]:
    """What of a job's recipe is measured here, by the names that these settings had in the first version: the
    digest of a run made then is the same. job: with the digest of a score function of the user's own."""
    told = job.recipe.bench.model_dump(exclude=ELSEWHERE)
    score = {} if job.recipe.score is None else {"score": job.recipe.score, **own_files(job, "score")}
    return {
        "beside_restarts" if name == "ungated_restarts" else name: value for name, value in told.items()
    } | score


def own_files(job: Job, name: str) -> dict[str, str]:
    """The digest of what is made of files that are not edgecomp's own: a network, a tokenizer. job: with its
    digests; name: `teacher`, `student`, `tokenizer` or `score`."""
    return {"files": job.outside[name]} if name in job.outside else {}


def profile(job: Job, target: Target) -> dict[str, object]:
    """A target without what is said of it, without its budget, which is the gate's business, and without what
    is made up of inputs, for a run has its own; with the CPU that it is here. job: tells that CPU."""
    here = {"isa": job.host.isa} if job.host is not None and target.isa == "host" else {}
    told = (
        target.model_dump(exclude={"description": True, "budget": True, "shapes": {"axes", "ranges"}}) | here
    )
    return {name: value for name, value in told.items() if name != "host" or value is not None}


def trained_on() -> dict[str, str]:
    """The GPUs that training goes to, by their count; nothing where it stays on the CPU: part of the key of what is trained."""
    found = () if installed("torch").endswith("+cpu") else gpus()
    return {"gpus": str(len(found))} if found else {}
