"""What a student learns of a teacher's most probable tokens, against the same in NumPy and float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgecomp.language import losses
from edgecomp.tasks.base import IGNORED

M, V = 6, 11
RANDOM = np.random.default_rng(0)
STUDENT, TEACHER = (torch.from_numpy(RANDOM.normal(size=(M, V)) * 2) for _ in range(2))


def by_hand(k: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [M, k + 1] of the teacher's k likeliest tokens and of all others together: the teacher's, the student's."""
    found: list[list[np.ndarray]] = [[], []]
    for row in range(M):
        order = np.argsort(-TEACHER[row].numpy())
        for place, logits in enumerate((TEACHER[row].numpy(), STUDENT[row].numpy())):
            p = np.exp(logits / temperature)
            p /= p.sum()
            found[place].append(np.append(p[order[:k]], p[order[k:]].sum()))
    return np.stack(found[0]), np.stack(found[1])


@pytest.mark.parametrize("k", [1, 4, V - 1])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_divergences_are_those_of_the_categories(k: int, temperature: float) -> None:
    p, q = by_hand(k, temperature)
    m = 0.3 * p + 0.7 * q
    wanted = {
        "kl": (p * np.log(p / q)).sum(1),
        "reverse-kl": (q * np.log(q / p)).sum(1),
        "jsd": 0.3 * (p * np.log(p / m)).sum(1) + 0.7 * (q * np.log(q / m)).sum(1),
    }
    top = losses.top_of(TEACHER, k, temperature)
    for name, by_place in wanted.items():
        found = losses.soft(STUDENT, top, losses.named(name, 0.3), temperature)
        assert float(found) == pytest.approx(by_place.mean() * temperature**2, rel=1e-12)


def test_with_all_tokens_it_is_the_divergence_of_the_whole_vocabulary() -> None:
    whole = torch.nn.functional.kl_div(
        STUDENT.log_softmax(1), TEACHER.log_softmax(1), reduction="batchmean", log_target=True
    )
    found = losses.soft(STUDENT, losses.top_of(TEACHER, V - 1, 1.0), losses.forward_kl, 1.0)
    assert float(found) == pytest.approx(float(whole), rel=1e-12)


@given(st.integers(1, V - 2), st.floats(0.3, 5))
def test_the_rest_keeps_its_mass_and_fewer_tokens_bound_the_divergence_from_below(
    k: int, temperature: float
) -> None:
    top, more = (losses.top_of(TEACHER, count, temperature) for count in (k, V - 1))
    torch.testing.assert_close(top.categories.exp().sum(1), torch.ones(M, dtype=torch.float64))
    fewer, whole = (float(losses.soft(STUDENT, one, losses.forward_kl, temperature)) for one in (top, more))
    assert -1e-12 <= fewer <= whole + 1e-12


@pytest.mark.parametrize("name", ["kl", "reverse-kl", "jsd"])
def test_a_student_that_says_the_same_has_nothing_to_learn(name: str) -> None:
    student = TEACHER.clone().requires_grad_()
    value = losses.soft(student, losses.top_of(TEACHER, 4, 1.0), losses.named(name, 0.5), 1.0)
    value.backward()
    assert float(value.detach()) == pytest.approx(0, abs=1e-12)
    assert student.grad is not None
    assert float(student.grad.abs().max()) < 1e-12


def test_the_generalised_divergence_becomes_forward_kl() -> None:
    p, q = (
        losses.categories(TEACHER, torch.arange(3).repeat(M, 1), 1.0),
        losses.categories(STUDENT, torch.arange(3).repeat(M, 1), 1.0),
    )
    near = losses.jensen_shannon(1e-6)(q, p) / 1e-6
    torch.testing.assert_close(near, losses.forward_kl(q, p), rtol=1e-4, atol=1e-6)


def test_places_that_do_not_count_are_not_learnt() -> None:
    labels = torch.tensor([3, IGNORED, 0, IGNORED, 5, 1])
    wanted = -np.mean(
        [float(STUDENT[row].log_softmax(0)[label]) for row, label in enumerate(labels.tolist()) if label >= 0]
    )
    assert float(losses.hard(STUDENT, labels)) == pytest.approx(wanted, rel=1e-12)
