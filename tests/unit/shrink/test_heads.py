"""Heads and channels taken out of Transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgecomp.errors import CaptureError
from edgecomp.models import build
from edgecomp.shrink.heads import KINDS, narrowed
from edgecomp.shrink.pruning import pruned

IDS = [torch.randint(1, 50, (3, 7)), torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 7])]
PICTURES = [torch.randn(2, 3, 32, 32)]
TINY = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "num_hidden_layers": 2}
TEXT = {"vocab_size": 50, "max_position_embeddings": 20}


class Logits(nn.Module):
    """As edgecomp asks a model of Hugging Face's: tensors by position, logits."""

    def __init__(self, network: Any, *names: str) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


def made(kind: str) -> tuple[nn.Module, list[torch.Tensor]]:
    torch.manual_seed(0)
    if kind == "transformer":
        given = {"vocabulary": 50, "max_length": 8, "classes": 3}
        return build("transformer", {"width": 32, "heads": 4}, Path(), given).eval(), IDS
    transformers = pytest.importorskip("transformers")
    if kind == "ViT":
        config = transformers.ViTConfig(**TINY, image_size=32, patch_size=8)
        return Logits(transformers.ViTForImageClassification(config), "pixel_values").eval(), PICTURES
    if kind == "CLIP":
        config = transformers.CLIPConfig(vision_config={**TINY, "image_size": 32, "patch_size": 8})
        return Logits(transformers.CLIPForImageClassification(config), "pixel_values").eval(), PICTURES
    of_distilbert = {"dim": 32, "n_heads": 4, "hidden_dim": 48, "n_layers": 2}
    config = getattr(transformers, f"{kind}Config")(
        **(of_distilbert if kind == "DistilBert" else TINY), **TEXT
    )
    network = getattr(transformers, f"{kind}ForSequenceClassification")(config)
    return Logits(network, "input_ids", "attention_mask").eval(), IDS


ALL = ("transformer", "Bert", "Roberta", "Electra", "DistilBert", "ViT", "CLIP")


def parts(network: nn.Module, place: int) -> list[nn.Linear]:
    """By layer the part of that place in its row of KINDS."""
    found = []
    for names in KINDS:
        for name, part in network.named_modules():
            of_attention = place == 5 and f".{name}".endswith(
                f".{names.output}"
            )  # BERT calls both output.dense
            if isinstance(part, nn.Linear) and f".{name}".endswith(f".{names[place]}") and not of_attention:
                found.append(part)
        if found:
            return found
    raise AssertionError("of no known kind")


@pytest.mark.parametrize("kind", ALL)
def test_half_the_heads_and_channels_are_left_and_the_width_stays(kind: str) -> None:
    network, example = made(kind)
    before = network(*example)
    smaller = narrowed(network, example, 0.5)
    assert smaller(*example).shape == before.shape
    assert torch.equal(network(*example), before)  # it is a copy that is made narrower
    for place in (0, 1, 2, 4):
        for one, other in zip(parts(network, place), parts(smaller, place), strict=True):
            assert other.out_features == len(other.weight) == len(other.bias) < one.out_features
            assert abs(other.out_features / one.out_features - 0.5) < 0.2
            assert other.in_features == one.in_features
    assert len(parts(smaller, 0)) == 2


@pytest.mark.parametrize("kind", ALL)
def test_heads_and_channels_that_do_nothing_are_the_ones_that_go(kind: str) -> None:
    """Half of them silent in `output` and `down`: without them it is the same network."""
    network, example = made(kind)
    with torch.no_grad():
        for output in parts(network, 3):
            output.weight[:, 8:24] = 0  # the second and the third head of four
        for query, key, value in zip(*(parts(network, place) for place in (0, 1, 2)), strict=True):
            for layer in (query, key, value):
                layer.weight[8:24] *= 0.01
        for up, down in zip(parts(network, 4), parts(network, 5), strict=True):
            idle = torch.arange(up.out_features) % 2 == 0
            down.weight[:, idle] = 0
            up.weight[idle] *= 0.01
    smaller = narrowed(network, example, 0.5)
    assert torch.allclose(smaller(*example), network(*example), atol=1e-5)


def test_a_loss_tells_better_than_norms_what_counts() -> None:
    network, example = made("transformer")
    with torch.no_grad():
        for value in parts(network, 2):
            value.weight[:16] *= 50  # two heads of large values ...
        for output in parts(network, 3):
            output.weight[:, :16] = 0  # ... that nobody looks at

    def gradients(network: nn.Module) -> None:
        network(*example).square().sum().backward()

    by_norm, by_loss = narrowed(network, example, 0.5), narrowed(network, example, 0.5, gradients)
    kept = parts(by_loss, 2)[0].weight
    assert torch.equal(kept, parts(network, 2)[0].weight[16:])
    assert torch.equal(parts(by_norm, 2)[0].weight, parts(network, 2)[0].weight[:16])
    assert all(parameter.grad is None for parameter in by_loss.parameters())


def test_shapes_do_not_depend_on_weights() -> None:
    """A fresh network is what a trained one will be: its weights are loaded into it."""
    one, example = made("transformer")
    other, _ = made("transformer")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.normal_()
    narrowed(other, example, 0.3).load_state_dict(narrowed(one, example, 0.3).state_dict())


@pytest.mark.parametrize(
    ("keep", "heads", "channels"), [(0.01, 1, 8), (0.3, 1, 40), (0.75, 3, 96), (0.99, 4, 128)]
)
def test_one_head_at_least_stays_and_channels_stay_by_eights(keep: float, heads: int, channels: int) -> None:
    network, example = made("transformer")
    smaller = narrowed(network, example, keep)
    assert [part.out_features for part in parts(smaller, 0)] == [8 * heads] * 2
    assert [part.out_features for part in parts(smaller, 4)] == [channels] * 2


def test_a_network_that_counts_its_heads_elsewhere_is_refused() -> None:
    network, example = made("transformer")

    class Counted(nn.Module):
        """Takes what its layers answer for an answer of four heads."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = network

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            answer: torch.Tensor = network(*inputs) * self.inner.layers[0].heads  # type: ignore[index,union-attr]
            return answer

    with pytest.raises(CaptureError, match="reads their number elsewhere"):
        narrowed(Counted(), example, 0.5)


def test_where_every_head_and_channel_would_stay_that_is_told() -> None:
    pytest.importorskip("torch_pruning", reason="pip install 'edgecomp[search]'")
    network, example = made("transformer")
    with pytest.raises(CaptureError, match="nothing can be taken out of this network at keep 99 %"):
        pruned(network, example, 0.99)
