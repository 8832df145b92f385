"""How a network is trained, in a recipe: `loop` of its teacher and of its student, and the stages of distillation."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from edgecomp.config.schema import Schema

Action = Literal["stop", "warn", "ignore"]


class Alarms(Schema):
    """What is done where training goes wrong: `stop` with an error and the checkpoint of the epoch before, `warn`, or `ignore`."""

    not_finite: Literal["stop", "warn"] = "stop"  # a loss or a gradient; warn: its step is left out
    exploding_gradient: Action = "warn"  # a hundred times as large as the first ones
    vanishing_gradient: Action = "warn"  # nothing beside the loss, which is not lower
    stuck_loss: Action = "warn"  # the loss does not move
    collapsed_divergence: Action = "warn"  # from the teacher: nothing, although answers are unlike its own
    memory: Action = "warn"  # about to run out


class Loop(Schema):
    """How steps are taken, and what ends training early. What is not said is as it was before there was a choice."""

    optimizer: Literal["adamw", "sgd", "nadam", "radam", "muon"] = "adamw"  # by name
    # of the learning rate; through fake-quant it is a cosine
    schedule: Literal["one-cycle", "cosine", "warm-up", "constant"] = "one-cycle"
    warmup: float = Field(0.15, ge=0, lt=1)  # the share of training that is warm-up: of one-cycle and warm-up
    gradient_accumulation: int = Field(1, ge=1, le=4096)  # parts that a batch is taken in, to save memory
    clip_norm: float | None = Field(None, gt=0, le=1e9)  # what the norm of all gradients is cut to
    # epochs without a better validation score, after which the best weights are taken
    patience: int | None = Field(None, ge=1, le=10_000)
    alarms: Alarms = Alarms()  # what is done where training goes wrong
    # that are told of each epoch, by Accelerate; without it tensorboard, where it is installed
    trackers: list[Literal["tensorboard", "wandb", "mlflow"]] | None = None


PLAIN = Loop()


class Stage(Schema):
    """A part of fp32 training, in epochs: which terms are learnt, and which modules of the student stand still."""

    epochs: int = Field(ge=1, le=10_000)  # how long
    # by place in distill.terms (from 0), or by name; without any, all
    terms: list[int | str] = []
    frozen: list[str] = []  # patterns of module paths: `classifier`, `layers.*`


def unlike(stages: Sequence[Stage], epochs: int) -> str:
    """What is wrong with the length of `stages`, of so many `epochs` of fp32 training; nothing where it is right."""
    length = sum(stage.epochs for stage in stages)
    if not stages or length == epochs:
        return ""
    longer = "longer" if length > epochs else "shorter"
    return f"stages last {length} epochs and are {longer} than the training, epochs: {epochs}: let them add up to it"


def parts_do_not_fit(loop: Loop, batch_size: int) -> str:
    """What is wrong with the parts that a batch of `batch_size` is taken in, as `loop` says; nothing where it is right."""
    parts = loop.gradient_accumulation
    if batch_size % parts == 0:
        return ""
    return f"loop.gradient_accumulation: a batch of {batch_size} cannot be taken in {parts} equal parts: take a divisor of batch_size"


def without_plain(found: dict[str, Any]) -> dict[str, Any]:
    """A section's values, `found`, without a `loop`, `stages` and `inputs` that say nothing, so that digests of recipes stay what they were."""
    plain = {"loop": PLAIN.model_dump(mode="json"), "stages": [], "inputs": []}
    return {key: value for key, value in found.items() if key not in plain or value != plain[key]}
