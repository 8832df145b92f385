"""A robust network and a brittle one are told apart by each attack; strengths are kept; what cannot be attacked is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgecomp.data.preprocessing import Numbers, Tokens
from edgecomp.errors import UsageError
from edgecomp.health import attacks
from edgecomp.health.attacks import Space, by_answers, by_gradient

pytest.importorskip("art", reason="pip install 'edgecomp[health]'")

STRENGTH = 8 / 255
LABELS = (np.arange(40) % 2).astype(np.int64)


def pictures() -> tuple[Numbers, Any]:
    """The class is in the first row, black or white, and in the third, by four steps of 255. (The toolbox's squares never reach the last.)"""
    values = np.full((40, 1, 4, 4), 128, np.uint8)
    values[:, :, 0] = (255 * LABELS)[:, None, None]
    values[:, :, 2] = (126 + 4 * LABELS)[:, None, None]
    return Numbers("image", (1, 4, 4), (0.5,), (0.25,), ("a", "b")), values


class Reads(nn.Module):
    """Answers by one row of a picture, or one column of a table."""

    def __init__(self, place: int, middle: float, outputs: int = 2) -> None:
        super().__init__()
        self.place, self.middle, self.outputs = place, middle, outputs

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        rows = values[:, 0, self.place] if values.ndim == 4 else values[:, self.place : self.place + 1]
        score = 20 * (rows.mean(dim=1, keepdim=True) - self.middle)
        return score if self.outputs == 1 else torch.cat([-score, score], dim=1)


ROBUST, BRITTLE = Reads(0, 0.0), Reads(2, (128 / 255 - 0.5) / 0.25)


def right(network: nn.Module, of: Numbers, stored: Any) -> float:
    outputs = network(torch.from_numpy(of.apply({"values": stored})["input"]))
    answered = attacks.logits(outputs, "binary" if outputs.shape[1] == 1 else "classification").argmax(dim=1)
    return float((answered.numpy() == LABELS).mean())


def attacked(name: str, network: nn.Module, of: Numbers, values: Any, space: Space, seed: int = 0) -> Any:
    if name != "answers":
        return by_gradient(
            name, network, values, LABELS, space=space, task="classification", classes=2, steps=5, seed=seed
        )

    def ask(stored: Any) -> Any:
        with torch.no_grad():
            return attacks.logits(
                network(torch.from_numpy(of.apply({"values": stored})["input"])), "classification"
            ).numpy()

    return by_answers(ask, values, LABELS, space=space, classes=2, steps=100, seed=seed)


@pytest.mark.parametrize("name", ["fgsm", "pgd", "answers"])
def test_a_brittle_network_of_pictures_falls_and_a_robust_one_stands(name: str) -> None:
    of, values = pictures()
    space = Space.around(of, STRENGTH, values)
    assert right(ROBUST, of, values) == right(BRITTLE, of, values) == 1
    for network, least, most in ((ROBUST, 1, 1), (BRITTLE, 0, 0.2)):
        found = attacked(name, network, of, values, space)
        assert (found.dtype, found.shape) == (values.dtype, values.shape)
        assert np.abs(found.astype(int) - values).max() <= 8
        assert least <= right(network, of, found) <= most


@pytest.mark.parametrize("name", ["fgsm", "pgd", "answers"])
def test_the_same_of_rows_and_within_what_training_data_hold(name: str) -> None:
    random = np.random.default_rng(0)
    values = random.normal(5, 2, (40, 4)).astype(np.float32)
    values[:, 0] = 100 * LABELS - 50 + random.normal(0, 1, 40)
    values[:, 3] = 0.2 * LABELS - 0.1
    of = Numbers("array", (4,), (0.0, 5.0, 5.0, 0.0), (50.0, 2.0, 2.0, 1.0), ("a", "b"))
    space = Space.around(of, 0.3, values)
    for network, least, most in ((Reads(0, 0.0), 1, 1), (Reads(3, 0.0), 0, 0.5)):
        found = attacked(name, network, of, values, space)
        moved = np.abs(of.apply({"values": found})["input"] - of.apply({"values": values})["input"])
        assert moved.max() <= 0.3 + 1e-4
        assert (found <= values.max(axis=0) + 1e-3).all()
        assert (found >= values.min(axis=0) - 1e-3).all()
        assert least <= right(network, of, found) <= most


def test_a_seed_gives_the_same_and_leaves_other_draws_alone() -> None:
    of, values = pictures()
    space = Space.around(of, STRENGTH, values)
    np.random.seed(5)
    wanted = np.random.get_state()[1].copy()
    one, again = (attacked("pgd", ROBUST, of, values, space, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(np.random.get_state()[1], wanted)


def test_one_logit_is_attacked_as_two() -> None:
    of, values = pictures()
    found = by_gradient(
        "fgsm", Reads(2, BRITTLE.middle, outputs=1), values, LABELS,
        space=Space.around(of, STRENGTH, values), task="binary", classes=2, steps=1, seed=0,
    )  # fmt: skip
    assert right(Reads(2, BRITTLE.middle, outputs=1), of, found) == 0


class Rounds(nn.Module):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return (values.reshape(len(values), -1)[:, :2] > 0).float()


def test_what_cannot_be_attacked_is_refused() -> None:
    of, values = pictures()
    with pytest.raises(UsageError, match="no gradients of its inputs"):
        attacked("fgsm", Rounds(), of, values, Space.around(of, STRENGTH, values))
    with pytest.raises(UsageError, match=r"from 0\.0039"):
        attacks.check(of, 0.001, "fgsm")
    with pytest.raises(UsageError, match="tokens"):
        attacks.check(Tokens(10, 8, ("a", "b")), 0.1, "fgsm")
    assert attacks.check(of, 1 / 255, "fgsm") is of
