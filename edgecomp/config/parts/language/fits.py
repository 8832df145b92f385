"""What of a recipe is not for a language model, and what is for one alone."""

from collections.abc import Iterator
from typing import Any

from edgecomp.config.parts.language import TASK
from edgecomp.config.recipe import Recipe
from edgecomp.config.target import Target
from edgecomp.runtimes import TABLE

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
        "augment",
        "synthesis",
        "views",
        "calibration_fraction",
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
        "bias_correction",
        "calibration_batches",
        "kernel",
        "freeze_scales_epochs",
        "freeze_batchnorm_epochs",
        "ptq_minutes",
    ),
    "student": ("prune", "inputs"),
    "teacher": ("arguments", "inputs"),
    "": ("score", "teachers", "health", "search", "ungated_targets"),
}
"""By part of a recipe, the settings that a language model does not take."""


def unlike(recipe: Recipe) -> Iterator[str]:
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
    if recipe.quantize.calibration != ("min-max" if recipe.quantize.weight_bits == 8 else "mse"):
        yield f"quantize.calibration: not of task: {TASK}: take it out"  # what a recipe has that says nothing of it
    if recipe.data.source != "huggingface":
        yield f"data.source: texts for task: {TASK} are tables: huggingface"
    if not recipe.teacher.network.startswith("hf:"):
        yield f"teacher.network: {recipe.teacher.network!r} is no language model: 'hf:FOLDER' or 'hf:FILE.gguf'"
    if recipe.student.network != "teacher":
        yield "student.network: of a language model some layers of its teacher: `network: teacher`, arguments: {layers: [0, 2, 5]}, or how many"
    for name in sorted(recipe.student.arguments.keys() - {"layers"}):
        yield f"student.arguments.{name}: of a language model's student only layers are chosen: take it out"
    if recipe.quantize.method not in ("qad", "none"):
        yield f"quantize.method: {recipe.quantize.method} is not of task: {TASK}: take qad or none"
    if recipe.quantize.weight_bits == 2:
        yield "quantize.weight_bits: GenAI runtimes take weights of 8 and of 4 bits"


def unlike_targets(recipe: Recipe, targets: list[Target]) -> list[str]:
    """That a target among `targets` runs no model such as that of `recipe`."""
    generates = recipe.task == TASK
    fit = " and ".join(name for name, row in TABLE.items() if row.generates == generates and row.scripted)
    return [
        f"targets: {target.name} runs {target.runtime}, and task: {recipe.task} takes {fit}"
        for target in targets
        if TABLE[target.runtime].generates != generates
    ] + [
        f"targets: {target.name} is a device, {target.host}, and a language model is measured on this machine alone: take out its `host`"
        for target in targets
        if generates and target.host is not None
    ]
