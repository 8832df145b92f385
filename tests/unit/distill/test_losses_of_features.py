"""Each loss of hidden states against its paper's formula, written as loops in float64, its gradient, and what it must not depend on."""

from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch

from edgecomp.distill.losses import of_features

Array = np.ndarray


def huber(difference: float) -> float:
    return 0.5 * difference**2 if abs(difference) < 1 else abs(difference) - 0.5


def norm(vector: Array) -> float:
    return float(np.sqrt((vector**2).sum()))


def by_hand_mse(ours: Array, theirs: Array) -> float:
    return float(np.mean([(a - b) ** 2 for a, b in zip(ours.ravel(), theirs.ravel(), strict=True)]))


def by_hand_cosine(ours: Array, theirs: Array) -> float:
    found = []
    for n, y, x in np.ndindex(ours.shape[0], *ours.shape[2:]):
        a, b = ours[n, :, y, x], theirs[n, :, y, x]
        found.append(1 - (a * b).sum() / (norm(a) * norm(b)))
    return float(np.mean(found))


def by_hand_attention(ours: Array, theirs: Array) -> float:
    found = []
    for n in range(len(ours)):
        maps = []
        for features in (ours[n], theirs[n]):
            one = np.array(
                [
                    [(features[:, y, x] ** 2).mean() for x in range(features.shape[2])]
                    for y in range(features.shape[1])
                ]
            )
            maps.append(one / norm(one))
        found.append(((maps[0] - maps[1]) ** 2).mean())
    return float(np.mean(found))


def by_hand_distance(ours: Array, theirs: Array) -> float:
    of = []
    for features in (ours, theirs):
        rows = features.reshape(len(features), -1)
        distances = np.array([[norm(a - b) for b in rows] for a in rows])
        of.append(distances / distances[distances > 0].mean())
    return float(np.mean([huber(a - b) for a, b in zip(of[0].ravel(), of[1].ravel(), strict=True)]))


def by_hand_angle(ours: Array, theirs: Array) -> float:
    def angle(rows: Array, i: int, j: int, k: int) -> float:
        a, b = rows[j] - rows[i], rows[k] - rows[i]
        return 0.0 if norm(a) == 0 or norm(b) == 0 else float((a * b).sum() / (norm(a) * norm(b)))

    of = [features.reshape(len(features), -1) for features in (ours, theirs)]
    triples = list(product(range(len(ours)), repeat=3))
    return float(np.mean([huber(angle(of[0], *one) - angle(of[1], *one)) for one in triples]))


def by_hand_similarity(ours: Array, theirs: Array) -> float:
    of = []
    for features in (ours, theirs):
        rows = features.reshape(len(features), -1)
        similar = np.array([[(a * b).sum() for b in rows] for a in rows])
        of.append(np.array([row / norm(row) for row in similar]))
    return float(np.mean((of[0] - of[1]) ** 2))


def by_hand_contrastive(ours: Array, theirs: Array) -> float:
    a, b = (one.reshape(len(one), -1) for one in (ours, theirs))
    cosines = np.array([[(x * y).sum() / (norm(x) * norm(y)) for y in b] for x in a]) / 0.1
    found = []
    for table in (cosines, cosines.T):
        found += [-np.log(np.exp(table[n, n]) / np.exp(table[n]).sum()) for n in range(len(table))]
    return float(np.mean(found))


Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
IMAGES: dict[str, tuple[Loss, Callable[[Array, Array], float], bool]] = {
    "mse": (of_features.mean_squared, by_hand_mse, False),
    "cosine": (of_features.cosine, by_hand_cosine, False),
    "attention transfer": (of_features.attention_transfer, by_hand_attention, True),
    "relational distance": (of_features.relational_distance, by_hand_distance, True),
    "relational angle": (of_features.relational_angle, by_hand_angle, True),
    "similarity": (of_features.similarity_preserving, by_hand_similarity, True),
    "contrastive": (of_features.contrastive, by_hand_contrastive, False),
}
"""The loss, its formula, and whether the widths may differ."""

ZERO = [name for name in IMAGES if name != "contrastive"]


