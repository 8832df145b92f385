"""Each alarm is raised by its fault, and none in clean curves."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgecomp.errors import EdgecompError
from edgecomp.progress import silent
from edgecomp.training import alarms
from edgecomp.training.checkpoints import History
from edgecomp.training.loop import Batch, Examples, train
from edgecomp.training.practice import Action, Practice

KL = "loss: soft-labels"


def clean(random: np.random.Generator) -> History:
    """A training as it should be: the loss falls to a floor, gradients with it, with noise, a spike now and then, and a score that rises."""
    epochs, steps = int(random.integers(3, 60)), int(random.integers(4, 200))
    start, floor = 10 ** random.uniform(-2, 2), random.uniform(0.01, 0.6)
    speed, norm, fall = random.uniform(0.05, 3), 10 ** random.uniform(-3, 2), 10 ** random.uniform(-3, 0.7)
    best, chance = random.uniform(60, 100), random.uniform(1, 50)
    found: History = []
    for epoch in range(epochs):
        gone = 1 - math.exp(-speed * (epoch + 0.5))
        loss = start * (floor + (1 - floor) * (1 - gone)) * math.exp(random.normal(0, 0.01))
        norms = norm * fall**gone * np.exp(random.normal(0, 0.5, steps))
        norms[random.random(steps) < 0.002] *= 10
        score = chance + (best - chance) * gone + random.normal(0, 0.4)
        found.append(
            {
                "loss": loss,
                KL: 0.9 * loss,
                "validation_score_pct": score,
                "agreement_pct": min(100.0, score + random.uniform(0, 5)),
                **alarms.norms_of(norms.tolist()),
            }
        )
    return found


def test_no_alarm_is_raised_in_300_clean_curves() -> None:
    random = np.random.default_rng(0)
    raised = []
    for _ in range(300):
        curve = clean(random)
        for end in range(1, len(curve) + 1):
            raised += [(name, found) for name, found in alarms.raised(curve[:end], [KL]).items()]
    assert raised == []


def test_a_copy_of_the_teacher_has_nothing_to_learn_and_raises_none() -> None:
    epoch = {"loss": 1e-9, KL: 1e-9, "validation_score_pct": 98.0, "agreement_pct": 100.0}
    assert alarms.raised([epoch | alarms.norms_of([1e-12] * 20)] * 6, [KL]) == {}


INPUTS = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
LABELS = (INPUTS[:, 0] > 0).astype(np.int64)


def plain(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    return F.cross_entropy(logits, batch.labels)


def exploding(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    return plain(logits, batch) * (1e4 if batch.done > 0.7 else 1)


def vanishing(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    return plain(torch.tanh(logits * 1e-12), batch)


def stuck(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    return plain(logits - logits.detach() + 0.1, batch)


def collapsing(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    return plain(logits, batch)


def trained(
    tmp_path: Path,
    loss: Callable[[torch.Tensor, Batch], torch.Tensor],
    actions: dict[str, Action],
    said: list[str],
    rate: float = 0.01,
) -> History:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    terms = iter([torch.tensor(1.0)] * 16 + [torch.tensor(1e-7)] * 100)
    return train(
        network,
        torch.optim.AdamW(network.parameters(), lr=rate),
        examples=lambda epoch: Examples({"input": INPUTS}, LABELS, dict),
        loss=loss,
        schedule=lambda done: 1.0,
        evaluate=lambda network: {"validation_score_pct": 50.0, "agreement_pct": 60.0},
        epochs=6,
        batch_size=8,
        seed=0,
        checkpoint=tmp_path / "c",
        track=silent,
        what="test",
        practice=Practice(alarms=actions, note=said.append),
        watched=lambda: {KL: next(terms)} if loss is collapsing else {},
        divergences=[KL],
    )


FAULTS = {
    "exploding_gradient": (exploding, "times as large as the first ones: lower the learning rate"),
    "vanishing_gradient": (vanishing, "gradients have vanished"),
    "stuck_loss": (stuck, "the loss does not move"),
    "collapsed_divergence": (
        collapsing,
        "loss: soft-labels is 1e-07 although answers are unlike the teacher's",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_stops_or_warns_as_the_recipe_says(tmp_path: Path, name: str) -> None:
    fault, words = FAULTS[name]
    quiet: dict[str, Action] = {other: "ignore" for other in (*FAULTS, alarms.MEMORY) if other != name}
    rate = 1e-9 if name == "stuck_loss" else 0.01
    said: list[str] = []
    with pytest.raises(EdgecompError, match=words) as caught:
        trained(tmp_path, fault, quiet | {name: "stop"}, said, rate)
    began_well = name != "vanishing_gradient"
    assert ("the checkpoint of epoch" in str(caught.value)) == began_well == (tmp_path / "c").exists()
    (tmp_path / "c").unlink(missing_ok=True)
    history = trained(tmp_path, fault, quiet, said, rate)
    assert len(history) == 6
    assert f"alarm: {name}" in history[-1] or name == "exploding_gradient"
    assert sum(words in one for one in said) == 1  # said once
    (tmp_path / "c").unlink()
    assert not any(key.startswith("alarm") for epoch in trained(tmp_path, plain, quiet, []) for key in epoch)


def test_memory_that_runs_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "memory_left", lambda: 0.02)
    with pytest.raises(EdgecompError, match=r"2\.0 % of the memory is left: lower the batch size"):
        trained(tmp_path, plain, {"memory": "stop"}, [])


def test_the_memory_that_is_left_is_a_share() -> None:
    assert 0 < alarms.memory_left() <= 1
