"""What earlier stages of a run have made, loaded for the next one."""

import copy
import datetime
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecomp import arms
from edgecomp.arms import Arm
from edgecomp.config.job import Job
from edgecomp.config.parts.teachers import Network, Student
from edgecomp.config.recipe import Recipe
from edgecomp.errors import UsageError
from edgecomp.files.json_files import read_mapping
from edgecomp.machine import usable_cores
from edgecomp.outputs import ONE
from edgecomp.progress import Note, Stop, Track, unheard
from edgecomp.tasks import SeveralOutputs, Task, task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import fx, nn

    from edgecomp.data.preprocessing import Preprocessing
    from edgecomp.data.sources import Wanted
    from edgecomp.data.views import Views
    from edgecomp.distill.data import DistillationData
    from edgecomp.distill.losses import Loss
    from edgecomp.export.stage import Interface
    from edgecomp.inputs import Inputs


OLD = "old"  # the step that trains a student that goes on from there


@dataclass(frozen=True)
class Run:
    """A job in its folder. scheme: whose student is meant, where targets need several; past: earlier results of the recipe, oldest first;
    stop: ends what devices do before their time; asks: whether services are asked, which a plan is not worth."""

    job: Job
    folder: Path
    track: Track
    note: Note = unheard
    today: datetime.date = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).date())
    scheme: str = ""
    past: "Callable[[], Sequence[Any]]" = tuple
    stop: Stop = field(default_factory=Stop)
    asks: bool = True

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


def preprocessing(run: Run, arm: Arm = arms.STUDENT_FP32) -> "Preprocessing":
    """How the inputs of an arm of `run` are made, as its data step wrote it: the teacher's, or what every student has."""
    from edgecomp.data.preprocessing import load
    from edgecomp.data.splits import OF_TEACHER

    own = run.folder / "data" / OF_TEACHER
    return load(own if arm is arms.TEACHER and own.is_dir() else run.folder / "data")


def reads_otherwise(run: Run) -> bool:
    """Whether the teacher of `run` reads other inputs than its students."""
    return preprocessing(run, arms.TEACHER) != preprocessing(run)


def _arm_of(wanted: Network) -> Arm:
    return arms.STUDENT_FP32 if isinstance(wanted, Student) else arms.TEACHER


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
    data = preprocessing(run, _arm_of(wanted))
    if wanted.network == "teacher":
        network = of_teacher(run, fresh_network(run, run.job.recipe.teacher), wanted)
    else:
        of_each = task(run.job.recipe.meant).of_each
        network = build(wanted.network, wanted.arguments, Path(run.job.folder), data.given, of_each)
    if isinstance(of := meaning(run), SeveralOutputs):
        check_outputs(wanted.network, network, example(run, _arm_of(wanted)), of.widths)
    else:
        check_output(wanted.network, network, example(run, _arm_of(wanted)), answered(data, data.example()))
    return network


def of_teacher(run: Run, teacher: "nn.Module", wanted: Network, *, trained: bool = False) -> "nn.Module":
    """A student of some of the layers, or channels, of the `teacher` of `run`, with its weights; wanted: the student, which names them, all where it
    does not. trained: the teacher has learnt, so that a loss tells what counts of it. Raises UsageError, CaptureError."""
    from edgecomp.models.layers import keep_layers

    layers = wanted.arguments.get("layers")
    network = copy.deepcopy(teacher) if layers is None else keep_layers(teacher, layers)
    if not isinstance(wanted, Student) or (prune := wanted.prune) is None:
        return network
    from edgecomp.distill.label_gradients import label_gradients
    from edgecomp.shrink.pruning import pruned

    def gradients(network: "nn.Module") -> None:
        with distillation_data(run) as data:
            label_gradients(network, data, run.job.recipe.distill.batch_size)

    of_loss = gradients if trained and prune.importance == "taylor" else None
    return pruned(network, list(example(run).values()), prune.share, of_loss)


