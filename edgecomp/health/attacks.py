"""Inputs changed as little as a person hardly sees, so that a network answers wrongly: by its gradients, or by its answers alone.

The attacks are the Adversarial Robustness Toolbox's. Each changes no value by more than a stated strength (in the maximum norm), and what comes
out is an input of the data's own type, so that it could be a file.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from edgecomp.data.preprocessing import Numbers
from edgecomp.errors import RuntimeUnavailableError, UsageError

Array = npt.NDArray[Any]
Ask = Callable[[Array], Array]
"""Stored values of some examples → one number a class, [N, classes]."""

BY_ANSWERS = "answers"
BATCH = 64
MISSING = "health.attacks needs the Adversarial Robustness Toolbox: pip install 'edgecomp[health]'"


def check(preprocessing: object, strength: float, name: str) -> Numbers:
    """The `preprocessing` of what an attack, `name`, can change by `strength`. Raises UsageError."""
    if not isinstance(preprocessing, Numbers):
        raise UsageError(f"health.attacks.{name}: a text's tokens, or tensors of no known meaning, have no small change: take out health.attacks; "
                         "health.corruptions tries texts with typos")  # fmt: skip
    if preprocessing.kind == "image" and not 1 <= round(255 * strength, 6) < 255:
        raise UsageError(
            f"health.attacks.{name}.strength is {strength:g}: of pictures it is a share of a pixel's range, from {1 / 255:.4f} (one of 255) to 1"
        )
    return preprocessing


@dataclass(frozen=True)
class Space:
    """Where an attack moves: of pictures pixels from 0 to 1, of rows standardised columns between the least and the most of the training data.

    low, high: of a value there, by feature; strength: the most that it may change.
    """

    of: Numbers
    strength: float
    low: Array
    high: Array

    @classmethod
    def around(cls, of: Numbers, strength: float, train: Array) -> "Space":
        """of: the inputs' preprocessing; strength: the most that a value may change; train: stored values of training examples."""
        if of.kind == "image":
            return cls(of, strength, np.zeros(of.shape, np.float32), np.ones(of.shape, np.float32))
        values = of.apply({"values": train})["input"]
        low, high = values.min(axis=0), values.max(axis=0)
        same = low == high  # of a constant column ART takes no bounds
        return cls(of, strength, np.where(same, low - strength, low), np.where(same, high + strength, high))

    @property
    def ends(self) -> tuple[Any, Any]:
        """As ART takes them."""
        return (0.0, 1.0) if self.of.kind == "image" else (self.low, self.high)

    def into(self, stored: Array) -> Array:
        """`stored` values, [N, ...] → where the attack moves, float32."""
        if self.of.kind == "image":
            return np.asarray(stored / np.float32(255), np.float32)
        return np.asarray(self.of.apply({"values": stored})["input"])

    def stored(self, moved: Array) -> Array:
        """Where an attack moved → stored values, [N, ...]; pictures in whole steps of a pixel."""
        if self.of.kind == "image":
            return np.asarray(np.clip(np.rint(moved * 255), 0, 255), np.uint8)
        over = (-1, *(1 for _ in self.of.shape[1:]))
        mean, std = (np.asarray(one, np.float32).reshape(over) for one in (self.of.mean, self.of.std))
        return np.asarray(moved * std + mean, np.float32)

    def back(self, moved: Array, start: Array) -> Array:
        """`moved` as stored values, within `strength` of the stored values `start` that it comes from."""
        if self.of.kind == "image":
            most, before = int(255 * self.strength + 1e-6), start.astype(np.int64)
            return np.clip(self.stored(moved), before - most, before + most).astype(np.uint8)
        before = self.into(start)
        within = np.clip(moved, before - self.strength, before + self.strength)
        return self.stored(np.clip(within, self.low, self.high))


class _Attacked(nn.Module):
    """A network that takes what an attack moves, and answers one logit a class."""

    def __init__(self, network: nn.Module, space: Space, task: str) -> None:
        super().__init__()
        self.network, self.space, self.task = network, space, task
        over = (-1, *(1 for _ in space.of.shape[1:]))
        self.mean, self.std = (torch.tensor(one).reshape(over) for one in (space.of.mean, space.of.std))

    def forward(self, moved: torch.Tensor) -> torch.Tensor:
        is_image = self.space.of.kind == "image"
        return logits(self.network((moved - self.mean) / self.std if is_image else moved), self.task)


def logits(outputs: torch.Tensor, task: str) -> torch.Tensor:
    """A classifier's `outputs`, [N, width], as one logit a class. task: classification, binary (one logit, of the second class) or
    probabilities."""
    if task == "probabilities":
        return outputs.clamp_min(1e-12).log()
    if outputs.shape[1] == 1:
        return torch.cat([torch.zeros_like(outputs), outputs], dim=1)
    return outputs


