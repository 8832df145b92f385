"""Our losses beside torchdistill's, where it has them: an implementation by other hands. Installed by `pip install --no-deps torchdistill`."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from edgecomp.distill.losses import adaptive, of_features, of_logits
from edgecomp.distill.losses.crd import crd

reference = pytest.importorskip(
    "torchdistill.losses.mid_level", reason="needs torchdistill (pip install --no-deps torchdistill)"
)


@pytest.fixture
def outputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of a student and a teacher, and labels."""
    random = torch.Generator().manual_seed(0)
    student, teacher = (3 * torch.randn(8, 6, dtype=torch.float64, generator=random) for _ in range(2))
    return student, teacher, torch.randint(0, 6, (8,), generator=random)


def features(channels: int, seed: int) -> torch.Tensor:
    return torch.randn(5, channels, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def as_told(student: torch.Tensor, teacher: torch.Tensor) -> tuple[dict, dict]:
    """In the form that it takes them."""
    return {"layer": {"output": student}}, {"layer": {"output": teacher}}


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)


def test_soft_and_hard_labels(outputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    student, teacher, labels = outputs
    theirs = reference.KDLoss("layer", "output", "layer", "output", temperature=4.0, alpha=0.3)
    ours = 0.3 * of_logits.hard_cross_entropy(*outputs) + 0.7 * of_logits.soft_target_kl(*outputs)
    close(ours, theirs(*as_told(student, teacher), labels))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_dist(outputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor], temperature: float) -> None:
    student, teacher, _ = outputs
    theirs = reference.DISTLoss("layer", "output", "layer", "output", beta=2.0, gamma=0.5, tau=temperature)
    ours = of_logits.dist(*outputs, temperature=temperature, beta=2.0, gamma=0.5)
    close(ours, theirs(*as_told(student, teacher)))


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_standardised_soft_labels(
    outputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor], temperature: float
) -> None:
    """Theirs without the hard labels, which it multiplies by no T² then."""
    student, teacher, _ = outputs
    theirs = reference.LogitStdKDLoss(
        "layer", "output", "layer", "output", temperature=temperature, alpha=0, beta=1
    )
    ours = adaptive.standardised_soft_labels(*outputs, temperature=temperature)
    close(ours, theirs(*as_told(student, teacher)) * temperature**2)


def test_attention_transfer() -> None:
    told = as_told(features(3, 0), features(7, 1))
    pair = {"student": {"path": "layer", "io": "output"}, "teacher": {"path": "layer", "io": "output"}}
    close(
        of_features.attention_transfer(features(3, 0), features(7, 1)),
        reference.ATLoss({"pair": pair})(*told),
    )


def test_relations() -> None:
    student, teacher = features(3, 0), features(7, 1)
    for distance, angle, ours in (
        (1, 0, of_features.relational_distance),
        (0, 1, of_features.relational_angle),
    ):
        theirs = reference.RKDLoss("layer", "layer", distance, angle, "mean")
        close(ours(student, teacher), theirs(*as_told(student, teacher)))


def test_similarities_but_for_their_norm() -> None:
    """Theirs divides rows by their 1-norm (`normalize(products, 1)`, where 1 is p), the paper's equation 2 by their 2-norm."""
    student, teacher = features(3, 0), features(7, 1)
    theirs = reference.SPKDLoss("layer", "layer", "batchmean")(*as_told(student, teacher))
    products = [one.flatten(1) @ one.flatten(1).T for one in (student, teacher)]
    by_one = [product / product.abs().sum(dim=1, keepdim=True) for product in products]
    close(torch.nn.functional.mse_loss(by_one[0], by_one[1]), theirs)


def test_contrast_with_a_memory() -> None:
    random = torch.Generator().manual_seed(0)
    ours, theirs, memory = (
        F.normalize(torch.randn(rows, 16, dtype=torch.float64, generator=random)) for rows in (5, 5, 40)
    )
    asked = torch.cat([(ours * theirs).sum(dim=1, keepdim=True), ours @ memory.T], dim=1)
    examples, scale = 1000, 1.7
    likely = torch.exp(asked / 0.07) / (scale * examples)
    told = SimpleNamespace(num_samples=examples, eps=0.0)
    expected = reference.CRDLoss.compute_contrast_loss(told, likely)
    close(crd(ours, theirs, memory=memory, temperature=0.07, scale=scale), expected)