def first_student(run: Run) -> "nn.Module":
    """The student of `run` before it is trained: fresh, or with its teacher's weights."""
    student = run.job.recipe.student
    if run.job.recipe.distill.lifelong is not None:
        return old_student(run)
    network = fresh_network(run, student)
    return (
        of_teacher(run, trained_teacher(run), student, trained=True)
        if student.network == "teacher"
        else network
    )


def old_student(run: Run) -> "nn.Module":
    """The student of `run` as it was before it learnt new classes, in evaluation mode."""
    from edgecomp.training.loop import load_weights

    network = fresh_network(run, run.job.recipe.student)
    network.load_state_dict(load_weights(run.folder / OLD / "student_fp32.safetensors"))
    return network.eval()


def old_classes(run: Run) -> list[int]:
    """The numbers of the classes that the student of `run` knew before; none where it is not one that goes on. Raises DataError."""
    from edgecomp.distill.lifelong import numbers_of

    asked = run.job.recipe.distill.lifelong
    return [] if asked is None else numbers_of(asked.old_classes, preprocessing(run).classes)


def check_ready_made(run: Run, network: "nn.Module", wanted: Network) -> None:
    """Raises UsageError where a teacher that is taken as it is, `network`, `wanted` in a recipe, cannot have been trained for the
    classes of `run`."""
    if wanted.network.startswith("hf:"):
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
    """The graph of the fp32 student of `run`, captured once by a process; nothing is placed in it yet."""
    from edgecomp.quantization.capture import captured_once

    network = student_fp32(run)  # a step draws its random numbers from here on, whether it captures or not
    weights = run.folder / arms.STUDENT_FP32.steps[-1] / "student_fp32.safetensors"
    return captured_once(weights, lambda: captured(run, network))


def example(run: Run, arm: Arm = arms.STUDENT_FP32) -> "dict[str, torch.Tensor]":
    """Inputs of a legal shape of an arm of `run`."""
    import torch

    return {name: torch.from_numpy(values) for name, values in preprocessing(run, arm).example().items()}


def captured(run: Run, network: "nn.Module") -> "fx.GraphModule":
    """The graph of a student of `run`, `network`."""
    from edgecomp.quantization.capture import capture

    return capture(network, list(example(run).values()), preprocessing(run).dynamic_axes)


def interface(run: Run, arm: Arm = arms.STUDENT_FP32) -> "Interface":
    """The free axes of the inputs of an arm of `run`, and two batches of examples of different sizes, for exports."""
    from edgecomp.export.stage import Interface

    data = preprocessing(run, arm)
    outputs = tuple(sorted(run.job.recipe.tasks)) or (ONE,)
    return Interface(data.dynamic_axes, data.example(), data.example(size=3, longer=3), outputs)


def probes(run: Run, arm: Arm = arms.STUDENT_FP32) -> "Inputs":
    """Inputs of an arm from the training split of `run`, which files are compared on."""
    from edgecomp.data.splits import Split
    from edgecomp.export.stage import PROBES

    return preprocessing(run, arm).apply(Split.load(run.folder / "data", "train").first(PROBES).arrays)


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
    path, quantize = run.made("precision") / "precision.json", run.job.recipe.quantize
    if not (quantize.trains or quantize.drops_layers):
        return quantize.float_layers
    found: dict[str, str] = read_mapping(path, "float_layers")["float_layers"]
    return found


def views(run: Run, arm: Arm = arms.STUDENT_FP32, *, blended: bool = True) -> "Views":
    """The training and validation splits of `run`, as its recipe varies them, for an arm's network. blended: with examples of different classes
    as one, where it asks for that; they have no hard label."""
    from edgecomp.data.splits import Split
    from edgecomp.data.views import Views
    from edgecomp.pipeline.taken.augmenting import augmentation

    folder = run.folder / "data"
    return Views(
        train=Split.load(folder, "train"),
        validation=Split.load(folder, "validation"),
        preprocessing=preprocessing(run, arm),
        augmentation=augmentation(run.job.recipe, folder, blended=blended),
    )