def by_gradient(
    name: str,
    network: nn.Module,
    stored: Array,
    labels: npt.NDArray[np.int64],
    *,
    space: Space,
    task: str,
    classes: int,
    steps: int,
    seed: int,
) -> Array:
    """The `stored` values changed along the gradients of `network`, [N, ...] of the same type.

    name: `fgsm`, one step of the whole strength (Goodfellow et al. 2015, arXiv:1412.6572), or `pgd`, `steps` from a random start (Madry et al. 2018,
    arXiv:1706.06083); labels: right ones, [N], of so many `classes`; space: where it moves; task: as in `logits`; seed: the same gives the same. Raises UsageError
    where the network has no gradients, RuntimeUnavailableError without ART.
    """
    estimators, evasion = _art()
    wrapped = _Attacked(network.eval(), space, task)
    classifier = estimators.PyTorchClassifier(
        wrapped,
        loss=nn.CrossEntropyLoss(),
        input_shape=space.of.shape,
        nb_classes=classes,
        clip_values=space.ends,
        device_type="cpu",
    )
    most = space.strength
    if name == "fgsm":
        attack = evasion.FastGradientMethod(classifier, norm=np.inf, eps=most, batch_size=BATCH)
    else:
        attack = evasion.ProjectedGradientDescent(
            classifier, norm=np.inf, eps=most, eps_step=2.5 * most / steps, max_iter=steps, num_random_init=1,
            batch_size=BATCH, verbose=False,
        )  # fmt: skip
    start = space.into(stored)
    _has_gradients(wrapped, start[:1], labels[:1])
    with _seeded(seed):
        return space.back(attack.generate(start, labels), stored)


def by_answers(
    ask: Ask,
    stored: Array,
    labels: npt.NDArray[np.int64],
    *,
    space: Space,
    classes: int,
    steps: int,
    seed: int,
) -> Array:
    """The `stored` values changed by asking alone, [N, ...] of the same type: of pictures the Square Attack (Andriushchenko et al. 2020, arXiv:1912.00049),
    `steps` rounds; of rows HopSkipJump (Chen et al. 2020, arXiv:1904.02144), which looks for the nearest wrong answer.

    ask: gives the answers; labels, space, classes, seed: as in `by_gradient`. Raises RuntimeUnavailableError without ART.
    """
    estimators, evasion = _art()

    classifier = estimators.BlackBoxClassifierNeuralNetwork(
        lambda moved: ask(space.stored(moved)),
        space.of.shape,
        classes,
        channels_first=True,
        clip_values=space.ends,
    )
    sides = space.of.shape[1:] if space.of.kind == "image" else ()
    if sides and min(sides) > 1:
        # Of a narrow picture the first squares, 0.8 of its area, would be as wide as it is, which the toolbox cannot place.
        share = min(0.8, (min(sides) - 1) ** 2 / np.prod(sides))
        attack = evasion.SquareAttack(
            classifier,
            norm=np.inf,
            eps=space.strength,
            p_init=share,
            max_iter=steps,
            batch_size=BATCH,
            verbose=False,
        )
        wanted: Array = labels
    else:
        attack = evasion.HopSkipJump(
            classifier, norm=np.inf, max_iter=max(1, steps // 10), max_eval=200, init_eval=20, verbose=False
        )
        wanted = np.eye(classes, dtype=np.float32)[labels]
    with _seeded(seed):
        return space.back(attack.generate(space.into(stored), wanted), stored)


def _has_gradients(network: nn.Module, moved: Array, labels: Array) -> None:
    """Raises UsageError where the loss does not depend on the inputs, as far as gradients tell."""
    given = torch.from_numpy(moved).requires_grad_()
    loss = nn.functional.cross_entropy(network(given), torch.as_tensor(labels))
    found = torch.autograd.grad(loss, given, allow_unused=True)[0] if loss.requires_grad else None
    if found is None:
        raise UsageError(
            f"health.attacks: this network has no gradients of its inputs, so that fgsm and pgd cannot attack it: take `{BY_ANSWERS}`, which only asks"
        )


def _art() -> tuple[Any, Any]:
    """ART's estimators and attacks; its import takes seconds."""
    try:
        from art.attacks import evasion
        from art.estimators import classification
    except ImportError as error:
        raise RuntimeUnavailableError(MISSING) from error
    return classification, evasion


def check_there() -> None:
    """Raises RuntimeUnavailableError without ART."""
    if find_spec("art") is None:
        raise RuntimeUnavailableError(MISSING)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """ART draws from the global generators."""
    kept, kept_of_torch = np.random.get_state(), torch.get_rng_state()
    np.random.seed(seed)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        np.random.set_state(kept)
        torch.set_rng_state(kept_of_torch)
