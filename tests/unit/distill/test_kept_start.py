"""Training through integers that is to keep its best weights: those that it starts from are among them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from edgecomp.distill import student
from edgecomp.training.alarms import SCORE


def trained(
    monkeypatch: pytest.MonkeyPatch, *, start: float, epochs: list[float], patience: int | None
) -> tuple[float, list[str]]:
    """The weight of a network whose weight 0 scores `start`, and each epoch, which adds 1 to it, as is said; and what is told."""
    network, said = nn.Linear(1, 1), list[str]()
    nn.init.zeros_(network.weight)

    def further(one: nn.Module, *_: object) -> list[dict[str, float]]:
        best = max(range(len(epochs)), key=epochs.__getitem__) if epochs else -1
        with torch.no_grad():
            one.weight += best + 1  # type: ignore[operator]
        return [{SCORE: score} for score in epochs]

    monkeypatch.setattr(student, "_train_further", further)
    qad: Any = SimpleNamespace(kernel="torch", practice=SimpleNamespace(patience=patience, note=said.append))
    data: Any = SimpleNamespace(score=lambda network: start)
    made: Any = network
    student.train_int8(made, data, qad, checkpoint=Path("none"), track=lambda items, *_: items)  # type: ignore[arg-type,return-value]
    return network.weight.item(), said


def test_what_training_made_worse_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, said = trained(monkeypatch, start=97.3, epochs=[96.6, 96.9], patience=10)
    assert weight == 0
    assert said == [
        "student, int8: no epoch was better than what it began with (97.30 on validation), which is kept"
    ]


def test_a_better_epoch_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trained(monkeypatch, start=97.3, epochs=[96.6, 99.0, 98.0], patience=10) == (2, [])
    assert trained(monkeypatch, start=97.3, epochs=[], patience=10) == (0, [])


def test_without_patience_the_last_epoch_is_taken_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trained(monkeypatch, start=97.3, epochs=[96.6], patience=None) == (1, [])
