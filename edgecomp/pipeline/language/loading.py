"""What earlier steps of a language model's run have made, and what its recipe asks of later ones, as plain arguments."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecomp import arms
from edgecomp.arms import Arm
from edgecomp.config.parts.language import Language
from edgecomp.errors import DataError, UsageError
from edgecomp.pipeline import loaders, practice
from edgecomp.pipeline.loaders import Run

if TYPE_CHECKING:
    from edgecomp.benchmark.language import Choices
    from edgecomp.config.parts.loop import Loop
    from edgecomp.language.models import LanguageModel
    from edgecomp.language.texts import Row, Tokens
    from edgecomp.language.training import Course

MODEL = "model"
"""The Hugging Face folder in a step's."""
ROUNDED = "student_rounded.safetensors"


def settings(run: Run) -> Language:
    """What the recipe of `run` says of its language model, as it is where it says nothing."""
    return run.job.recipe.language or Language()


def place_of_teacher(run: Run) -> Path:
    """The folder or the GGUF file that the teacher of `run` comes from. Raises UsageError where there is none here."""
    from edgecomp.models.references import PREFIX, resolve

    reference = run.job.recipe.teacher.network
    place = Path(resolve(reference.removeprefix(PREFIX), Path(run.job.folder)))
    if not place.exists():
        raise UsageError(
            f"teacher.network: {reference}: no such folder, and a language model is read from a local folder, or from a GGUF file"
        )
    return place


def ready_teacher(run: Run) -> "tuple[LanguageModel, Any]":
    """The teacher of `run` as it came, and its tokenizer, with the number of threads that the recipe has. Raises UsageError."""
    import torch

    from edgecomp.language.models import load

    torch.set_num_threads(loaders.training_threads(run))
    torch.manual_seed(run.job.recipe.seed)
    return load(place_of_teacher(run))


def of_step(run: Run, step: str) -> "tuple[LanguageModel, Any]":
    """The model that a step of `run` has kept, and its tokenizer."""
    import torch

    from edgecomp.language.models import load

    torch.set_num_threads(loaders.training_threads(run))
    return load(run.folder / step / MODEL)


def student_int8(run: Run) -> "LanguageModel":
    """The student of `run` that was trained through its integers."""
    from edgecomp.training.loop import load_weights

    asked = run.job.recipe.quantize
    network = rounded(
        of_step(run, arms.STUDENT_FP32.steps[0])[0], asked.weight_bits, settings(run).group_size
    )
    network.load_state_dict(load_weights(run.folder / arms.STUDENT_INT8.steps[0] / ROUNDED))
    return network.eval()


def rounded(network: "LanguageModel", bits: int, group: int) -> "LanguageModel":
    """`network` with weights rounded to `bits` by groups of `group`."""
    from edgecomp.language.models import LanguageModel
    from edgecomp.language.weights import rounded as of

    found = of(network, bits, group)
    assert isinstance(found, LanguageModel)
    return found


def network_of(run: Run, arm: Arm) -> "tuple[LanguageModel, Any]":
    """The model of an arm of `run`, and its tokenizer."""
    if arm is arms.STUDENT_INT8:
        return student_int8(run), of_step(run, arms.STUDENT_FP32.steps[0])[1]
    return of_step(run, arm.steps[0])


def measured(run: Run) -> list[Arm]:
    """The arms of `run` that are measured under each target."""
    return arms.measured(run.job.recipe.quantize, gated=True)


def rows(run: Run) -> "dict[str, list[Row]]":
    """By split, what the data of `run` say, in the order in which its splits have them; without reasoning where that is left out. Raises DataError."""
    from edgecomp.language import texts

    asked, recipe = run.job.recipe.data, run.job.recipe
    read = texts.read(loaders.wanted(recipe), Path(run.job.folder))
    if settings(run).reasoning == "strip":
        stripped = {name: texts.stripped(own) for name, own in read.items()}
        if gone := sum(len(own) - len(stripped[name]) for name, own in read.items()):
            run.note(
                f"data: {gone} answers that are empty without their reasoning, or whose reasoning has no end, are left out"
            )
        read = stripped
    return texts.split(
        read,
        validation=asked.validation_fraction,
        test=asked.test_fraction,
        limit=asked.limit,
        seed=recipe.seed,
    )


def choices(run: Run, tokenizer: Any) -> "Choices | None":
    """The test prompts of `run` with each answer that may be chosen, as tokens of the `tokenizer`, where its recipe names some. Raises DataError."""
    from edgecomp.benchmark.language import Choices
    from edgecomp.inputs import MASK
    from edgecomp.language import texts

    asked = settings(run)
    if not asked.choices:
        return None
    length = run.job.recipe.data.max_length
    each, right, gone = texts.with_choices(rows(run)["test"], asked.choices, tokenizer, length)
    if gone:
        run.note(
            f"language.choices: {gone} test prompts have no room for an answer within {length} tokens, and are left out"
        )
    return Choices(
        [{"input_ids": one.input_ids, MASK: one.mask} for one in each], [one.labels for one in each], right
    )


def tokens(run: Run, split: str) -> "Tokens":
    """A split of `run` as its data step wrote it. Raises FileError."""
    from edgecomp.language.texts import Tokens

    return Tokens.load(run.folder / "data" / f"{split}.npz")


def learnt_tokens(run: Run) -> "Tokens":
    """What the student of `run` learns: the training split, or what the teacher said to it."""
    from edgecomp.language.texts import Tokens

    said = run.folder / "soft_labels" / "texts.npz"
    return Tokens.load(said) if settings(run).learn_from == "teacher-texts" else tokens(run, "train")


def course(
    run: Run,
    *,
    epochs: int,
    learning_rate: float,
    loop: "Loop",
    batch_size: int,
    weight_decay: float,
    seed: int,
    then: bool = False,
) -> "Course":
    """How a model of `run` is trained: epochs, batch_size, learning_rate, weight_decay and seed as `Course` has them, `loop` as its recipe. then: after another training, with its peak at the start."""
    from dataclasses import replace

    from edgecomp.language.training import Course
    from edgecomp.training.schedules import cosine

    how = practice.practice(run, loop)
    if then:
        how = replace(how, alarms={**how.alarms, "stuck_loss": "ignore"})  # it has learnt
    return Course(
        epochs,
        batch_size,
        learning_rate,
        weight_decay,
        seed,
        how,
        cosine if then else how.factor,
        run.job.recipe.quantize.scale_learning_rate,
    )


def file_of(run: Run, arm: Arm, runtime: str) -> Path:
    """The file of an arm of `run` that a runtime is given, where it was exported."""
    from edgecomp.runtimes import TABLE

    return run.folder / "export" / runtime / arm.name / TABLE[runtime].model_file


def check_context(length: int, asked: Mapping[str, int], most: int) -> None:
    """Raises DataError where a text of `length` tokens, or one of those that are `asked` for, by the setting, is longer than the model's context, `most`."""
    for name, tokens in {"data.max_length": length, **asked}.items():
        if tokens > most:
            raise DataError(
                f"{name}: {tokens} tokens are more than the teacher's context of {most}: take fewer"
            )
