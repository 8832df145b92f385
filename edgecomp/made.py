"""What earlier stages of a run have made, loaded for the next one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecomp.progress import Track
from edgecomp.recipe import Job, Network

if TYPE_CHECKING:
    import torch
    from torch import fx, nn

    from edgecomp.data.splits import Preprocessing
    from edgecomp.distill.lessons import Lessons
    from edgecomp.distill.student import Qad


@dataclass(frozen=True)
class Run:
    job: Job
    folder: Path
    track: Track


def student_arm(job: Job) -> str:
    """The arm that is deployed and judged."""
    return "student_fp32" if job.recipe.quantize.method == "none" else "student_int8"


def arm_of(tool: str) -> str:
    """The arm of a baseline: `ptq-ort` is measured as `ptq_ort`."""
    return tool.replace("-", "_")


def baseline_arms(job: Job) -> list[str]:
    return [arm_of(tool) for tool in job.recipe.quantize.baselines]


def tools(job: Job) -> dict[str, str]:
    """Arms that a runtime's own tool makes → the tool."""
    settings = job.recipe.quantize
    own = {} if settings.method in ("qad", "none") else {"student_int8": settings.method}
    return {arm_of(tool): str(tool) for tool in settings.baselines} | own


def scheme_of(job: Job) -> str:
    """The quantisation scheme that all targets of a job share."""
    return job.targets[0].scheme


def preprocessing(run: Run) -> "Preprocessing":
    from edgecomp.data.splits import Preprocessing

    return Preprocessing.load(run.folder / "data" / "preprocessing.json")


def fresh_network(run: Run, wanted: Network) -> "nn.Module":
    """A fresh network with seeded weights; the job's thread count holds from here on."""
    import torch

    from edgecomp.models import build, check_output

    torch.set_num_threads(run.job.recipe.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(run.job.recipe.seed)
    shapes = preprocessing(run)
    classes = len(shapes.classes)
    network = build(wanted.network, wanted.arguments, Path(run.job.folder), shapes.channels, classes)
    check_output(wanted.network, network, (2, shapes.channels, shapes.height, shapes.width), classes)
    return network


def trained_teacher(run: Run) -> "nn.Module":
    from safetensors.torch import load_file

    network = fresh_network(run, run.job.recipe.teacher)
    network.load_state_dict(load_file(run.folder / "teacher" / "teacher.safetensors"))
    return network.eval()


def student_fp32(run: Run) -> "nn.Module":
    from safetensors.torch import load_file

    network = fresh_network(run, run.job.recipe.student)
    network.load_state_dict(load_file(run.folder / "distill" / "student_fp32.safetensors"))
    return network.eval()


def captured_student(run: Run) -> "fx.GraphModule":
    """The fp32 student's graph; nothing is placed in it yet."""
    return _captured(run, student_fp32(run))


def try_student(run: Run) -> None:
    """Raises CaptureError or UsageError where the student cannot become what the recipe asks, before anything is trained."""
    from edgecomp.distill.student import check_layers, with_hints

    recipe = run.job.recipe
    student = fresh_network(run, recipe.student)
    if recipe.quantize.method != "none":
        check_layers(_captured(run, student), recipe.quantize.float_layers)
    terms = losses(run, trained=False)
    with_hints(fresh_network(run, recipe.student), terms["teacher"], terms["hints"], _example(run))


def _example(run: Run) -> "torch.Tensor":
    import torch

    shapes = preprocessing(run)
    return torch.zeros(2, shapes.channels, shapes.height, shapes.width)


def _captured(run: Run, network: "nn.Module") -> "fx.GraphModule":
    from edgecomp.quantize.capture import capture

    return capture(network, [_example(run)], [{0: "batch"}])


def student_int8(run: Run, in_float: tuple[str, ...]) -> "fx.GraphModule":
    """The fake-quant student as it was trained, with those layers in float."""
    from safetensors.torch import load_file

    from edgecomp.quantize.placement import place, restore

    student = place(captured_student(run), scheme_of(run.job), in_float, run.job.recipe.quantize.weight_bits)
    restore(student, load_file(run.folder / "precision" / "student_int8.safetensors"))
    return student.eval()


def float_layers(run: Run) -> dict[str, str]:
    """Layers left in float → why: those the recipe names, and those the accuracy needed."""
    path = run.folder / "precision" / "precision.json"
    if run.job.recipe.quantize.method != "qad":
        return run.job.recipe.quantize.float_layers
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["float_layers"]
    return found


@contextmanager
def lessons(run: Run) -> "Iterator[Lessons]":
    from edgecomp.data import soft_labels
    from edgecomp.data.splits import Split
    from edgecomp.distill.lessons import Lessons

    data, recipe = run.folder / "data", run.job.recipe
    with soft_labels.opened(run.folder / "soft_labels" / "soft_labels.h5") as stored:
        yield Lessons(
            train=Split.load(data, "train"),
            validation=Split.load(data, "validation"),
            preprocessing=preprocessing(run),
            soft_labels=stored,
            shift=recipe.data.shift,
            seed=recipe.seed,
        )


def losses(run: Run, *, trained: bool = True) -> dict[str, Any]:
    """The terms of the loss, which the fp32 and the fake-quant student share."""
    from edgecomp.distill.features import Hint

    settings = run.job.recipe.distill
    teacher = None
    if settings.hidden:
        teacher = trained_teacher(run) if trained else fresh_network(run, run.job.recipe.teacher)
    return {
        "teacher": teacher,
        "hints": [Hint(hint.student, hint.teacher, hint.weight) for hint in settings.hidden],
        "temperature": settings.temperature,
        "hard_label_weight": settings.hard_label_weight,
    }


def qad(run: Run) -> "Qad":
    from edgecomp.distill.student import Qad

    recipe, settings = run.job.recipe, run.job.recipe.quantize
    return Qad(
        **losses(run),
        scheme=scheme_of(run.job),
        weight_bits=settings.weight_bits,
        first_epoch=recipe.distill.epochs,
        epochs=settings.epochs,
        batch_size=recipe.distill.batch_size,
        learning_rate=settings.learning_rate,
        scale_learning_rate=settings.scale_learning_rate,
        weight_decay=recipe.distill.weight_decay,
        calibration=settings.calibration,
        percentile=settings.percentile,
        calibration_batches=settings.calibration_batches,
        freeze_scales_epochs=settings.freeze_scales_epochs,
        freeze_batchnorm_epochs=settings.freeze_batchnorm_epochs,
        kernel=settings.kernel,
        bf16=recipe.precision == "bf16",
    )
