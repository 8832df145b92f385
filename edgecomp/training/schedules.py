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