@contextmanager
def distillation_data(run: Run) -> "Iterator[DistillationData]":
    """What a student of `run` learns from: its data, and the teacher's soft labels, in a file that is open
    meanwhile."""
    from edgecomp.data import label_store
    from edgecomp.data.splits import Split
    from edgecomp.distill.data import DistillationData
    from edgecomp.distill.lifelong import new_places

    recipe, own, asked = run.job.recipe, views(run), run.job.recipe.distill.lifelong
    only = None
    if asked is not None:
        only = new_places(own.train.labels, old_classes(run), asked.replay, recipe.seed)
    with label_store.opened(run.folder / "soft_labels") as stored:
        yield DistillationData(
            views=own,
            calibration_split=Split.load(run.folder / "data", "calibration"),
            soft_labels=stored,
            task=meaning(run),
            seed=recipe.seed if recipe.student.seed is None else recipe.student.seed,
            weights=example_weights(run),
            only=only,
            token_weights=token_weights(run),
        )


def example_weights(run: Run) -> "npt.NDArray[np.float32] | None":
    """What each training example of `run` counts; None where all count the same. Raises DataError."""
    from edgecomp.data.preprocessing import TOKENIZER
    from edgecomp.data.splits import Split
    from edgecomp.distill.example_weights import example_weights

    asked, folder = run.job.recipe.distill, run.folder / "data"
    balance = None if asked.balance is None else asked.balance.model_dump()
    train = Split.load(folder, "train")
    return example_weights(
        train,
        balance=balance,
        keywords=asked.keywords,
        tokenizer=folder / TOKENIZER,
        all_there=run.job.recipe.data.limit is None,
    )


def token_weights(run: Run) -> "npt.NDArray[np.float32] | None":
    """What each token of the training texts of `run` counts where attention is compared; None where all count the same."""
    from edgecomp.data.preprocessing import TOKENIZER
    from edgecomp.data.splits import Split
    from edgecomp.distill.example_weights import token_weights

    if not (keywords := run.job.recipe.distill.keywords):
        return None
    return token_weights(Split.load(run.folder / "data", "train"), keywords, run.folder / "data" / TOKENIZER)


def loss(run: Run, *, trained: bool = True) -> "Loss":
    """The loss that the fp32 and the fake-quant student of `run` share. trained: of the trained teacher,
    where a term looks inside it; else of a fresh one."""
    from edgecomp.distill.losses import Loss, build
    from edgecomp.distill.losses.own.of_old import OfOld

    recipe = run.job.recipe
    teacher = _looked_into(trained_teacher if trained else lambda run: fresh_network(run, recipe.teacher))
    found, asked = (
        build(recipe.distill.model_dump(), meaning(run), lambda: teacher(run)),
        recipe.distill.lifelong,
    )
    if asked is None:
        return found
    old = old_student(run) if trained else fresh_network(run, recipe.student)
    return Loss((*found.terms, OfOld(old, old_classes(run), asked.weight, asked.temperature)))


def _looked_into(teacher: "Callable[[Run], nn.Module]") -> "Callable[[Run], nn.Module]":
    """`teacher`, whose insides a term compares with the student's in every step. Raises UsageError where they read other inputs."""

    def checked(run: Run) -> "nn.Module":
        if reads_otherwise(run):
            raise UsageError("a term of the loss looks inside the teacher, which reads other inputs than the student (data.max_bytes, teacher.inputs, "
                             "student.inputs): its soft labels can teach such a student (losses of logits), its hidden states cannot: take the term out")  # fmt: skip
        return teacher(run)

    return checked


NETWORKS: "dict[Arm, Callable[[Run], nn.Module]]" = {  # what a run has trained, loaded
    arms.TEACHER: trained_teacher,
    arms.STUDENT_FP32: student_fp32,
    arms.STUDENT_INT8: lambda run: student_int8(run, tuple(float_layers(run))),
    arms.CONTROL: student_control,
}
