"""Learning new classes without forgetting: what is learnt from, the loss, and how forgetting is counted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from edgecomp.config.job import load_job
from edgecomp.distill.lifelong import new_places, numbers_of, old_places
from edgecomp.distill.losses.own.of_old import OfOld, old_classes_kl
from edgecomp.errors import DataError, RecipeError
from edgecomp.metrics.estimates import estimate
from edgecomp.metrics.measurements import Arm, Measurements
from edgecomp.metrics.missing import NotMeasured
from edgecomp.training.loop import Batch, Examples

LABELS = np.random.default_rng(0).integers(0, 5, 400)
OLD = [0, 1, 3]


def softmax(logits: np.ndarray) -> np.ndarray:
    found = np.exp(logits - logits.max())
    return found / found.sum()


def test_the_loss_is_the_papers_among_the_old_classes() -> None:
    random = np.random.default_rng(0)
    student, before = random.normal(size=(6, 5)) * 2, random.normal(size=(6, 5)) * 2
    by_hand = 0.0
    for row in range(
        6
    ):  # Li & Hoiem's equation 3: -Σ y'₀ log ŷ'₀ with powers 1/T, less the old self's entropy, times T²
        p, q = softmax(before[row][OLD] / 2), softmax(student[row][OLD] / 2)
        powered = before[row] - before[row].max()
        probabilities = np.exp(powered) / np.exp(powered).sum()
        raised = probabilities[OLD] ** 0.5 / (probabilities[OLD] ** 0.5).sum()
        np.testing.assert_allclose(raised, p)
        by_hand += 4 * (-(p * np.log(q)).sum() + (p * np.log(p)).sum()) / 6
    ours, theirs = torch.from_numpy(student).requires_grad_(), torch.from_numpy(before)
    assert old_classes_kl(ours, theirs, classes=OLD, temperature=2.0).item() == pytest.approx(
        by_hand, abs=1e-6
    )
    assert torch.autograd.gradcheck(
        lambda one: old_classes_kl(one, theirs, classes=OLD, temperature=2.0), [ours]
    )
    new = theirs.clone()
    new[:, [2, 4]] += 7  # what is said of new classes is free
    assert old_classes_kl(new, theirs, classes=OLD, temperature=2.0).item() == pytest.approx(0, abs=1e-12)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    assert old_classes_kl(ours[order], theirs[order], classes=OLD, temperature=2.0).item() == pytest.approx(
        by_hand, abs=1e-6
    )


def test_the_term_asks_the_old_student_and_does_not_change_it() -> None:
    torch.manual_seed(0)
    old, student = torch.nn.Linear(4, 5), torch.nn.Linear(4, 5)
    inputs = torch.randn(6, 4)
    bound = OfOld(old, OLD, 0.5, 2.0).bind(student, (inputs[:2],))
    ((name, value),) = bound(student(inputs), Batch((inputs,), torch.zeros(6)))
    value.backward()
    assert name == "old classes"
    assert value.item() == pytest.approx(
        0.5 * old_classes_kl(student(inputs), old(inputs), classes=OLD, temperature=2.0).item()
    )
    assert old.weight.grad is None
    assert student.weight.grad is not None
    assert not list(bound.parameters())


@pytest.mark.parametrize("replay", [0.0, 0.1, 1.0])
def test_new_examples_are_all_learnt_and_of_the_old_a_share_of_each_class(replay: float) -> None:
    found = new_places(LABELS, OLD, replay, seed=1)
    assert len(set(found.tolist())) == len(found)
    for label in range(5):
        count = int((label == LABELS).sum())
        wanted = int(np.ceil(replay * count)) if label in OLD else count
        assert int((LABELS[found] == label).sum()) == wanted
    np.testing.assert_array_equal(found, new_places(LABELS, OLD, replay, seed=1))
    assert replay != 0.1 or not np.array_equal(found, new_places(LABELS, OLD, replay, seed=2))
    assert set(LABELS[old_places(LABELS, OLD)].tolist()) == set(OLD)


def test_examples_are_chosen_with_all_that_belongs_to_them() -> None:
    examples = Examples(
        {"values": np.arange(4)[:, None]}, np.arange(4), lambda one: one, np.eye(4, dtype=np.float32), np.arange(4, dtype=np.float32)
    )  # fmt: skip
    found = examples.chosen(np.array([3, 1]))
    assert (found.labels.tolist(), found.weights.tolist(), found.arrays["values"][:, 0].tolist()) == (
        [3, 1],
        [3, 1],
        [3, 1],
    )
    np.testing.assert_array_equal(found.soft_labels, np.eye(4)[[3, 1]])


def test_old_classes_that_cannot_be_are_said() -> None:
    names = ("cat", "dog", "horse")
    assert numbers_of(["horse", "cat"], names) == [2, 0]
    with pytest.raises(
        DataError,
        match=r"no such class 'hors'; did you mean 'horse'\?, 'dgo'; did you mean 'dog'\?; there are cat",
    ):
        numbers_of(["cat", "hors", "dgo"], names)
    with pytest.raises(DataError, match="nothing new is learnt"):
        numbers_of(names, names)
    with pytest.raises(RecipeError, match="'a' is named twice"):
        load_job("digits", ["+distill.lifelong={old_classes: [a, a], epochs: 1}"])
    with pytest.raises(RecipeError, match=r"distill\.lifelong: new classes are learnt in distill\.epochs"):
        load_job("digits", ["+distill.lifelong={old_classes: [a, b], epochs: 1}", "distill.epochs=0"])
    with pytest.raises(RecipeError, match=r"distill\.lifelong: of one classifier's examples"):
        load_job("multilabel", ["+distill.lifelong={old_classes: [a, b], epochs: 1}"])


def measured(known: dict[str, list[int]] | None) -> Measurements:
    labels = np.array([0, 0, 1, 1, 2, 2, 3, 3] * 20)
    logits = np.eye(4, dtype=np.float32)[labels].copy()
    logits[::8] = logits[::8][:, [1, 0, 2, 3]]  # 20 examples of class 0 are lost
    arm = Arm({}, logits, {}, 1, {"m": "0"}, 1)
    facts = {"task": "classification"} | ({} if known is None else {"known_before": known})
    return Measurements("t", "fake", {"student": arm}, labels, 1, facts, student="student")


def test_forgetting_is_counted_example_by_example_and_on_old_ones_alone() -> None:
    of = measured(None)
    places = np.flatnonzero(of.labels < 2)
    before = np.ones(len(places), int)
    before[1] = 0  # that one was wrong before, and is right now
    found = estimate(
        measured({"examples": places.tolist(), "right": before.tolist()}), "student", "old_task_drop_pt", 0.95
    )
    now = of.arms["student"].logits.argmax(axis=1) == of.labels
    by_loops = sum(int(before[row]) - int(now[place]) for row, place in enumerate(places)) / len(places) * 100
    assert found.estimate == pytest.approx(by_loops)
    assert found.low < by_loops < found.high
    assert by_loops == pytest.approx(100 * (20 - 1) / 80)


def test_what_was_not_known_is_not_measured() -> None:
    with pytest.raises(NotMeasured, match="nothing was known before"):
        estimate(measured(None), "student", "old_task_drop_pt", 0.95)
    with pytest.raises(NotMeasured, match="of other examples"):
        estimate(measured({"examples": [0, 500], "right": [1, 1]}), "student", "old_task_drop_pt", 0.95)
    assert replace(measured(None)).facts["task"] == "classification"
