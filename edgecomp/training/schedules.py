"""Numbers that change while a network is trained: from a start to an end, over the share of training that is done."""

import math
from collections.abc import Callable, Mapping
from typing import Any

SHAPES: dict[str, Callable[[float, int], float]] = {
    "linear": lambda done, steps: done,
    "cosine": lambda done, steps: 0.5 * (1 - math.cos(math.pi * done)),
    "steps": lambda done, steps: min(math.floor(done * steps), steps - 1) / (steps - 1),
}
"""By name: the share of the way that is gone, from 0 to 1, where a share of training is done; `steps` levels are stood on equally long."""

Scheduled = float | Mapping[str, Any]
"""A number, or `{start, end, shape, steps}`, as a recipe has it."""


def at(value: Scheduled, done: float) -> float:
    """What `value` is when a share of training, `done` in [0, 1], is over."""
    if not isinstance(value, Mapping):
        return value
    gone = SHAPES[value["shape"]](done, value["steps"])
    return float(value["start"] + (value["end"] - value["start"]) * gone)


def all_at(values: Mapping[str, Scheduled], done: float) -> dict[str, float]:
    """Of each of `values`, what it is when a share of training, `done`, is over."""
    return {name: at(value, done) for name, value in values.items()}


Factor = Callable[[float], float]
"""Of the share of training that is done, in [0, 1): a factor on the learning rate's peak."""


def one_cycle(warmup: float = 0.15) -> Factor:
    """Linear warm-up to the peak, then a half cosine to zero (Smith & Topin 2017, arXiv:1708.07120).

    warmup: its share of training, from 5 % of the peak.
    """

    def factor(done: float) -> float:
        if done < warmup:
            return 0.05 + 0.95 * done / warmup
        return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))

    return factor


def cosine(done: float) -> float:
    """A half cosine from 1 to 0. done: the share of training, in [0, 1)."""
    return 0.5 * (1 + math.cos(math.pi * done))


def warm_up(warmup: float = 0.15) -> Factor:
    """Linear warm-up to the peak, which is kept. warmup: its share of training, from 5 % of the peak."""
    return lambda done: 0.05 + 0.95 * done / warmup if done < warmup else 1.0


LEARNING_RATES: dict[str, Callable[[float], Factor]] = {
    "one-cycle": one_cycle,
    "cosine": lambda warmup: cosine,
    "warm-up": warm_up,
    "constant": lambda warmup: lambda done: 1.0,
}
"""By the name that a recipe has (`schedule`): of the share of training that is warm-up, the factor on the peak; where there is none it is not read."""
