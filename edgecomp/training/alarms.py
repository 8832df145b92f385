"""Alarms: what goes wrong in training, by what an epoch came to. Each is a row of ALARMS: its rule, and what to say.

A rule is a pure function of the epochs so far and what they began with; it gives what is wrong, as a number, or None. The limits are set
so that no clean training raises one: tests/unit/training/test_alarms.py draws 300 of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil

Epoch = Mapping[str, float]

NORM, FIRST_NORMS, LARGEST_NORM = "gradient_norm", "gradient_norm_first", "gradient_norm_max"
RATE, LOSS, SCORE, AGREEMENT = "learning_rate", "loss", "validation_score_pct", "agreement_pct"
STAGE = "stage"
"""Which of a training's stages an epoch is of, from 1."""
RAISED = "alarm: "
"""Before an alarm's name, in a history: what it was raised at."""

EXPLODES = 100.0  # times what gradients began with
VANISHES = 1e-9  # of the loss: a gradient that changes nothing
COLLAPSES = 1e-3  # of what a divergence began with
UNLIKE_PCT = 90.0  # of answers like the teacher's: where a divergence may not be nothing
STANDS, STANDS_FOR = 0.01, 4  # the share of the loss, and epochs
SCARCE = 0.04  # of memory
FIRST = 10  # steps that gradients begin with


def exploding_gradient(epochs: Sequence[Epoch]) -> float | None:
    """How many times the norm of gradients as they began, the largest of them in the last of `epochs` is, where that is EXPLODES."""
    began = max(epoch.get(FIRST_NORMS, 0.0) for epoch in epochs[:-1] or epochs)
    times = epochs[-1][LARGEST_NORM] / began if began > 0 else 0.0
    return times if times > EXPLODES else None


def vanishing_gradient(epochs: Sequence[Epoch]) -> float | None:
    """The median norm of gradients in the last of `epochs`, where that is nothing beside the loss, and the loss is near where it began."""
    norm, loss = epochs[-1][NORM], abs(epochs[-1][LOSS])
    near = loss > 0.5 * abs(epochs[0][LOSS]) and _unlike(epochs[-1])
    return norm if norm < VANISHES * loss and near else None


def stuck_loss(epochs: Sequence[Epoch]) -> float | None:
    """The loss of the last of `epochs`, where none was lower than the first's by STANDS in STANDS_FOR of them and more, nor was the score better."""
    if len(epochs) < STANDS_FOR or not _unlike(epochs[-1]):
        return None
    first = epochs[0]
    lowest, best = min(epoch[LOSS] for epoch in epochs), max(epoch[SCORE] for epoch in epochs)
    moved = first[LOSS] - lowest > STANDS * abs(first[LOSS]) or best > first[SCORE] + 1
    return None if moved else epochs[-1][LOSS]


def collapsed_divergence(term: str, epochs: Sequence[Epoch]) -> float | None:
    """What a divergence from the teacher, `term`, came to in the last of `epochs`, where it is nothing although answers are unlike the teacher's."""
    if term not in epochs[-1] or term not in epochs[0] or AGREEMENT not in epochs[-1]:
        return None
    value = epochs[-1][term]
    return value if abs(value) <= COLLAPSES * abs(epochs[0][term]) + 1e-9 and _unlike(epochs[-1]) else None


def _unlike(epoch: Epoch) -> bool:
    """Whether answers are unlike the teacher's, or nobody knows."""
    return epoch.get(AGREEMENT, 0.0) < UNLIKE_PCT


class Alarm(NamedTuple):
    """rule: of the epochs so far; says: what it means, `{}` where the number goes, and what to try."""

    rule: Callable[[Sequence[Epoch]], float | None]
    says: str


ALARMS: dict[str, Alarm] = {
    "exploding_gradient": Alarm(
        exploding_gradient,
        "a gradient was {:.3g} times as large as the first ones: lower the learning rate, or set clip_norm",
    ),
    "vanishing_gradient": Alarm(
        vanishing_gradient,
        "gradients have vanished, their norm is {:.3g}: look at activations that saturate, at what is frozen, and at the weights of terms",
    ),
    "stuck_loss": Alarm(
        stuck_loss,
        "the loss does not move, it is {:.6g}: raise the learning rate, and look at what is frozen and at the labels",
    ),
}
"""By the name that a recipe has, what is watched in every training. Not finite numbers, a collapsed divergence and memory are watched besides."""

NOT_FINITE, COLLAPSED, MEMORY = "not_finite", "collapsed_divergence", "memory"
STOPS = (NOT_FINITE,)  # where a recipe says nothing; all others warn
SAYS_COLLAPSED = (
    "{} is {:.3g} although answers are unlike the teacher's: lower its temperature, and look at its weight"
)
SAYS_MEMORY = (
    "{:.1f} % of the memory is left: lower the batch size, or take batches in parts (gradient_accumulation)"
)


def raised(epochs: Sequence[Epoch], divergences: Sequence[str] = ()) -> dict[str, tuple[float, str]]:
    """By name, the alarms of the last of `epochs`, each with its number and a sentence: beside those of its own stage. divergences: keys of
    terms that are divergences from the teacher, with weights that do not change."""
    epochs = [epoch for epoch in epochs if epoch.get(STAGE) == epochs[-1].get(STAGE)]
    found = {}
    for name, alarm in ALARMS.items():
        value = alarm.rule(epochs)
        if value is not None:
            found[name] = value, alarm.says.format(value)
    for term in divergences:
        value = collapsed_divergence(term, epochs)
        if value is not None:
            found[COLLAPSED] = value, SAYS_COLLAPSED.format(term, value)
    return found


def scarce_memory(left: float) -> tuple[float, str] | None:
    """The share of memory that is `left`, in per cent, with a sentence, where that is little."""
    return (100 * left, SAYS_MEMORY.format(100 * left)) if left < SCARCE else None


def norms_of(norms: Sequence[float]) -> dict[str, float]:
    """What the norms of an epoch's gradients, a step each, come to; those that are not finite are another alarm's."""
    finite = [norm for norm in norms if math.isfinite(norm)] or [0.0]
    return {NORM: median(finite), LARGEST_NORM: max(finite), FIRST_NORMS: median(finite[:FIRST])}


def memory_left() -> float:
    """The share of memory that is free to be taken: of this machine's, or of what a control group grants, whichever is less."""
    machine = psutil.virtual_memory()
    shares = [machine.available / machine.total]
    for limit, used, stat in CONTROL_GROUPS:
        try:
            most, held = int(limit.read_text()), int(used.read_text())
            stats = dict(line.split() for line in stat.read_text().splitlines())
        except (OSError, ValueError):  # not this kind, or no limit
            continue
        if most < machine.total:
            shares.append((most - held + int(stats.get("inactive_file", 0))) / most)
    return float(min(shares))


GROUP = Path("/sys/fs/cgroup")
CONTROL_GROUPS = (
    (GROUP / "memory.max", GROUP / "memory.current", GROUP / "memory.stat"),
    (
        GROUP / "memory" / "memory.limit_in_bytes",
        GROUP / "memory" / "memory.usage_in_bytes",
        GROUP / "memory" / "memory.stat",
    ),
)
"""Files of the limit, of what is used and of what that is, in version 2 and version 1."""
