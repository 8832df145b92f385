"""What earlier stages of a run have made, loaded for the next one."""

import copy
import datetime
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgecomp import arms
from edgecomp.arms import Arm
from edgecomp.config.job import Job
from edgecomp.config.recipe import Network, Recipe
from edgecomp.files.json_files import read_mapping
from edgecomp.machine import usable_cores
from edgecomp.outputs import ONE
from edgecomp.progress import Note, Track, unheard
from edgecomp.tasks import SeveralOutputs, Task, task

if TYPE_CHECKING:
    import torch
    from torch import fx, nn

    from edgecomp.data.preprocessing import Preprocessing
    from edgecomp.data.sources import Wanted
    from edgecomp.data.views import Views
    from edgecomp.distill.data import DistillationData
    from edgecomp.distill.losses import Loss
    from edgecomp.export.stage import Interface
    from edgecomp.inputs import Inputs


@dataclass(frozen=True)
class Run:
    """A job in its folder. scheme: the quantisation scheme whose student is meant, where the job's targets need several."""

    job: Job
    folder: Path
    track: Track
    note: Note = unheard
    today: datetime.date = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).date())
    scheme: str = ""

    def __post_init__(self) -> None:
        if not self.scheme:
            object.__setattr__(self, "scheme", self.job.schemes[0])

    def of(self, scheme: str) -> "Run":
        """scheme: a target's; with `none` the first one's, beside whose files those in float lie."""
        return replace(self, scheme=scheme if scheme in self.job.schemes else self.job.schemes[0])

    def named(self, step: str) -> str:
        """The name of a step that is made for each scheme: its own for the first scheme, `SCHEME/STEP` for the others."""
        return step if self.scheme == self.job.schemes[0] else f"{self.scheme}/{step}"

    def made(self, step: str) -> Path:
        """The folder of a step that is made for each scheme."""
        return self.folder / self.named(step)


def wanted(recipe: Recipe) -> "Wanted":
    """The data of `recipe`, in the source's own terms."""
    from edgecomp.data.sources import Wanted

    return Wanted(**recipe.data.model_dump(include=set(Wanted.__dataclass_fields__)), task=recipe.meant)


def fingerprinted(job: Job) -> Job:
    """The job with digests of what it names outside: its data's files, networks of one's own, a tokenizer.

    Raises DataError, UsageError where they are missing.
    """
    from edgecomp.data.sources import source_files

    folder = Path(job.folder)
    data_files = digests_by_path(source_files(wanted(job.recipe), folder))
    return job.model_copy(update={"data_files": data_files, "outside": _outside(job.recipe, folder)})


def digests_by_path(files: Sequence[Path]) -> dict[str, str]:
    """sha256 by the path from the folder that holds them all: of two files of one name, and of one that moves."""
    from edgecomp.files.writing import sha256

    root = Path(os.path.commonpath([file.parent for file in files])) if files else Path()
    return {file.relative_to(root).as_posix(): sha256(file) for file in files}


def _outside(recipe: Recipe, folder: Path) -> dict[str, str]:
    """`teacher`, `student`, `tokenizer`, `score` → a digest of the files it is made with, where those are not edgecomp's own.

    An argument of a network that is a file, such as its weights, is one of them.
    """
    from edgecomp.files.writing import digest_of
    from edgecomp.models import own_files
    from edgecomp.models.own_code import load_score
    from edgecomp.models.references import files_of

    def of(wanted: Network) -> list[Path]:
        words = [value for value in wanted.arguments.values() if isinstance(value, str)]
        paths = dict.fromkeys((base / word).absolute() for word in words for base in (folder, Path()))
        given = [path for path in paths if os.path.isfile(path)]
        return given if wanted.network == "teacher" else [*own_files(wanted.network, folder), *given]

    named = {
        "teacher": of(recipe.teacher),
        "student": of(recipe.student),
        "tokenizer": files_of(recipe.data.tokenizer, folder) if recipe.data.tokenizer else [],
        "score": [*load_score(recipe.score, folder).files] if recipe.score else [],
    }
    return {name: digest_of(digests_by_path(files)) for name, files in named.items() if files}


def preprocessing(run: Run) -> "Preprocessing":
    """How the inputs of `run` are made, as its data step wrote it."""
    from edgecomp.data.preprocessing import load

    return load(run.folder / "data")


def meaning(run: Run) -> Task:
    """What labels and outputs of `run` mean, as its recipe says and its data step found."""
    return task(run.job.recipe.meant, preprocessing(run).classes)


def training_threads(run: Run) -> int:
    """As many as the recipe of `run` asks for, or one a core where there are fewer: two on one core spin
    while they wait for each other."""
    return min(run.job.recipe.threads, usable_cores())


