"""How a network is trained beside its loss, optimiser and schedule: precision, parts of a batch, and what ends it early."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from edgecomp.progress import Note, unheard
from edgecomp.training.optimizers import OPTIMIZERS
from edgecomp.training.schedules import LEARNING_RATES, Factor

Precision = Literal["fp32", "bf16", "fp16"]
Action = Literal["stop", "warn", "ignore"]
Judge = Callable[[int, Mapping[str, float]], None]
"""Told after each epoch how many are done, and the figures of the last one. What it raises ends the training, before that epoch is kept."""


def nobody(done: int, figures: Mapping[str, float]) -> None:
    """A Judge of nothing: `done` and `figures` are not looked at."""


@dataclass(frozen=True)
class Practice:
    """What a recipe's `loop` says, with today's values where it says nothing.

    precision: of forward passes, under autocast; accumulation: equal parts that a batch is taken in, one after another; clip_norm: what
    the gradient's norm is cut to, None for nothing; patience: epochs without a better validation score, after which training ends with
    the best weights, None for never; optimizer, schedule: rows of OPTIMIZERS and LEARNING_RATES; warmup: the share of training that is
    warm-up; alarms: by name of `alarms.ALARMS` what is done; trackers: that are told of each epoch, by Accelerate's names; folder: of
    the table of epochs and of what trackers write, None for neither; note: hears of alarms; judge: of each epoch.
    """

    precision: Precision = "fp32"
    accumulation: int = 1
    clip_norm: float | None = None
    patience: int | None = None
    optimizer: str = "adamw"
    schedule: str = "one-cycle"
    warmup: float = 0.15
    alarms: Mapping[str, Action] = field(default_factory=dict)
    trackers: tuple[str, ...] = ()
    folder: Path | None = None
    note: Note = unheard
    judge: Judge = nobody

    @property
    def factor(self) -> Factor:
        """On the learning rate's peak, of the share of training that is done."""
        return LEARNING_RATES[self.schedule](self.warmup)

    def optimiser(self, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """Of parameter `groups`, each with its learning rate's peak and its weight decay."""
        return OPTIMIZERS[self.optimizer](groups)


PLAIN = Practice()
