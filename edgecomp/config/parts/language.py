"""What a recipe says of a language model alone (task: causal-lm), and what of the rest is not for one."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from edgecomp.config.schema import Part
from edgecomp.runtimes import TABLE

if TYPE_CHECKING:
    from edgecomp.config.recipe import Recipe
    from edgecomp.config.target import Target

TASK = "causal-lm"


class Language(Part):
    """Of `task: causal-lm`: what is learnt of the teacher, how weights are grouped, and what is measured of text that is generated.

    `distill.temperature` and `distill.hard_label_weight` weigh the teacher's soft labels against the tokens that came; `quantize.weight_bits` are
    of all layers but embeddings and the last, which have 8.
    """

    # kl: of the teacher from the student, forward; reverse-kl: the other way round; jsd: the generalised Jensen-Shannon divergence
    loss: Literal["kl", "reverse-kl", "jsd"] = "kl"
    jsd_beta: float = Field(0.5, gt=0, lt=1)  # of jsd: what the teacher weighs in the mixture
    top_k: int = Field(64, ge=1, le=4096)  # tokens that are kept of what the teacher says at each place
    # teacher-texts: what the teacher says to the training prompts is learnt, not what the data say (sequence-level distillation)
    learn_from: Literal["data", "teacher-texts"] = "data"
    teacher_tokens: int = Field(64, ge=1, le=8192)  # of a text that the teacher generates, at most
    packed: bool = True  # texts behind each other fill rows of data.max_length; never prompts with answers
    group_size: Literal[32, 64, 128] = 32  # weights that share a scale; divides the inputs of every layer
    prompt_tokens: list[int] = Field(
        [32, 128], min_length=1
    )  # lengths of prompts that are measured; the first is judged
    new_tokens: int = Field(16, ge=2, le=8192)  # that are generated after each
    generations: int = Field(
        8, ge=1
    )  # in each restart, of each length of a prompt; bench.iterations are of the first token alone
    parity_texts: int = Field(
        16, ge=1
    )  # of the validation split, that the exported folder is held against the student by


OTHERS = {
    "data": (
        "tokenizer",
        "image_size",
        "mode",
        "max_bytes",
        "tensors",
        "mean",
        "std",
        "shift",
        "flip",
        "fewest",
        "slice",
        "clean",
    ),
    "distill": ("hidden", "terms", "stages", "exits", "balance", "keywords", "lifelong"),
    "quantize": (
        "baselines",
        "float_layers",
        "precision_by",
        "cascade",
        "max_drop",
        "activation_bits",
        "simulate",
        "percentile",
        "calibration_batches",
        "kernel",
        "freeze_scales_epochs",
        "freeze_batchnorm_epochs",
        "ptq_minutes",
    ),
    "": ("score", "teachers", "health", "ungated_targets"),
}
"""By part of a recipe, the settings that a language model does not take."""


def unlike(recipe: "Recipe") -> Iterator[str]:
    """What is wrong with a `recipe` by its task: settings that a language model does not take, or takes alone."""
    if recipe.task != TASK:
        if recipe.language is not None:
            yield f"language: of task: {TASK}, and this is {recipe.task}: take it out"
        if recipe.teacher.network.endswith(".gguf"):
            yield f"teacher.network: a GGUF file is a language model: task: {TASK}"
        return
    for part, names in OTHERS.items():
        of: Any = getattr(recipe, part) if part else recipe
        for name in names:
            if getattr(of, name) != type(of).model_fields[name].get_default(call_default_factory=True):
                yield f"{part and part + '.'}{name}: not of task: {TASK}: take it out"
    if recipe.data.source != "huggingface":
        yield f"data.source: texts for task: {TASK} are tables: huggingface"
    if not recipe.teacher.network.startswith("hf:"):
        yield f"teacher.network: {recipe.teacher.network!r} is no language model: 'hf:FOLDER' or 'hf:FILE.gguf'"
    if recipe.student.network != "teacher":
        yield "student.network: of a language model some layers of its teacher: `network: teacher`, arguments: {layers: [0, 2, 5]}, or how many"
    if recipe.quantize.method not in ("qad", "none"):
        yield f"quantize.method: {recipe.quantize.method} is not of task: {TASK}: take qad or none"
    if recipe.quantize.weight_bits == 2:
        yield "quantize.weight_bits: GenAI runtimes take weights of 8 and of 4 bits"


def unlike_targets(recipe: "Recipe", targets: "list[Target]") -> list[str]:
    """That a target among `targets` runs no model such as that of `recipe`."""
    generates = recipe.task == TASK
    fit = " and ".join(name for name, row in TABLE.items() if row.generates == generates and row.scripted)
    return [
        f"targets: {target.name} runs {target.runtime}, and task: {recipe.task} takes {fit}"
        for target in targets
        if TABLE[target.runtime].generates != generates
    ]
