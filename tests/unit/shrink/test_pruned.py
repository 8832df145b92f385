"""Channels taken out of a network: what is left, what is refused, and a student made so."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgecomp.config.job import load_job
from edgecomp.errors import CaptureError, RecipeError
from edgecomp.models import build
from edgecomp.shrink.pruning import pruned

pytest.importorskip("torch_pruning", reason="pip install 'edgecomp[search]'")

IMAGES: dict[str, Any] = {"channels": 1, "classes": 3}
NETWORKS: dict[str, tuple[dict[str, Any], torch.Tensor]] = {
    "resnet": (IMAGES, torch.randn(2, 1, 16, 16)),
    "mobilenet": (IMAGES, torch.randn(2, 1, 32, 32)),
    "airbench": (IMAGES, torch.randn(2, 1, 32, 32)),
    "segmenter": (IMAGES, torch.randn(2, 1, 16, 16)),
    "conv-text": ({"max_bytes": 64, "classes": 3}, torch.randint(1, 255, (2, 64))),
    "mlp": ({"features": 6, "classes": 3}, torch.randn(2, 6)),
    "two-tower": ({"features": 6, "classes": 30}, torch.randn(2, 6)),
}


def size(network: nn.Module) -> int:
    return sum(one.numel() for one in network.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_half_the_channels_are_some_quarter_of_the_weights(name: str) -> None:
    given, example = NETWORKS[name]
    network = build(name, {}, Path(), given)
    whole = size(network)
    smaller = pruned(network, [example], 0.5)
    assert size(network) == whole  # it is a copy that is pruned
    assert 0.2 < size(smaller) / whole < 0.45
    assert smaller(example).shape == network(example).shape
    assert smaller.training == network.training


def test_shapes_do_not_depend_on_weights() -> None:
    """A fresh network is what a trained one will be: its weights are loaded into it."""
    given, example = NETWORKS["resnet"]
    one, other = (pruned(build("resnet", {}, Path(), given), [example], 0.4) for _ in range(2))
    other.load_state_dict(one.state_dict())


def test_what_does_nothing_is_taken_out_first() -> None:
    network = build("mlp", {"layers": 1, "width": 8}, Path(), NETWORKS["mlp"][0]).eval()
    example = NETWORKS["mlp"][1]
    first, head = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
    with torch.no_grad():
        for idle in (1, 3, 4, 6):
            for values in (first.weight[idle], head.weight[:, idle]):
                values.zero_()
            first.bias[idle] = 0
    smaller = pruned(network, [example], 0.5)
    assert torch.allclose(smaller(example), network(example), atol=1e-6)


def test_a_loss_tells_better_than_norms_what_counts() -> None:
    """A channel of large weights that the answer does not look at: the norm keeps it, and the loss takes it out."""
    network = build("mlp", {"layers": 1, "width": 2}, Path(), NETWORKS["mlp"][0]).eval()
    example = NETWORKS["mlp"][1].abs()
    first, head = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[100.0] * 6, [1.0] * 6]))
        first.bias.zero_()
        head.weight.copy_(torch.tensor([[0.0, 1.0], [0.0, -1.0], [0.0, 0.5]]))

    def gradients(network: nn.Module) -> None:
        network(example).square().sum().backward()

    by_norm, by_loss = pruned(network, [example], 0.5), pruned(network, [example], 0.5, gradients)
    assert torch.allclose(by_loss(example), network(example), atol=1e-4)
    assert not torch.allclose(by_norm(example), network(example), atol=1e-1)
    assert all(parameter.grad is None for parameter in by_loss.parameters())


class Odd(nn.Module):
    """Its channels are counted where nobody sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.last(self.first(x).reshape(-1, 2, 4).sum(1))
        return answer


@pytest.mark.parametrize(
    ("network", "example", "said"),
    [
        (nn.TransformerEncoderLayer(8, 2), [torch.randn(2, 3, 8)], "of a kind that is not known"),
        (nn.Flatten(), [torch.ones(2, 3)], "no layer with weights"),
        (Odd(), [torch.ones(2, 6)], "take student.prune out"),
    ],
    ids=["attention", "no weights", "counted"],
)
def test_what_cannot_be_pruned_is_refused(network: nn.Module, example: list[torch.Tensor], said: str) -> None:
    with pytest.raises(CaptureError, match=r"student\.prune") as error:
        pruned(network, example, 0.5)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("student", "said"),
    [
        ("{network: teacher, prune: {keep: 0.5}}", "has no unit"),
        ("{network: teacher, prune: {keep: 100 %}}", "no share of channels that leaves some out"),
        ("{network: resnet, prune: {keep: 50 %}}", "take network: teacher"),
        ("{network: teacher, prune: {keep: 50 %, importance: taylr}}", "did you mean 'taylor'"),
    ],
)
def test_a_recipe_that_prunes_what_it_cannot_is_refused(student: str, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_job("digits", [f"student={student}", "~student.arguments"])
    assert said in str(error.value)
