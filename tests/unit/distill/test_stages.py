"""Stages: which terms are learnt and what stands still, by epoch, and what is refused before training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgecomp.config.job import load_job
from edgecomp.config.recipe import Distill
from edgecomp.distill.losses import build
from edgecomp.distill.similarity import Compared, explained, likeness, linear_cka
from edgecomp.distill.stages import Stage, entering, labels, of_recipe, place_of, problems
from edgecomp.errors import RecipeError
from edgecomp.progress import silent
from edgecomp.tasks import TASKS
from edgecomp.training.loop import Examples, train
from edgecomp.training.practice import Practice

FEATURES = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
LABELS = (FEATURES[:, 0] > 0).astype(np.int64)
TERMS = [
    {"loss": "features-mse", "student": "body.0", "teacher": "body.0"},
    {"loss": "hard-labels"},
    {"loss": "features-mse", "student": "body.2", "teacher": "body.2"},
]


class Network(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width), nn.Linear(width, width))
        self.head = nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def settings(stages: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    epochs = sum(stage["epochs"] for stage in stages)
    return Distill.model_validate({"epochs": epochs, "terms": TERMS, "stages": stages} | more).model_dump()


def test_each_stage_learns_its_terms_and_nothing_that_is_frozen(tmp_path: Path) -> None:
    asked = settings(
        [
            {"epochs": 2, "terms": [0, "features-mse of body.2"], "frozen": ["head", "body.1"]},
            {"epochs": 1, "terms": ["hard-labels"], "frozen": ["body*"]},
            {"epochs": 1},
        ]
    )
    torch.manual_seed(0)
    student, teacher = Network(4), Network(8)
    assert problems(asked, student) == []
    learner = build(asked, TASKS["classification"], lambda: teacher).bind(student, (torch.randn(4, 6),))
    stages = of_recipe(asked)
    before: list[dict[str, torch.Tensor]] = []
    enter = entering(stages, learner)

    def begins(epoch: int) -> None:
        before.append({name: value.clone() for name, value in student.state_dict().items()})
        enter(epoch)

    history = train(
        learner,
        torch.optim.AdamW(learner.parameters(), lr=0.01),
        examples=lambda epoch: Examples({"x": FEATURES}, LABELS, dict, np.zeros((64, 2), np.float32)),
        loss=learner.loss,
        schedule=lambda done: 1.0,
        evaluate=lambda network: {"validation_score_pct": 0.0},
        epochs=4,
        batch_size=16,
        seed=0,
        practice=Practice(),
        checkpoint=tmp_path / "c",
        track=silent,
        what="test",
        before_epoch=begins,
        watched=learner.watched,
        after_epoch=learner.likeness,
    )
    before.append(student.state_dict())

    def moved(epoch: int) -> set[str]:
        return {
            name for name, value in before[epoch].items() if not torch.equal(value, before[epoch + 1][name])
        }

    body = {f"body.{one}.{part}" for one in (0, 2) for part in ("weight", "bias")}
    assert moved(0) == moved(1) == body
    assert moved(2) == {"head.weight", "head.bias"}
    assert moved(3) == set(before[0])
    hidden = {"loss: features-mse of body.0", "loss: features-mse of body.2"}
    of_each = [{key for key in epoch if key.startswith("loss: ")} for epoch in history]
    assert of_each == [hidden, hidden, {"loss: hard-labels"}, hidden | {"loss: hard-labels"}]
    assert [epoch["stage"] for epoch in history] == [1, 1, 2, 3]
    assert all(0 <= epoch["cka: body.0"] <= 1 for epoch in history)


def test_terms_are_called_what_a_history_calls_them() -> None:
    twice = {"epochs": 1, "terms": [*TERMS, {"loss": "hard-labels"}]}
    assert labels(Distill.model_validate(twice).model_dump()) == [
        "features-mse of body.0",
        "hard-labels",
        "features-mse of body.2",
        "hard-labels (2)",
    ]
    plain = Distill.model_validate({"epochs": 1, "hidden": [{"student": "a", "teacher": "b"}]}).model_dump()
    assert labels(plain) == ["soft-labels", "hard-labels", "features-mse of a"]


def test_an_epoch_is_of_the_stage_that_it_falls_into() -> None:
    stages = [Stage(2), Stage(1), Stage(3)]
    assert [place_of(stages, epoch) for epoch in range(8)] == [0, 0, 1, 2, 2, 2, 2, 2]


def test_all_that_is_wrong_is_said_at_once() -> None:
    asked = settings(
        [
            {"epochs": 1, "terms": ["hard-lables", 7], "frozen": ["hed"]},
            {"epochs": 1, "frozen": ["body", "head"]},
            {"epochs": 2, "terms": [1]},
        ],
        terms=[
            TERMS[0],
            TERMS[1] | {"weight": {"start": 1, "end": 0, "shape": "steps", "steps": 2}},
            TERMS[2],
        ],
    )
    found = problems(asked, Network(4))
    assert [one.partition(":")[0] for one in found] == [
        "stages[0]",
        "stages[0]",
        "stages[0]",
        "stages[1]",
        "stages[2]",
    ]
    assert "there is no 'hard-lables'; did you mean 'hard-labels'" in found[0]
    assert "there is no 7" in found[1]
    assert "no module is called 'hed'; did you mean 'head'" in found[2]
    assert "nothing of the student is left to learn" in found[3]
    assert "sum to nothing half-way: hard-labels" in found[4]


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["distill.stages=[{epochs: 50}]"], "stages last 50 epochs and are longer than the training"),
        (["distill.stages=[{epochs: 1}]"], "are shorter than the training"),
        (["+distill.loop.optimizer=adamv"], "'adamv' is none of"),
        (["+distill.loop.schedule=one_cycle"], "did you mean 'one-cycle'"),
        (["+distill.loop.alarms.memry=stop"], "unknown key; did you mean 'memory'"),
        (["+distill.loop.gradient_accumulation=3"], "cannot be taken in 3 equal parts"),
        (["+teacher.loop.gradient_accumulation=7"], "cannot be taken in 7 equal parts"),
    ],
)
def test_what_no_training_can_be_is_refused_with_the_recipe(overrides: list[str], complaint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_job("digits", overrides)
    assert complaint in str(caught.value)


def test_a_recipe_that_says_nothing_of_it_keeps_its_digest() -> None:
    recipe = load_job("digits", []).recipe
    assert not {"loop", "stages"} & {*recipe.distill.model_dump(), *recipe.teacher.model_dump()}
    said = load_job("digits", ["+distill.loop.clip_norm=1"]).recipe.distill.model_dump()
    assert said["loop"]["clip_norm"] == 1


def test_a_rehearsal_has_an_epoch_of_each_stage() -> None:
    epochs = load_job("digits", []).recipe.distill.epochs
    asked = f"distill.stages=[{{epochs: 1, frozen: [a]}}, {{epochs: 1}}, {{epochs: {epochs - 2}}}]"
    quick = load_job("digits", [asked, "quick=true"]).recipe.distill
    assert [stage.epochs for stage in quick.stages] == [1, 1, 1]
    assert quick.epochs == 3


def test_alignment_is_one_of_what_is_turned_and_scaled_and_near_none_of_noise() -> None:
    random = torch.Generator().manual_seed(0)
    ours = torch.randn(2000, 5, generator=random, dtype=torch.float64)
    turned = 3 * ours @ torch.linalg.qr(torch.randn(5, 5, generator=random, dtype=torch.float64))[0] + 1
    other = torch.randn(2000, 5, generator=random, dtype=torch.float64)
    assert linear_cka(ours, turned).item() == pytest.approx(1)
    assert linear_cka(ours, other).item() < 0.01
    assert linear_cka(torch.ones_like(ours), other).item() == 0
    assert explained(turned, turned).item() == 1
    found = likeness([Compared("a", ours, turned, other)])
    assert found["explainable: a"] == pytest.approx(1)
    assert found["explained: a"] < 0.1