def fresh_network(run: Run, wanted: Network) -> "nn.Module":
    """A fresh network with seeded weights, `wanted` in the recipe of `run`; the job's thread count holds from
    here on, or one a core where there are fewer. Raises UsageError, UserCodeError."""
    import torch

    from edgecomp.data.preprocessing import answered
    from edgecomp.models import build, check_output, check_outputs

    torch.set_num_threads(training_threads(run))
    torch.use_deterministic_algorithms(True)
    seed = getattr(wanted, "seed", None)
    torch.manual_seed(run.job.recipe.seed if seed is None else seed)
    data = preprocessing(run)
    if wanted.network == "teacher":
        network = of_teacher(fresh_network(run, run.job.recipe.teacher), wanted)
    else:
        of_each = task(run.job.recipe.meant).of_each
        network = build(wanted.network, wanted.arguments, Path(run.job.folder), data.given, of_each)
    if isinstance(of := meaning(run), SeveralOutputs):
        check_outputs(wanted.network, network, _example(run), of.widths)
    else:
        check_output(wanted.network, network, _example(run), answered(data, data.example()))
    return network


def of_teacher(teacher: "nn.Module", wanted: Network) -> "nn.Module":
    """A student of some of the teacher's layers, with its weights; wanted: the student, whose arguments name
    the layers, all where they do not. Raises UsageError."""
    from edgecomp.models.layers import keep_layers

    if "layers" not in wanted.arguments:
        return copy.deepcopy(teacher)
    return keep_layers(teacher, wanted.arguments["layers"])


def first_student(run: Run) -> "nn.Module":
    """The student of `run` before it is trained: fresh, or with its teacher's weights."""
    student = run.job.recipe.student
    network = fresh_network(run, student)
    return of_teacher(trained_teacher(run), student) if student.network == "teacher" else network


def check_ready_made(run: Run, network: "nn.Module") -> None:
    """Raises UsageError where a teacher that is taken as it is, `network`, cannot have been trained for the
    classes of `run`."""
    if run.job.recipe.teacher.network.startswith("hf:"):
        from edgecomp.models import huggingface

        assert isinstance(network, huggingface.Classifier)
        huggingface.check_ready_made(network, preprocessing(run).classes)


def trained_teacher(run: Run) -> "nn.Module":
    """The teacher of `run` with its trained weights, in evaluation mode."""
    from edgecomp.training.loop import load_weights

    network = fresh_network(run, run.job.recipe.teacher)
    network.load_state_dict(load_weights(run.folder / "teacher" / "teacher.safetensors"))
    return network.eval()


def student_fp32(run: Run) -> "nn.Module":
    """The fp32 student of `run` with its trained weights, in evaluation mode."""
    from edgecomp.training.loop import load_weights

    network = fresh_network(run, run.job.recipe.student)
    network.load_state_dict(
        load_weights(run.folder / arms.STUDENT_FP32.steps[-1] / "student_fp32.safetensors")
    )
    return network.eval()


def captured_student(run: Run) -> "fx.GraphModule":
    """The graph of the fp32 student of `run`; nothing is placed in it yet."""
    return _captured(run, student_fp32(run))


def tried(run: Run) -> "nn.Module":
    """A fresh teacher of `run`. Raises CaptureError, UsageError or RuntimeOptionError where it, the student
    or a target cannot be what the recipe asks, and notes where both are the same network: before anything is
    trained."""
    from edgecomp.config.target import check_options
    from edgecomp.distill.student import check_layers

    recipe = run.job.recipe
    for target in (*run.job.targets, *run.job.ungated_targets):
        check_options(target)
    student = fresh_network(run, recipe.student)
    if not recipe.quantize.in_float:
        check_layers(_captured(run, student), recipe.quantize.float_layers)
    check_loss(run).bind(fresh_network(run, recipe.student), tuple(_example(run).values()))
    teacher = fresh_network(run, recipe.teacher)
    if recipe.teacher.epochs == 0:
        check_ready_made(run, teacher)
    if _structure(student) == _structure(teacher):
        count = sum(parameter.numel() for parameter in teacher.parameters())
        run.note(f"student and teacher are the same network, of {count:,} parameters: nothing is made smaller but by its integers; "
                 "give the student fewer or smaller layers (student.arguments)")  # fmt: skip
    return teacher


def check_loss(run: Run) -> "Loss":
    """The loss of `run`, of a teacher that is not trained yet. Raises RecipeError with all that is wrong with its terms and its stages."""
    from edgecomp.distill import stages
    from edgecomp.errors import RecipeError

    settings = run.job.recipe.distill.model_dump()
    found = stages.problems(settings, fresh_network(run, run.job.recipe.student))
    try:
        made = loss(run, trained=False)
    except RecipeError as error:
        raise RecipeError(error.where, [*error.problems, *found]) from None
    if found:
        raise RecipeError("distill", found)
    return made


def _structure(network: "nn.Module") -> list[tuple[str, object]]:
    """What a network is made of, without its weights' values."""
    parts = [(name, type(part).__name__) for name, part in network.named_modules()]
    return [*parts, *((name, tensor.shape) for name, tensor in network.state_dict().items())]


