"""Early exits: their loss as the paper has it, what a threshold costs as loops, and an answer that stops where it is sure."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from edgecomp.config.job import load_job
from edgecomp.config.recipe import Distill
from edgecomp.distill import losses
from edgecomp.distill.losses.of_features import pooled
from edgecomp.distill.losses.own.early_exits import EarlyExit, Head, at_threshold, choose, cost_to, keep
from edgecomp.distill.losses.own.early_exits import kept as kept_heads
from edgecomp.distill.losses.own.exits import Bound, Exits, keep_in_integers
from edgecomp.errors import CaptureError, RecipeError
from edgecomp.models.networks.resnet import ResNet
from edgecomp.models.networks.transformer import Transformer
from edgecomp.quantization.capture import capture
from edgecomp.tasks import task
from edgecomp.training.loop import Batch, Examples

IMAGES = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6) % 3


def network() -> ResNet:
    torch.manual_seed(0)
    return ResNet(1, 3, blocks=1, width=4).eval()


def term(**more: Any) -> Exits:
    told = {"weight": 0.5, "hard_label_weight": 0.3, "temperature": 2.0, "max_drop_pt": None}
    return Exits(("layers.0", "layers.1"), **(told | more))


def softmax(logits: np.ndarray) -> np.ndarray:
    found = np.exp(logits - logits.max())
    return found / found.sum()


def test_the_loss_of_an_exit_is_the_papers() -> None:
    random = np.random.default_rng(0)
    said, end = random.normal(size=(6, 3)) * 2, random.normal(size=(6, 3)) * 2
    bound = term().bind(network(), (IMAGES[:2],))
    by_hand = 0.0
    for row in range(6):
        p, q = softmax(end[row] / 2), softmax(said[row] / 2)
        divergence = sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))
        by_hand += (0.3 * -np.log(softmax(said[row])[row % 3]) + 0.7 * 4 * divergence) / 6
    ours, theirs = torch.from_numpy(said).requires_grad_(), torch.from_numpy(end)
    assert bound.loss(ours, theirs, LABELS).item() == pytest.approx(by_hand, abs=1e-6)
    assert torch.autograd.gradcheck(lambda one: bound.loss(one, theirs, LABELS), [ours])
    soft = term(hard_label_weight=0.0).bind(network(), (IMAGES[:2],))
    assert soft.loss(theirs, theirs, LABELS).item() == pytest.approx(0, abs=1e-12)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    assert bound.loss(ours[order], theirs[order], LABELS[order]).item() == pytest.approx(by_hand, abs=1e-6)


def test_exits_are_beside_everything_else_and_teach_what_they_share_and_not_the_end() -> None:
    student = network()
    asked = Distill(epochs=1, exits={"layers": ["layers.0", "layers.1"]}).model_dump()
    taught = losses.build(asked, task("classification"), network).bind(student, (IMAGES[:2],))
    taught.train()
    taught.loss(taught(IMAGES), Batch((IMAGES,), LABELS, torch.zeros(6, 3)))
    values = dict(taught.values)
    assert list(values) == ["hard-labels", "soft-labels", "exit at layers.0", "exit at layers.1"]
    (values["exit at layers.0"] + values["exit at layers.1"]).backward()
    learns = {name for name, one in student.named_parameters() if one.grad is not None}
    assert {"conv.weight", "layers.1.conv1.weight"} <= learns
    assert not {"head.weight", "layers.2.conv1.weight"} & learns
    assert all(
        one.grad is not None for one in next(t for t in taught.terms if isinstance(t, Bound)).parameters()
    )
    assert not any("exit" in name or "heads" in name for name in student.state_dict())


def test_through_integers_there_are_no_exits_any_more() -> None:
    student = network()
    bound = term().bind(student, (IMAGES[:2],))
    logits = student(IMAGES)
    assert bound(logits, Batch((IMAGES,), LABELS, done=1.0)) == []
    assert len(bound(logits, Batch((IMAGES,), LABELS, done=0.99))) == 2


def test_padding_is_not_pooled() -> None:
    values = torch.randn(2, 4, 3)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    found = pooled(values, mask)
    torch.testing.assert_close(found[0], values[0, :2].mean(dim=0))
    torch.testing.assert_close(found[1], values[1].mean(dim=0))
    images = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(pooled(images, None), images.flatten(2).mean(dim=2))


def test_texts_have_exits_too() -> None:
    torch.manual_seed(0)
    student = Transformer(20, 8, 3, layers=2, width=8, heads=2)
    ids, mask = torch.randint(0, 20, (4, 8)), torch.ones(4, 8, dtype=torch.int64)
    mask[:, 5:] = 0
    bound = Exits(("layers.0",), 1.0, 0.5, 2.0, None).bind(student, (ids, mask))
    logits = student(ids, mask)
    ((name, value),) = bound(logits, Batch((ids, mask), LABELS[:4], mask=mask))
    assert name == "exit at layers.0"
    assert torch.isfinite(value)


PROBABILITIES = [np.random.default_rng(seed).dirichlet(np.full(3, 0.4), size=300) for seed in range(3)]
ANSWERS = np.where(np.random.default_rng(5).random(300) < 0.8, PROBABILITIES[2].argmax(axis=1), 0)
COSTS = [0.2, 0.5, 1.1]


def by_loops(threshold: float) -> tuple[float, float]:
    right = cost = 0.0
    for row in range(300):
        for place in range(3):
            one = PROBABILITIES[place][row]
            if place == 2 or max(one) >= threshold:
                right += int(np.argmax(one)) == ANSWERS[row]
                cost += COSTS[place]
                break
    return 100 * right / 300, cost / 300


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9, 1.1])
def test_what_a_threshold_costs_is_counted_example_by_example(threshold: float) -> None:
    found = at_threshold(PROBABILITIES, ANSWERS, COSTS, threshold)
    accuracy, cost = by_loops(threshold)
    assert found.accuracy_pct == pytest.approx(accuracy)
    assert found.cost == pytest.approx(cost)
    assert sum(found.leaving) == pytest.approx(1)


@pytest.mark.parametrize("drop", [0.0, 5.0, 30.0, 100.0])
def test_the_cheapest_threshold_that_costs_little_enough_is_chosen(drop: float) -> None:
    found = choose(PROBABILITIES, ANSWERS, COSTS, drop)
    end = by_loops(1.1)[0]
    assert found.accuracy_pct >= end - drop
    for threshold in np.linspace(0.34, 1.0, 50):
        accuracy, cost = by_loops(threshold)
        assert accuracy < end - drop or cost >= found.cost - 0.01
    if drop == 100:
        assert found.leaving == [1, 0, 0]


def test_cost_is_the_multiply_accumulates_up_to_a_layer() -> None:
    student = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Flatten(), nn.Linear(3 * 16, 5))
    example = (torch.randn(1, 2, 4, 4),)
    assert cost_to(student, "0", example) == 3 * 16 * 2 * 9
    assert cost_to(student, None, example) == 3 * 16 * 2 * 9 + 3 * 16 * 5
    assert not student[0]._forward_hooks


@pytest.fixture
def kept(tmp_path: Path) -> tuple[ResNet, Bound, dict[str, Any]]:
    student = network()
    bound = term(max_drop_pt=20.0).bind(student, (IMAGES[:2],))
    random = np.random.default_rng(0)
    images, labels = random.normal(size=(90, 1, 8, 8)).astype(np.float32), random.integers(0, 3, 90)
    examples = Examples({"values": images}, labels, lambda one: one)
    data = SimpleNamespace(
        held_out=lambda: examples, views=SimpleNamespace(validation=SimpleNamespace(labels=labels))
    )
    keep(bound, student, data, bound._settings.layers, 20.0, tmp_path)  # type: ignore[arg-type]
    return student, bound, json.loads((tmp_path / "exits.json").read_text(encoding="utf-8"))


def test_what_is_kept_adds_up_and_is_read_again(
    kept: tuple[ResNet, Bound, dict[str, Any]], tmp_path: Path
) -> None:
    student, bound, told = kept
    heads = kept_heads(tmp_path)
    assert list(heads) == ["layers.0", "layers.1"]
    bound.eval()(student(IMAGES), Batch((IMAGES,), LABELS))
    for head, read, said in zip(heads.values(), bound._taps, bound.answers(None), strict=True):
        torch.testing.assert_close(head(read()), said)
    assert kept_heads(tmp_path / "nowhere") == {}
    assert [one["layer"] for one in told["exits"]] == ["layers.0", "layers.1", "end"]
    costs = [one["cost"] for one in told["exits"]]
    assert costs == sorted(costs)
    first, second = (cost_to(student, layer, (IMAGES[:1],)) for layer in ("layers.0", "layers.1"))
    assert costs[:2] == pytest.approx([(first + 12) / told["macs"], (second + 12 + 24) / told["macs"]])
    assert costs[-1] == pytest.approx(1 + (4 * 3 + 8 * 3) / told["macs"])
    assert told["average_cost"] == pytest.approx(sum(one["cost"] * one["leaving"] for one in told["exits"]))
    assert told["accuracy_pct"] >= told["exits"][-1]["accuracy_pct"] - 20


def test_exits_of_a_quantised_student_are_standardised_anew_and_chosen_again(
    kept: tuple[ResNet, Bound, dict[str, Any]], tmp_path: Path
) -> None:
    _, bound, told = kept
    torch.manual_seed(1)
    other = network()  # as training through fake-quant has moved it
    with torch.no_grad():
        for one in other.parameters():
            one += 0.05 * torch.randn(one.shape)
    graph = capture(other, [IMAGES[:2]], ({0: "batch"},))
    random = np.random.default_rng(1)
    images, labels = random.normal(size=(90, 1, 8, 8)).astype(np.float32), random.integers(0, 3, 90)
    examples = Examples({"values": images}, labels, lambda one: one)
    data = SimpleNamespace(
        held_out=lambda: examples, views=SimpleNamespace(validation=SimpleNamespace(labels=labels))
    )
    batches = [{"values": images[:45]}, {"values": images[45:]}]
    (tmp_path / "int8").mkdir()
    before = {name: value.clone() for name, value in graph.state_dict().items()}
    keep_in_integers(graph, tmp_path, data, batches, tmp_path / "int8")  # type: ignore[arg-type]
    assert all(torch.equal(value, before[name]) for name, value in graph.state_dict().items())
    again = json.loads((tmp_path / "int8" / "exits.json").read_text(encoding="utf-8"))
    assert [one["cost"] for one in again["exits"]] == [one["cost"] for one in told["exits"]]
    assert again["macs"] == told["macs"]
    assert again["accuracy_pct"] >= again["exits"][-1]["accuracy_pct"] - 20
    with torch.no_grad():
        state = other.layers[0](other.relu(other.bn(other.conv(torch.from_numpy(images)))))
        pooled_states = pooled(state, None)
    weights = load_file(tmp_path / "int8" / "exits.safetensors")
    torch.testing.assert_close(
        weights["layers.0/0.running_mean"], pooled_states.mean(dim=0), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(weights["layers.0/1.weight"], bound.heads[0][1].weight.detach())  # type: ignore[index]
    keep_in_integers(graph, tmp_path / "nowhere", data, batches, tmp_path / "none")  # type: ignore[arg-type]
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("threshold", "computed"), [(0.0, 1), (1.1, 3)])
def test_a_student_that_is_sure_computes_no_further(threshold: float, computed: int) -> None:
    student = network()
    bound = term().bind(student, (IMAGES[:2],)).eval()
    heads = {layer: Head(one) for layer, one in zip(("layers.0", "layers.1"), bound.heads, strict=True)}
    early = EarlyExit(student, heads, threshold).eval()
    run: list[int] = []
    for layer in student.layers:
        layer.conv1.register_forward_hook(lambda *_: run.append(1))
    found = early(IMAGES[:1])
    assert len(run) == computed
    run.clear()
    end = student(IMAGES[:1])
    expected = bound.answers(None)[0] if threshold == 0 else end
    torch.testing.assert_close(found, expected)


def test_layers_that_are_not_there_are_named_at_once_with_the_nearest() -> None:
    hint = {"student": "layers.2", "teacher": "layer.2"}
    asked = Distill(epochs=1, exits={"layers": ["layer.0", "layers.7"]}, hidden=[hint]).model_dump()
    loss = losses.build(asked, task("classification"), network)
    with pytest.raises(CaptureError) as raised:
        loss.bind(network(), (IMAGES[:2],))
    said = str(raised.value)
    for path, near in (("layer.0", "layers.0"), ("layers.7", "layers.1"), ("layer.2", "layers.2")):
        assert f"no module {path!r}; did you mean " in said
        assert repr(near) in said
    with pytest.raises(RecipeError, match=r"distill\.exits\.layers: 'layers.0' is named twice"):
        load_job("digits", ["+distill.exits={layers: [layers.0, layers.0]}"])
    with pytest.raises(RecipeError, match=r"distill\.exits are learnt in distill\.epochs"):
        load_job("digits", ["+distill.exits={layers: [layers.0]}", "distill.epochs=0"])
    with pytest.raises(RecipeError, match=r"distill\.exits: of one classifier's examples"):
        load_job("multilabel", ["+distill.exits={layers: [layers.0]}"])
