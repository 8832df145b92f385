"""Attention maps of unequal heads, and CRD's memory: formulas as loops in float64, gradients, and what goes with a checkpoint."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgecomp.config.recipe import Distill
from edgecomp.distill import losses
from edgecomp.distill.losses.attention import attention_maps, attention_scores
from edgecomp.distill.losses.crd import Memory, crd
from edgecomp.distill.losses.hidden_states import Bound
from edgecomp.distill.losses.of_features import token_relations
from edgecomp.errors import CaptureError
from edgecomp.models.networks.resnet import ResNet
from edgecomp.models.networks.transformer import Transformer
from edgecomp.quantization.capture import capture
from edgecomp.tasks import task
from edgecomp.training.loop import Batch

RANDOM = torch.Generator().manual_seed(0)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=RANDOM)


def test_scores_are_scaled_products_head_by_head() -> None:
    queries, keys = normal(2, 3, 8), normal(2, 3, 8)
    found = attention_scores(queries, keys, 4)
    for n, head, i, j in np.ndindex(2, 4, 3, 3):
        part = slice(2 * head, 2 * head + 2)
        expected = sum(a * b for a, b in zip(queries[n, i, part], keys[n, j, part], strict=True)) / np.sqrt(2)
        assert found[n, head, i, j].item() == pytest.approx(expected.item(), abs=1e-9)
    with pytest.raises(ValueError, match="cannot be split into 3 heads"):
        attention_scores(queries, keys, 3)


@pytest.mark.parametrize("lengths", [[3, 3], [3, 1]])
def test_maps_are_the_papers_and_padding_takes_no_part(lengths: list[int]) -> None:
    ours, theirs = normal(2, 4, 3, 3), normal(2, 4, 3, 3)
    mask = torch.tensor([[1] * length + [0] * (3 - length) for length in lengths])
    squares = [
        ((ours[n, head, i, j] - theirs[n, head, i, j]) ** 2).item()
        for n, head, i, j in np.ndindex(2, 4, 3, 3)
        if i < lengths[n] and j < lengths[n]
    ]

    def loss(values: torch.Tensor, against: torch.Tensor = theirs) -> torch.Tensor:
        return attention_maps(values, against, heads=4, teacher_heads=4, mask=mask)

    assert loss(ours).item() == pytest.approx(float(np.mean(squares)), abs=1e-9)
    assert torch.autograd.gradcheck(loss, [ours.requires_grad_()])
    assert loss(theirs).item() == 0
    rows = torch.tensor([1, 0])
    other = attention_maps(ours[rows], theirs[rows], heads=4, teacher_heads=4, mask=mask[rows])
    assert other.item() == pytest.approx(loss(ours).item())
    if lengths == [3, 3]:
        assert attention_maps(ours, theirs, heads=4, teacher_heads=4).item() == pytest.approx(
            loss(ours).item()
        )


@pytest.mark.parametrize("padded", [True, False])
def test_a_token_that_counts_more_is_a_larger_part_of_the_mean(padded: bool) -> None:
    """Of maps and of relations: the weighted mean, row by row, over what is no padding; equal weights change nothing."""
    counts = torch.tensor([[1.0, 4.0, 1.0], [2.0, 1.0, 1.0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]]) if padded else None
    ours, theirs = normal(2, 4, 3, 3), normal(2, 4, 3, 3)
    total = weight = 0.0
    for n, head, i, j in np.ndindex(2, 4, 3, 3):
        if mask is None or (mask[n, i] and mask[n, j]):
            total += counts[n, i].item() * ((ours[n, head, i, j] - theirs[n, head, i, j]) ** 2).item()
            weight += counts[n, i].item()
    found = attention_maps(ours, theirs, heads=4, teacher_heads=4, mask=mask, token_weights=counts)
    assert found.item() == pytest.approx(total / weight, abs=1e-9)
    one, other = normal(2, 3, 4), normal(2, 3, 4)
    by_row = [
        [
            token_relations(
                one[n : n + 1], other[n : n + 1], heads=1, mask=_only(mask, n), token_weights=_row(i)
            )
            for i in range(3)
        ]
        for n in range(2)
    ]
    kept = torch.ones(2, 3) if mask is None else mask.float()
    shares = counts * kept
    expected = (
        sum(shares[n, i].item() * by_row[n][i].item() for n, i in np.ndindex(2, 3) if shares[n, i] > 0)
        / shares.sum().item()
    )
    found = token_relations(one, other, heads=1, mask=mask, token_weights=counts)
    assert found.item() == pytest.approx(expected, abs=1e-9)
    alike = token_relations(one, other, heads=1, mask=mask, token_weights=torch.full((2, 3), 3.0))
    assert alike.item() == pytest.approx(token_relations(one, other, heads=1, mask=mask).item(), abs=1e-9)


def _only(mask: torch.Tensor | None, row: int) -> torch.Tensor | None:
    return None if mask is None else mask[row : row + 1]


def _row(place: int) -> torch.Tensor:
    """That one token alone counts."""
    return torch.eye(3)[place : place + 1]


def learner(
    ours: nn.Module, theirs: nn.Module, example: tuple[torch.Tensor, ...], **term: Any
) -> losses.Learner:
    asked = Distill(epochs=1, terms=[term]).model_dump()
    return losses.build(asked, task("classification"), lambda: theirs).bind(ours, example)


IDS = torch.randint(1, 50, (6, 5), generator=torch.Generator().manual_seed(0))
TEXTS = (IDS, torch.ones_like(IDS))
MAPS = {
    "loss": "attention-maps",
    "student": "layers.0",
    "teacher": "layers.0",
    "arguments": {"heads": 2, "teacher_heads": 8},
}


def texts(heads: int, seed: int) -> Transformer:
    torch.manual_seed(seed)
    return Transformer(50, 8, 4, layers=1, width=16, heads=heads, dropout=0.0).eval()


@pytest.mark.parametrize("how", ["linear", "least-squares", "fixed"])
def test_a_map_of_heads_stands_between_unequal_ones(how: str) -> None:
    ours, theirs = texts(2, 0), texts(8, 1)
    taught = learner(ours, theirs, TEXTS, **MAPS, projection=how)
    (term,) = taught.terms
    assert isinstance(term, Bound)
    (between,) = term.projections
    assert isinstance(between, nn.Conv2d)
    assert (between.in_channels, between.out_channels) == (2, 8)
    batch = Batch(TEXTS, torch.zeros(6, dtype=torch.int64), torch.zeros(6, 4), TEXTS[1])
    first = taught.loss(taught(*TEXTS), batch)
    if how == "linear":
        return
    # Of all linear maps of heads, none is nearer: as normal equations in NumPy.
    rows = [
        attention_scores(one.layers[0].query(x), one.layers[0].key(x), heads)
        .detach()
        .double()
        .movedim(1, -1)
        .reshape(-1, heads)
        .numpy()
        for one, heads in ((ours, 2), (theirs, 8))
        for x in [one.layers[0].norm1(one.tokens(IDS) + one.positions(torch.arange(5)))]
    ]
    design = np.concatenate([rows[0], np.ones_like(rows[0][:, :1])], axis=1)
    solved = np.linalg.lstsq(design, rows[1], rcond=None)[0]
    assert first.item() == pytest.approx(float(((design @ solved - rows[1]) ** 2).mean()), rel=1e-4)


def test_as_many_heads_need_no_map_and_a_captured_student_has_maps_too() -> None:
    ours, theirs = texts(2, 0), texts(2, 0)
    told = MAPS | {"arguments": {"heads": 2, "teacher_heads": 2}}
    captured = capture(ours, TEXTS, [{0: "batch", 1: "tokens"}] * 2)
    taught = learner(captured, theirs, TEXTS, **told)
    batch = Batch(TEXTS, torch.zeros(6, dtype=torch.int64), torch.zeros(6, 4), TEXTS[1])
    assert taught.loss(taught(*TEXTS), batch).item() == pytest.approx(0, abs=1e-9)


def test_a_module_without_queries_and_heads_that_do_not_divide_are_told_before_training() -> None:
    with pytest.raises(
        CaptureError,
        match=r"'layers' has no queries and keys \(query and key, q_proj and k_proj, q_lin and k_lin\)",
    ):
        learner(texts(2, 0), texts(8, 1), TEXTS, **(MAPS | {"student": "layers"}))
    with pytest.raises((CaptureError, ValueError), match="cannot be split into 5 heads"):
        learner(texts(2, 0), texts(8, 1), TEXTS, **(MAPS | {"arguments": {"heads": 5, "teacher_heads": 8}}))


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(normal(*shape))


def test_the_contrast_is_the_authors() -> None:
    ours, theirs, memory = unit(3, 6), unit(3, 6), unit(7, 6)
    everything = 1000  # how many examples there are: it cancels
    by_hand = 0.0
    for row in range(3):
        z = 2.5 * everything
        own = np.exp((ours[row] * theirs[row]).sum().item() / 0.2) / z
        by_hand -= np.log(own / (own + 7 / everything)) / 3
        for other in memory:
            one = np.exp((ours[row] * other).sum().item() / 0.2) / z
            by_hand -= np.log((7 / everything) / (one + 7 / everything)) / 3

    def loss(values: torch.Tensor) -> torch.Tensor:
        return crd(values, theirs, memory=memory, temperature=0.2, scale=2.5)

    assert loss(ours).item() == pytest.approx(by_hand, abs=1e-6)
    assert torch.autograd.gradcheck(loss, [ours.requires_grad_()])
    rows = torch.tensor([2, 0, 1])
    other = crd(ours[rows], theirs[rows], memory=memory[[3, 1, 0, 2, 6, 5, 4]], temperature=0.2, scale=2.5)
    assert other.item() == pytest.approx(by_hand, abs=1e-6)


def test_the_memory_keeps_the_newest_and_only_what_is_learnt() -> None:
    torch.manual_seed(0)
    memory, ours, theirs = Memory(4, 5, 8), torch.randn(3, 4), torch.randn(3, 5)
    with torch.no_grad():
        memory(ours, theirs)
    assert memory.seen == 0
    for step in range(4):
        memory(ours + step, theirs + step)
    assert memory.seen == 12
    newest = F.normalize(memory.student_map(ours + 3)).detach()
    torch.testing.assert_close(memory.ours[[1, 2, 3]], newest)
    torch.testing.assert_close(memory.theirs.norm(dim=1), torch.ones(8))


def test_the_memory_goes_with_a_checkpoint() -> None:
    torch.manual_seed(0)
    ours, theirs = ResNet(1, 10, blocks=1, width=4), ResNet(1, 10, blocks=1, width=8).eval()
    images = torch.randn(8, 1, 8, 8)
    told = {"loss": "crd", "student": "pool", "teacher": "pool", "arguments": {"memory": 16}}
    taught = learner(ours, theirs, (images[:2],), **told)
    batch = Batch((images,), torch.zeros(8, dtype=torch.int64), torch.zeros(8, 10))
    for _ in range(3):
        taught.loss(taught(images), batch)
    again = learner(ours, theirs, (images[:2],), **told)
    again.load_state_dict(taught.state_dict())
    logits = taught(images)
    assert taught.loss(logits, batch).item() == again.loss(logits, batch).item()
    assert {"terms.0.memories.0.ours", "terms.0.memories.0.scales"} <= set(taught.state_dict())


def test_a_student_comes_to_pick_its_own_example_among_the_teachers() -> None:
    torch.manual_seed(0)
    memory, student = Memory(8, 6, 64), nn.Linear(5, 8)
    inputs = torch.randn(256, 5)
    taught = inputs @ torch.randn(5, 6)
    optimizer = torch.optim.Adam([*memory.parameters(), *student.parameters()], lr=1e-2)

    def picked() -> float:
        with torch.no_grad():
            one, other = (
                F.normalize(memory.student_map(student(inputs))),
                F.normalize(memory.teacher_map(taught)),
            )
        return ((one @ other.T).argmax(dim=1) == torch.arange(256)).float().mean().item()

    before = picked()
    for step in range(96):
        rows = torch.arange(16) + 16 * (step % 16)
        optimizer.zero_grad()
        memory(student(inputs[rows]), taught[rows], temperature=0.2).backward()
        optimizer.step()
    assert picked() > before + 0.2
