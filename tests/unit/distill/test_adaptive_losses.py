"""Losses that weigh examples by the student's distance from its teacher, against the paper's formula as loops in float64."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecomp.distill.losses import adaptive
from edgecomp.distill.losses.of_logits import soft_target_kl

RANDOM = np.random.default_rng(0)
STUDENT, TEACHER = RANDOM.normal(size=(7, 5)) * 2, RANDOM.normal(size=(7, 5)) * 3
LABELS = RANDOM.integers(0, 5, 7)


def softmax(row: np.ndarray) -> list[float]:
    values = [math.exp(value - max(row)) for value in row]
    return [value / sum(values) for value in values]


def by_hand(student: np.ndarray, teacher: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    total = 0.0
    for s, t, label in zip(student, teacher, labels, strict=True):
        weight = 1 - math.exp(-math.log(softmax(s)[label]) / math.log(softmax(t)[label]))
        q, p = softmax(s / temperature), softmax(t / temperature)
        total += weight * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return temperature**2 * total / len(student)


def tensors() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.from_numpy(STUDENT), torch.from_numpy(TEACHER), torch.from_numpy(LABELS)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_it_is_the_papers(temperature: float) -> None:
    found = adaptive.weighted_soft_labels(*tensors(), temperature=temperature)
    assert found.item() == pytest.approx(by_hand(STUDENT, TEACHER, LABELS, temperature), abs=1e-9)


def test_its_gradient_leaves_the_weights_alone() -> None:
    """It is that of the weighted divergence with weights that are numbers, checked by finite differences."""
    student, teacher, labels = tensors()
    student.requires_grad_(True)
    (own,) = torch.autograd.grad(adaptive.weighted_soft_labels(student, teacher, labels), student)
    weights = [
        1 - math.exp(-math.log(softmax(s)[label]) / math.log(softmax(t)[label]))
        for s, t, label in zip(STUDENT, TEACHER, LABELS, strict=True)
    ]

    def fixed(given: torch.Tensor) -> torch.Tensor:
        each = [
            soft_target_kl(given[i : i + 1], teacher[i : i + 1], labels[i : i + 1], temperature=2.0)
            for i in range(7)
        ]
        return sum((w * one for w, one in zip(weights, each, strict=True)), torch.zeros(())) / 7

    assert torch.autograd.gradcheck(fixed, student)
    (wanted,) = torch.autograd.grad(fixed(student), student)
    torch.testing.assert_close(own, wanted, atol=1e-9, rtol=0)


def test_it_is_nothing_where_the_student_is_the_teacher_and_the_same_in_any_order() -> None:
    student, teacher, labels = tensors()
    assert adaptive.weighted_soft_labels(teacher, teacher, labels).abs() < 1e-12
    order = torch.randperm(7)
    turned = adaptive.weighted_soft_labels(student[order], teacher[order], labels[order])
    torch.testing.assert_close(turned, adaptive.weighted_soft_labels(student, teacher, labels))


def test_an_example_that_the_student_knows_better_than_its_teacher_hardly_counts() -> None:
    labels = torch.tensor([0])
    sure, wrong = (
        torch.tensor([[9.0, 0.0]], dtype=torch.float64),
        torch.tensor([[0.0, 3.0]], dtype=torch.float64),
    )
    known = adaptive.weighted_soft_labels(sure, wrong, labels) / soft_target_kl(
        sure, wrong, labels, temperature=2.0
    )
    new = adaptive.weighted_soft_labels(wrong, sure, labels) / soft_target_kl(
        wrong, sure, labels, temperature=2.0
    )
    assert known < 1e-3
    assert new > 0.99


def standardised_by_hand(student: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    """Algorithm 1 of Sun et al. 2024, example by example."""
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        q, p = (
            [(value - np.mean(row)) / np.std(row, ddof=1) / temperature for value in row] for row in (s, t)
        )
        q, p = softmax(np.array(q)), softmax(np.array(p))
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return temperature**2 * total / len(student)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_standardised_soft_labels_are_the_papers(temperature: float) -> None:
    student, teacher, labels = tensors()
    found = adaptive.standardised_soft_labels(student, teacher, labels, temperature=temperature)
    assert found.item() == pytest.approx(standardised_by_hand(STUDENT, TEACHER, temperature), abs=1e-6)
    student.requires_grad_(True)
    assert torch.autograd.gradcheck(
        lambda one: adaptive.standardised_soft_labels(one, teacher, labels, temperature=temperature), student
    )


@settings(max_examples=30, deadline=None)
@given(
    scale=st.floats(0.01, 100), shift=st.floats(-50, 50), weight=st.floats(0.1, 5), seed=st.integers(0, 2**16)
)
def test_standardised_soft_labels_know_no_scale(scale: float, shift: float, weight: float, seed: int) -> None:
    """They are nothing where the student says what its teacher does, on whatever scale; and each example counts what it should."""
    random = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(6, 4, generator=random, dtype=torch.float64) for _ in range(2))
    labels = torch.zeros(6, dtype=torch.int64)
    assert adaptive.standardised_soft_labels(teacher * scale + shift, teacher, labels).abs() < 1e-5
    found = adaptive.standardised_soft_labels(student, teacher, labels)
    moved = adaptive.standardised_soft_labels(student * scale + shift, teacher * 3 - 1, labels)
    torch.testing.assert_close(moved, found, atol=1e-4, rtol=1e-4)
    counted = adaptive.standardised_soft_labels(
        student, teacher, labels, weights=torch.full((6,), weight, dtype=torch.float64)
    )
    torch.testing.assert_close(counted, weight * found)


def test_standardised_soft_labels_of_answers_that_are_all_alike_are_finite() -> None:
    flat, labels = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, dtype=torch.int64)
    found = adaptive.standardised_soft_labels(flat, torch.randn(2, 3), labels)
    found.backward()
    assert torch.isfinite(found)
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()
