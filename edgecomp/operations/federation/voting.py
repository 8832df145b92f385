"""What clients answered, as one answer: the mean of their probabilities, or the class with the most votes, counted under noise that hides each client.

The second is the Gaussian NoisyMax of Papernot et al. 2018 (Scalable Private Learning with PATE, arXiv:1802.08908): of each example the class of the
largest noisy count is released, and nothing else.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

CHOSEN = 10.0  # the logit of a class that was voted for; of the others it is 0

Logits = npt.NDArray[np.float64]
Drawn = Callable[[tuple[int, ...]], Logits]


def checked(answers: Any, rows: int, classes: int, who: str) -> Logits:
    """The `answers` of `who`, logits [rows, classes]. Raises ValueError where they are of another shape or not finite."""
    found = np.asarray(answers, np.float64)
    if found.shape != (rows, classes):
        raise ValueError(
            f"{who} gave {list(found.shape)} for {rows} examples of {classes} classes: wanted are logits [{rows}, {classes}]"
        )
    if not np.isfinite(found).all():
        place = int(np.argwhere(~np.isfinite(found).all(axis=1))[0, 0])
        raise ValueError(f"{who} gave numbers that are not finite for example {place} (from 0)")
    return found


def mean(logits: Sequence[Logits]) -> Logits:
    """Logits [N, classes] whose probabilities are the mean of the clients'. logits: of each client, [N, classes]."""
    total = np.stack([one - np.logaddexp.reduce(one, axis=1, keepdims=True) for one in logits])
    return np.asarray(np.logaddexp.reduce(total, axis=0))


def votes(chosen: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.int64]:
    """How many clients chose each class, [N, classes]. chosen: the class of each client's answer, [clients, N], below `classes`."""
    return np.asarray((chosen[:, :, None] == np.arange(classes)).sum(axis=0), np.int64)


def most_votes(counts: npt.NDArray[np.int64], sigma: float, drawn: Drawn | None = None) -> Logits:
    """Logits [N, classes], CHOSEN for the class of the largest noisy count. counts: as `votes` has them; sigma: the noise's standard deviation, in votes;
    drawn: standard normal numbers of a shape, by default from the operating system's random numbers."""
    noisy = counts + sigma * (drawn or normal)(counts.shape)
    return np.asarray(CHOSEN * (noisy.argmax(axis=1)[:, None] == np.arange(counts.shape[1])))


def normal(shape: tuple[int, ...]) -> Logits:
    """Standard normal numbers of that `shape`, of the operating system's random bytes (Box & Muller 1958): nobody who knows some of them can tell others."""
    count = int(np.prod(shape))
    drawn = np.frombuffer(os.urandom(16 * count), np.uint64).reshape(2, count)
    radius, turn = ((drawn >> np.uint64(11)) + 0.5) / 2**53
    return np.asarray((np.sqrt(-2 * np.log(radius)) * np.cos(2 * np.pi * turn)).reshape(shape))
