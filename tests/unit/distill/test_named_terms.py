"""`distill.terms`: what a name means, what is refused, and that the terms teach."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from edgecomp.config.job import load_job
from edgecomp.config.recipe import Distill
from edgecomp.distill import losses
from edgecomp.distill.losses import of_logits
from edgecomp.distill.losses.hidden_states import HiddenStates, Hint, take_closed_form
from edgecomp.distill.losses.named import FEATURES, LOGITS, NAMED
from edgecomp.distill.losses.of_features import linear_cka
from edgecomp.errors import CaptureError, RecipeError
from edgecomp.models.networks.resnet import ResNet
from edgecomp.models.networks.transformer import Transformer
from edgecomp.tasks import task
from edgecomp.training.loop import Batch

INPUTS = torch.randn(24, 1, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(24) % 10


def network(width: int, seed: int = 0) -> ResNet:
    torch.manual_seed(seed)
    return ResNet(1, 10, blocks=1, width=width).eval()


def settings(*terms: dict[str, Any]) -> dict[str, Any]:
    return Distill(epochs=1, terms=list(terms)).model_dump()


def learner(ours: nn.Module, theirs: nn.Module, *terms: dict[str, Any]) -> losses.Learner:
    return losses.build(settings(*terms), task("classification"), lambda: theirs).bind(ours, (INPUTS[:2],))


def of_layers(name: str, **more: Any) -> dict[str, Any]:
    return {"loss": name, "student": "layers.1", "teacher": "layers.1", **more}


def batch(theirs: nn.Module) -> Batch:
    with torch.no_grad():
        return Batch((INPUTS,), LABELS, theirs(INPUTS))


@pytest.mark.parametrize("name", sorted(set(NAMED) - {"token-relations", "attention-maps", "crd"}))
def test_it_teaches(name: str) -> None:
    ours, theirs = network(4), network(8, seed=1)
    term = of_layers(name) if name in FEATURES else {"loss": name}
    if name == "relational-distance":
        term["weight"] = 10.0
    taught, given = learner(ours, theirs, term), batch(theirs)
    least = (
        taught.loss(given.soft_labels, given).item() if name == "soft-cross-entropy" else 0.0
    )  # the teacher's entropy
    optimizer = torch.optim.Adam(taught.parameters(), lr=1e-2)
    values = []
    for _ in range(20):
        optimizer.zero_grad()
        value = taught.loss(taught(INPUTS), given)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] - least < 0.8 * (values[0] - least)


def test_terms_stand_instead_of_soft_and_hard_labels_and_add_up() -> None:
    ours, theirs = network(4), network(8, seed=1)
    given = batch(theirs)
    usual = losses.build(settings(), task("classification"), lambda: theirs).bind(ours, (INPUTS[:2],))
    soft, hard = (
        {"loss": "soft-labels", "weight": 0.9, "arguments": {"temperature": 4.0}},
        {"loss": "hard-labels", "weight": 0.1},
    )
    both = learner(ours, theirs, soft, hard)
    recipe = load_job("digits", []).recipe.distill
    assert (recipe.temperature, recipe.hard_label_weight) == (4.0, 0.1)
    logits = ours(INPUTS)
    assert both.loss(logits, given).item() == pytest.approx(usual.loss(logits, given).item(), rel=1e-6)
    alone = [learner(ours, theirs, one).loss(logits, given).item() for one in (soft, hard)]
    assert sum(alone) == pytest.approx(both.loss(logits, given).item(), rel=1e-6)


def test_a_weight_and_an_argument_may_change_while_it_is_trained() -> None:
    ours, theirs = network(4), network(8, seed=1)
    fading = {
        "loss": "soft-labels",
        "weight": {"start": 0.7, "end": 0.3},
        "arguments": {"temperature": {"start": 5, "end": 1}},
    }
    taught, given, logits = learner(ours, theirs, fading), batch(theirs), ours(INPUTS)
    for done, weight, temperature in ((0.0, 0.7, 5.0), (0.5, 0.5, 3.0), (1.0, 0.3, 1.0)):
        expected = weight * of_logits.soft_target_kl(
            logits, given.soft_labels, LABELS, temperature=temperature
        )
        assert taught.loss(logits, replace(given, done=done)).item() == pytest.approx(
            expected.item(), rel=1e-6
        )


def test_every_term_is_watched_under_its_name() -> None:
    ours, theirs = network(4), network(8, seed=1)
    taught = learner(
        ours, theirs, {"loss": "dkd"}, {"loss": "hard-labels", "weight": 0.5}, of_layers("similarity")
    )
    total = taught.loss(taught(INPUTS), batch(theirs))
    seen = taught.watched()
    assert list(seen) == ["loss: dkd", "loss: hard-labels", "loss: similarity of layers.1"]
    assert sum(seen.values()).item() == pytest.approx(total.item(), rel=1e-6)


def test_a_term_that_is_asked_for_twice_counts_twice() -> None:
    ours, theirs = network(4), network(8, seed=1)
    given, logits = batch(theirs), ours(INPUTS)
    for term in ({"loss": "dkd"}, of_layers("similarity")):
        once, twice = learner(ours, theirs, term), learner(ours, theirs, term, term)
        ours(INPUTS)
        assert twice.loss(logits, given).item() == pytest.approx(
            2 * once.loss(logits, given).item(), rel=1e-6
        )
        assert len(twice.watched()) == 2
        assert list(twice.watched())[1].endswith(" (2)")


def test_hints_are_terms_beside_the_others_and_the_teacher_runs_once() -> None:
    ours, theirs = network(4), network(8, seed=1)
    hint = {"student": "layers.1", "teacher": "layers.1", "weight": 0.5}
    told = Distill(epochs=1, terms=[of_layers("similarity")], hidden=[hint]).model_dump()
    taught = losses.build(told, task("classification"), lambda: theirs).bind(ours, (INPUTS[:2],))
    calls: list[int] = []
    theirs.register_forward_hook(lambda *_: calls.append(1))
    taught.loss(taught(INPUTS), batch(network(8, seed=1)))
    assert list(taught.watched()) == ["loss: similarity of layers.1", "loss: features-mse of layers.1"]
    assert len(calls) == 1


def test_the_teacher_runs_once_a_batch_whatever_hidden_states_are_named() -> None:
    ours, theirs = network(4), network(8, seed=1)
    taught = learner(
        ours, theirs, of_layers("similarity"), of_layers("attention-transfer"), of_layers("features-mse")
    )
    calls: list[int] = []
    theirs.register_forward_hook(lambda *_: calls.append(1))
    taught.loss(taught(INPUTS), batch(network(8, seed=1)))
    assert len(calls) == 1


def test_a_projection_starts_from_the_closed_form_or_stays_there() -> None:
    ours, theirs = network(4), network(8, seed=1)
    first = {}
    for how in ("linear", "least-squares", "fixed"):
        taught, given = learner(ours, theirs, of_layers("features-mse", projection=how)), batch(theirs)
        first[how] = taught.loss(taught(INPUTS), given).item()
        kept = [value.clone() for value in taught.terms.parameters()]
        assert all(value.requires_grad == (how != "fixed") for value in kept) or how == "fixed"
        taught.loss(taught(INPUTS), given).backward()
        learns = [value.grad is not None for value in taught.terms.parameters()]
        assert all(learns) == (how != "fixed")
    assert first["fixed"] == first["least-squares"] < first["linear"]


def test_the_closed_form_is_taken_once_and_goes_with_a_checkpoint() -> None:
    ours, theirs = network(4), network(8, seed=1)
    taught, given = learner(ours, theirs, of_layers("features-mse", projection="fixed")), batch(theirs)
    taught.loss(taught(INPUTS), given)
    again = learner(ours, theirs, of_layers("features-mse", projection="fixed"))
    again.load_state_dict(taught.state_dict())
    taught(INPUTS[:8]), again(INPUTS[:8])
    other = Batch((INPUTS[:8],), LABELS[:8], given.soft_labels[:8])
    first = [value.clone() for value in taught.terms.parameters()]
    assert again.loss(again(INPUTS[:8]), other).item() == taught.loss(taught(INPUTS[:8]), other).item()
    for one in (taught, again):
        assert all(torch.equal(*pair) for pair in zip(first, one.terms.parameters(), strict=True))


def test_the_closed_form_is_the_least_squares_solution() -> None:
    random = torch.Generator().manual_seed(0)
    ours, theirs = torch.randn(50, 3, generator=random), torch.randn(50, 5, generator=random)
    layer = nn.Linear(3, 5)
    take_closed_form(layer, ours, theirs)
    rest = (theirs - layer(ours)).detach()
    assert torch.allclose(rest.mean(dim=0), torch.zeros(5), atol=1e-6)
    assert torch.allclose(ours.T @ rest, torch.zeros(3, 5), atol=1e-4)  # what is left has nothing of ours
    narrow = nn.Conv2d(3, 5, 1)
    images = ours.reshape(2, 5, 5, 3).permute(0, 3, 1, 2)
    take_closed_form(narrow, images, theirs.reshape(2, 5, 5, 5).permute(0, 3, 1, 2))
    assert torch.allclose(narrow.weight[..., 0, 0], layer.weight, atol=1e-6)


@pytest.mark.parametrize(
    ("term", "said"),
    [
        ({"loss": "dkb"}, "there is no 'dkb'; did you mean 'dkd'?"),
        ({"loss": "dkd", "arguments": {"betta": 2}}, "dkd has no argument 'betta'; did you mean 'beta'?"),
        ({"loss": "dkd", "arguments": {"beta": -2}}, "beta is -2, and it is a number above 0"),
        ({"loss": "dkd", "arguments": {"beta": {"start": 0, "end": 2}}}, "and it is a number above 0"),
        ({"loss": "hard-labels", "arguments": {"task": 1}}, "hard-labels has no argument 'task'"),
        ({"loss": "similarity"}, "similarity is of hidden states: name the module of each network"),
        ({"loss": "dist", "weight": {"start": 0, "end": 0}}, "its weight is never above 0"),
        (
            {
                "loss": "attention-maps",
                "student": "layers.1",
                "teacher": "layers.1",
                "arguments": {"heads": 2},
            },
            "attention-maps needs its argument 'teacher_heads'",
        ),
        (
            {"loss": "crd", "student": "layers.1", "teacher": "layers.1", "arguments": {"memory": 0.5}},
            "memory is 0.5, and it is a whole number that stays",
        ),
        ({"loss": "dist", "student": "layers.1"}, "dist is of outputs, and student would name hidden states"),
    ],
)
def test_what_cannot_be_is_told(term: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as told:
        learner(network(4), network(8), term)
    assert said in str(told.value)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(RecipeError, match="2 problems"):
        learner(network(4), network(8), {"loss": "dkb"}, {"loss": "similarity"})
    with pytest.raises(RecipeError, match="of a classifier's logits, and the task is regression"):
        losses.build(settings({"loss": "dkd"}), task("regression"), nn.Identity)
    with pytest.raises(RecipeError, match="nothing is labelled for the task outputs"):
        losses.build(settings({"loss": "hard-labels"}), task("outputs"), nn.Identity)


def test_a_layer_that_is_not_there_is_told_before_training() -> None:
    with pytest.raises(CaptureError, match=r"no module 'layers.7'"):
        learner(network(4), network(8), {"loss": "similarity", "student": "layers.7", "teacher": "layers.1"})


def test_relations_of_tokens_leave_padding_out() -> None:
    ours, theirs = Transformer(50, 8, 4), Transformer(50, 16, 4)
    ids = torch.randint(1, 50, (4, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1] * 2 + [0] * 4, [1] * 5 + [0]])
    term = {
        "loss": "token-relations",
        "student": "layers.0.query",
        "teacher": "layers.0.query",
        "arguments": {"heads": 2},
    }
    taught = losses.build(settings(term), task("classification"), lambda: theirs).bind(ours, (ids, mask))
    values = []
    for mask_of_batch in (mask, None):
        given = Batch((ids, mask), torch.zeros(4, dtype=torch.int64), torch.zeros(4, 4), mask_of_batch)
        values.append(taught.loss(taught(ids, mask), given).item())
    assert torch.isfinite(torch.tensor(values)).all()
    assert values[0] != values[1]


@pytest.mark.parametrize(
    ("name", "layer", "more", "said"),
    [
        ("token-relations", "layers.1", {}, "expected 3"),
        ("attention-transfer", "head", {}, "cannot be taken"),
        ("features-mse", "head", {}, ""),
    ],
)
def test_hidden_states_that_a_loss_does_not_take_are_told_before_training(
    name: str, layer: str, more: dict, said: str
) -> None:
    term = {"loss": name, "student": layer, "teacher": layer, "arguments": more}
    if not said:
        learner(network(4), network(8), term)
        return
    with pytest.raises(CaptureError, match=said):
        learner(network(4), network(8), term)


def test_heads_that_do_not_divide_a_width_are_told_before_training() -> None:
    ours, theirs = Transformer(50, 8, 4), Transformer(50, 16, 4)
    term = {
        "loss": "token-relations",
        "student": "layers.0.query",
        "teacher": "layers.0.query",
        "arguments": {"heads": 3},
    }
    with pytest.raises(CaptureError, match="a width of 128 cannot be divided by 3 heads"):
        losses.build(settings(term), task("classification"), lambda: theirs).bind(
            ours, (torch.ones(2, 4, dtype=torch.int64),) * 2
        )


def test_every_name_is_one_of_a_kind() -> None:
    assert not set(LOGITS) & set(FEATURES)


def test_hidden_states_become_alike() -> None:
    ours, theirs = network(4), network(8, seed=1)
    hints = [Hint("layers.1", "layers.1", 1.0, FEATURES["similarity"].function, projects=False)]
    taught = losses.Loss((HiddenStates(hints, theirs),)).bind(ours, (INPUTS[:2],))
    term = taught.terms[0]

    def alike() -> float:
        taught(INPUTS), theirs(INPUTS)
        return linear_cka(term._ours[0](), term._theirs[0]()).item()

    before = alike()
    optimizer = torch.optim.Adam(taught.parameters(), lr=3e-3)
    for _ in range(20):
        optimizer.zero_grad()
        taught.loss(taught(INPUTS), batch(theirs)).backward()
        optimizer.step()
    assert alike() > before