def _example(run: Run) -> "dict[str, torch.Tensor]":
    import torch

    return {name: torch.from_numpy(values) for name, values in preprocessing(run).example().items()}


def _captured(run: Run, network: "nn.Module") -> "fx.GraphModule":
    from edgecomp.quantization.capture import capture

    return capture(network, list(_example(run).values()), preprocessing(run).dynamic_axes)


def interface(run: Run) -> "Interface":
    """The free axes of the inputs of `run`, and two batches of examples of different sizes, for exports."""
    from edgecomp.export.stage import Interface

    data = preprocessing(run)
    outputs = tuple(sorted(run.job.recipe.tasks)) or (ONE,)
    return Interface(data.dynamic_axes, data.example(), data.example(size=3, longer=3), outputs)


def probes(run: Run) -> "Inputs":
    """Inputs from the training split of `run`, which files are compared on."""
    from edgecomp.data.splits import Split
    from edgecomp.export.stage import PROBES

    return preprocessing(run).apply(Split.load(run.folder / "data", "train").first(PROBES).arrays)


def student_control(run: Run) -> "nn.Module":
    """The fp32 student of `run` that was trained on as the fake-quant one was."""
    from edgecomp.training.loop import load_weights

    network = fresh_network(run, run.job.recipe.student)
    network.load_state_dict(load_weights(run.folder / "control" / "student_control.safetensors"))
    return network.eval()


def student_int8(run: Run, in_float: tuple[str, ...]) -> "fx.GraphModule":
    """The fake-quant student of `run` as it was trained, with the layers named by `in_float` in float."""
    from edgecomp.quantization.placement import place, restore
    from edgecomp.training.loop import load_weights

    student = place(captured_student(run), run.scheme, in_float, *run.job.recipe.quantize.bits)
    restore(student, load_weights(run.made("precision") / "student_int8.safetensors"))
    return student.eval()


def named_float_layers(run: Run) -> dict[str, str]:
    """Layers of `run` left in float before any training → why: those the recipe names, and those that are
    faster so."""
    named = run.job.recipe.quantize.float_layers
    path = run.made("speed") / "speed.json"
    if run.job.recipe.quantize.precision_by != "speed":
        return named
    faster: dict[str, str] = read_mapping(path, "float_layers")["float_layers"]
    return faster | named


def float_layers(run: Run) -> dict[str, str]:
    """Layers of `run` left in float → why: those the recipe names, those that are faster so, and those the
    accuracy needed."""
    path = run.made("precision") / "precision.json"
    if not run.job.recipe.quantize.trains:
        return run.job.recipe.quantize.float_layers
    found: dict[str, str] = read_mapping(path, "float_layers")["float_layers"]
    return found


def views(run: Run) -> "Views":
    """The training and validation splits of `run`, as its recipe varies them."""
    from edgecomp.data.augment import Augmentation
    from edgecomp.data.splits import Split
    from edgecomp.data.views import Views

    data, folder = run.job.recipe.data, run.folder / "data"
    augmentation = Augmentation(data.shift, data.flip, run.job.recipe.seed)
    return Views(
        train=Split.load(folder, "train"),
        validation=Split.load(folder, "validation"),
        preprocessing=preprocessing(run),
        augmentation=augmentation if data.shift or data.flip else None,
    )


@contextmanager
def distillation_data(run: Run) -> "Iterator[DistillationData]":
    """What a student of `run` learns from: its data, and the teacher's soft labels, in a file that is open
    meanwhile."""
    from edgecomp.data import soft_labels
    from edgecomp.data.splits import Split
    from edgecomp.distill.data import DistillationData

    recipe = run.job.recipe
    with soft_labels.opened(run.folder / "soft_labels" / "soft_labels.h5") as stored:
        yield DistillationData(
            views=views(run),
            calibration_split=Split.load(run.folder / "data", "calibration"),
            soft_labels=stored,
            task=meaning(run),
            seed=recipe.seed if recipe.student.seed is None else recipe.student.seed,
        )


def loss(run: Run, *, trained: bool = True) -> "Loss":
    """The loss that the fp32 and the fake-quant student of `run` share. trained: of the trained teacher,
    where a term looks inside it; else of a fresh one."""
    from edgecomp.distill.losses import build

    teacher = trained_teacher if trained else lambda run: fresh_network(run, run.job.recipe.teacher)
    return build(run.job.recipe.distill.model_dump(), meaning(run), lambda: teacher(run))


# What a run has trained, loaded: by arm.
NETWORKS: "dict[Arm, Callable[[Run], nn.Module]]" = {
    arms.TEACHER: trained_teacher,
    arms.STUDENT_FP32: student_fp32,
    arms.STUDENT_INT8: lambda run: student_int8(run, tuple(float_layers(run))),
    arms.CONTROL: student_control,
}
