"""Each loss against its paper's formula, written as loops in float64, its gradient, and what it must not depend on."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecomp.distill.losses import of_logits

Array = np.ndarray


def softmax(logits: Array) -> Array:
    found = np.exp(logits - logits.max())
    return found / found.sum()


def kl(p: Array, q: Array) -> float:
    return float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True)))


def pearson(a: Array, b: Array) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (np.sqrt((a * a).sum()) * np.sqrt((b * b).sum())))


def by_hand_kl(student: Array, teacher: Array, labels: Array) -> float:
    return 16 * np.mean([kl(softmax(t / 4), softmax(s / 4)) for s, t in zip(student, teacher, strict=True)])


def by_hand_cross_entropy(student: Array, teacher: Array, labels: Array) -> float:
    rows = [-(softmax(t / 4) * np.log(softmax(s / 4))).sum() for s, t in zip(student, teacher, strict=True)]
    return 16 * float(np.mean(rows))


def by_hand_mse(student: Array, teacher: Array, labels: Array) -> float:
    total = 0.0
    for row in range(len(student)):
        for column in range(student.shape[1]):
            total += (student[row, column] - teacher[row, column]) ** 2
    return total / student.size


def by_hand_dkd(student: Array, teacher: Array, labels: Array) -> float:
    found = []
    for s, t, label in zip(student, teacher, labels, strict=True):
        p, q = softmax(t / 4), softmax(s / 4)
        target = kl(np.array([p[label], 1 - p[label]]), np.array([q[label], 1 - q[label]]))
        others = kl(np.delete(p, label) / (1 - p[label]), np.delete(q, label) / (1 - q[label]))
        found.append(1.0 * target + 8.0 * others)
    return 16 * float(np.mean(found))


def by_hand_dist(student: Array, teacher: Array, labels: Array) -> float:
    p, q = np.stack([softmax(t) for t in teacher]), np.stack([softmax(s) for s in student])
    between = np.mean([1 - pearson(a, b) for a, b in zip(q, p, strict=True)])
    within = np.mean([1 - pearson(a, b) for a, b in zip(q.T, p.T, strict=True)])
    return float(between + within)


def by_hand_hard(student: Array, teacher: Array, labels: Array) -> float:
    return -float(np.mean([np.log(softmax(s)[label]) for s, label in zip(student, labels, strict=True)]))


LOSSES: dict[str, tuple[Callable[..., torch.Tensor], Callable[[Array, Array, Array], float]]] = {
    "kl": (of_logits.soft_target_kl, by_hand_kl),
    "soft cross-entropy": (of_logits.soft_cross_entropy, by_hand_cross_entropy),
    "mse": (of_logits.logits_mse, by_hand_mse),
    "dkd": (of_logits.decoupled_kd, by_hand_dkd),
    "dist": (of_logits.dist, by_hand_dist),
    "hard": (of_logits.hard_cross_entropy, by_hand_hard),
}
AGREE = [name for name in LOSSES if name not in ("soft cross-entropy", "hard")]


def logits(seed: int, count: int = 6, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    student, teacher = (torch.from_numpy(random.normal(0, 3, (count, classes))) for _ in range(2))
    return student, teacher, torch.from_numpy(random.integers(0, classes, count))


@pytest.mark.parametrize("name", LOSSES)
def test_it_is_the_papers_formula(name: str) -> None:
    ours, by_hand = LOSSES[name]
    for seed in range(5):
        student, teacher, labels = logits(seed)
        expected = by_hand(student.numpy(), teacher.numpy(), labels.numpy())
        assert ours(student, teacher, labels).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_its_gradient_is_that_of_its_values(name: str) -> None:
    ours, _ = LOSSES[name]
    student, teacher, labels = logits(0)
    assert torch.autograd.gradcheck(lambda values: ours(values, teacher, labels), student.requires_grad_())


@pytest.mark.parametrize("name", AGREE)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.floats(-5, 5))
def test_it_is_zero_for_the_teacher_itself_and_positive_for_another(
    name: str, seed: int, shift: float
) -> None:
    ours, _ = LOSSES[name]
    student, teacher, labels = logits(seed)
    assert ours(teacher, teacher, labels).item() == pytest.approx(0, abs=1e-9)
    assert ours(student, teacher, labels).item() > 1e-4
    if name != "mse":  # a softmax does not know what is added to every logit
        assert ours(student + shift, teacher, labels).item() == pytest.approx(
            ours(student, teacher, labels).item(), rel=1e-8
        )


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_examples_and_of_classes_does_not_matter(name: str, seed: int) -> None:
    ours, _ = LOSSES[name]
    student, teacher, labels = logits(seed)
    expected = ours(student, teacher, labels).item()
    rows, columns = torch.randperm(len(student)), torch.randperm(student.shape[1])
    assert ours(student[rows], teacher[rows], labels[rows]).item() == pytest.approx(expected, rel=1e-9)
    where = torch.argsort(columns)  # of a class, its new place
    assert ours(student[:, columns], teacher[:, columns], where[labels]).item() == pytest.approx(
        expected, rel=1e-9
    )


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_decoupled_with_the_teachers_own_weights_is_the_ordinary_one(temperature: float) -> None:
    student, teacher, labels = logits(3)
    for row in range(len(student)):
        one = slice(row, row + 1)
        right = softmax(teacher[row].numpy() / temperature)[labels[row]]
        decoupled = of_logits.decoupled_kd(
            student[one], teacher[one], labels[one], temperature=temperature, beta=1 - right
        )
        ordinary = of_logits.soft_target_kl(student[one], teacher[one], labels[one], temperature=temperature)
        assert decoupled.item() == pytest.approx(ordinary.item(), rel=1e-9)


def test_soft_cross_entropy_learns_what_the_divergence_learns() -> None:
    student, teacher, labels = logits(1)
    gradients = []
    for loss in (of_logits.soft_cross_entropy, of_logits.soft_target_kl):
        values = student.clone().requires_grad_()
        loss(values, teacher, labels).backward()
        gradients.append(values.grad)
    assert torch.allclose(*gradients, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
@pytest.mark.parametrize("name", LOSSES)
def test_it_stays_a_number_in_float32(name: str, scale: float) -> None:
    ours, _ = LOSSES[name]
    student, teacher, labels = logits(2)
    values = (scale * student).float().requires_grad_()
    found = ours(values, (scale * teacher).float(), labels)
    found.backward()
    assert torch.isfinite(found)
    assert torch.isfinite(values.grad).all()