def images(seed: int, ours: int = 3, theirs: int = 3, count: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    return tuple(torch.from_numpy(random.normal(size=(count, width, 2, 3))) for width in (ours, theirs))  # type: ignore[return-value]


@pytest.mark.parametrize("name", IMAGES)
def test_it_is_the_papers_formula(name: str) -> None:
    loss, by_hand, widths_differ = IMAGES[name]
    for seed in range(4):
        ours, theirs = images(seed, theirs=5 if widths_differ else 3)
        assert loss(ours, theirs).item() == pytest.approx(
            by_hand(ours.numpy(), theirs.numpy()), rel=1e-9, abs=1e-12
        )


@pytest.mark.parametrize("name", IMAGES)
def test_its_gradient_is_that_of_its_values(name: str) -> None:
    loss, _, widths_differ = IMAGES[name]
    ours, theirs = images(0, theirs=5 if widths_differ else 3)
    assert torch.autograd.gradcheck(lambda values: loss(values, theirs), ours.requires_grad_())


@pytest.mark.parametrize("name", ZERO)
def test_it_is_zero_for_the_teachers_own(name: str) -> None:
    loss, _, _ = IMAGES[name]
    ours, theirs = images(1)
    assert loss(theirs, theirs).item() == pytest.approx(0, abs=1e-12)
    assert loss(ours, theirs).item() > 1e-4


@pytest.mark.parametrize("name", IMAGES)
def test_the_order_of_examples_does_not_matter(name: str) -> None:
    loss, _, _ = IMAGES[name]
    ours, theirs = images(2)
    rows = torch.tensor([2, 0, 3, 1])
    assert loss(ours[rows], theirs[rows]).item() == pytest.approx(loss(ours, theirs).item(), rel=1e-9)


@pytest.mark.parametrize(
    "name", ["attention transfer", "relational distance", "relational angle", "similarity", "cosine"]
)
def test_a_scale_of_the_features_does_not_matter(name: str) -> None:
    loss, _, _ = IMAGES[name]
    ours, theirs = images(3)
    assert loss(7 * ours, theirs).item() == pytest.approx(loss(ours, theirs).item(), rel=1e-9)


def test_equal_examples_have_no_gradient_that_is_no_number() -> None:
    same = torch.ones(3, 4, dtype=torch.float64, requires_grad=True)
    _, theirs = images(0, count=3)
    for loss in (of_features.relational_distance, of_features.relational_angle):
        loss(same * torch.tensor([[1.0], [1.0], [2.0]]), theirs).backward()
        assert torch.isfinite(same.grad).all()


def test_maps_of_another_resolution_are_averaged_down() -> None:
    ours = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    halves = torch.nn.functional.avg_pool2d(ours, 2)
    assert of_features.attention_transfer(ours, halves).item() == pytest.approx(0, abs=1e-12)


def tokens(seed: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 4, width)))


def by_hand_relations(ours: Array, theirs: Array, heads: int, lengths: list[int]) -> float:
    found = []
    for n, length in enumerate(lengths):
        for head in range(heads):
            of = []
            for values in (ours[n], theirs[n]):
                size = values.shape[1] // heads
                part = values[:length, head * size : (head + 1) * size]
                products = np.exp(part @ part.T / np.sqrt(size))
                of.append(products / products.sum(axis=1, keepdims=True))
            found += [
                sum(p * np.log(p / q) for q, p in zip(a, b, strict=True)) for a, b in zip(*of, strict=True)
            ]
    return float(np.mean(found))


@pytest.mark.parametrize("lengths", [[4, 4], [4, 2]])
def test_relations_of_tokens_are_the_papers_and_padding_takes_no_part(lengths: list[int]) -> None:
    ours, theirs = tokens(0, 6), tokens(1, 12)
    mask = torch.tensor([[1] * length + [0] * (4 - length) for length in lengths])
    expected = by_hand_relations(ours.numpy(), theirs.numpy(), 3, lengths)
    loss = partial(of_features.token_relations, heads=3, mask=mask)
    assert loss(ours, theirs).item() == pytest.approx(expected, rel=1e-9)
    assert torch.autograd.gradcheck(lambda values: loss(values, theirs), ours.requires_grad_())
    assert loss(theirs, theirs).item() == pytest.approx(0, abs=1e-12)
    if lengths == [4, 4]:
        assert of_features.token_relations(ours, theirs, heads=3).item() == pytest.approx(expected, rel=1e-9)


def test_cosines_of_texts_are_by_token() -> None:
    ours, theirs = tokens(2, 5), tokens(3, 5)
    rows = [
        (a, b) for x, y in zip(ours.numpy(), theirs.numpy(), strict=True) for a, b in zip(x, y, strict=True)
    ]
    expected = np.mean([1 - (a * b).sum() / (norm(a) * norm(b)) for a, b in rows])
    assert of_features.cosine(ours, theirs).item() == pytest.approx(expected, rel=1e-9)


def test_alignment_of_kernels_is_one_for_a_rotation_and_small_for_noise() -> None:
    features = torch.randn(60, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rotation, _ = torch.linalg.qr(
        torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    )
    noise = torch.randn(60, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert of_features.linear_cka(features, 3 * features @ rotation + 1).item() == pytest.approx(1, abs=1e-9)
    assert of_features.linear_cka(features, noise).item() < 0.2
    centred = [one - one.mean(dim=0) for one in (features, noise)]
    by_hand = (centred[1].T @ centred[0]).square().sum() / (
        (centred[0].T @ centred[0]).norm() * (centred[1].T @ centred[1]).norm()
    )
    assert of_features.linear_cka(features, noise).item() == pytest.approx(by_hand.item(), rel=1e-9)
    assert of_features.linear_cka(torch.ones(4, 2), torch.randn(4, 2)).item() == 0
