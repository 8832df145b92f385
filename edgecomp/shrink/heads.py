"""Transformers made narrower inside: whole attention heads, and channels between the two layers that follow, are taken out. A layer's own width
stays, so that every layer fits its neighbours (Michel, Levy & Neubig 2019, arXiv:1905.10650; McCarley, Chakravarti & Sil 2019, arXiv:1910.06360)."""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from edgecomp.errors import CaptureError


class Names(NamedTuple):
    """How a kind of layer calls its parts, from the layer on: of its attention, and the two layers after it."""

    query: str
    key: str
    value: str
    output: str
    up: str
    down: str


KINDS = (
    Names("query", "key", "value", "output", "up", "down"),  # `transformer`
    Names("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense", "output.dense"),  # BERT, RoBERTa, ELECTRA
    Names("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "ffn.lin1", "ffn.lin2"),  # DistilBERT
    Names("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj", "mlp.fc1", "mlp.fc2"),  # ViT
    Names("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"),  # CLIP, SigLIP
)  # fmt: skip
"""A row a kind of layer: whatever has these parts is one."""
HEADS = ("heads", "num_heads", "n_heads", "num_attention_heads")
"""What a module calls the number of its heads."""
WIDTH = ("all_head_size",)
"""What it calls that of their channels together."""
MULTIPLE = 8
"""Of channels that stay between two layers: kernels take them by eights."""


def narrowed(
    network: nn.Module,
    example: Sequence[torch.Tensor],
    keep: float,
    gradients: Callable[[nn.Module], None] | None = None,
) -> nn.Module:
    """A copy of `network` with a share `keep` of the heads of every attention, one at least, and of the channels between the two layers behind it.

    example, gradients: as `edgecomp.shrink.pruning.pruned` takes them. What counts is the norm of a head's or a channel's weights, there and back;
    with `gradients` by how much the loss would change without it, to the first order. Raises CaptureError where no layer is of a kind in KINDS, or
    what is left is another function than the network in which the same heads and channels are silent.
    """
    smaller = copy.deepcopy(network).eval()
    for parameter in smaller.parameters():
        parameter.requires_grad_(True)
    layers = list(_layers(smaller))
    if not layers:
        raise CaptureError("student.prune: this network holds attention in layers of a kind that is not known (edgecomp/shrink/heads.py has those that are): "
                           "keep some of its layers instead (arguments: {layers: [0, 2]})")  # fmt: skip
    if gradients is not None:
        gradients(smaller)
    silent = copy.deepcopy(smaller)
    for (layer, names, heads), (same, _, _) in zip(layers, list(_layers(silent)), strict=True):
        _narrow(layer, same, names, heads, keep, gradients is not None)
    with torch.no_grad():
        found, wanted = smaller(*example), silent(*example)
    if not torch.allclose(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max())):
        raise CaptureError("student.prune: without these heads this network is not what it is with them silent: it reads their number elsewhere; take "
                           "student.prune out, or keep some of its layers (arguments: {layers: [0, 2]})")  # fmt: skip
    smaller.zero_grad(set_to_none=True)
    return smaller.train(network.training)


def _layers(network: nn.Module) -> Iterator[tuple[nn.Module, Names, int]]:
    """Layers of a known kind, and how many heads they have."""
    for layer in network.modules():
        for names in KINDS:
            parts = [_part(layer, name) for name in names]
            heads = _number(_holder(layer, names.query))
            if heads and all(isinstance(part, nn.Linear) for part in parts):
                yield layer, names, heads


def _part(layer: nn.Module, name: str) -> nn.Module | None:
    found: Any = layer
    for word in name.split("."):
        found = getattr(found, word, None)
    return found if isinstance(found, nn.Module) else None


def _holder(layer: nn.Module, name: str) -> nn.Module | None:
    """The module that the part of that name lies in."""
    above = name.rpartition(".")[0]
    return _part(layer, above) if above else layer


def _number(holder: nn.Module | None) -> int:
    return next((number for name in HEADS if isinstance(number := getattr(holder, name, None), int)), 0)


def _narrow(
    layer: nn.Module, silent: nn.Module, names: Names, heads: int, keep: float, by_gradient: bool
) -> None:
    """Takes out of `layer` what in `silent`, the same one, is made to answer nothing."""
    query, key, value, output, up, down = (_linear(layer, name) for name in names)
    count = max(1, round(keep * heads))
    rated = _rated((query, key, value), output, heads, by_gradient)
    _keep(rated, count, heads, (query, key, value), output, _linear(silent, names.output))
    channels = up.out_features
    by = MULTIPLE if channels >= MULTIPLE else 1
    most = by * max(1, round(keep * (channels // by)))
    _keep(_rated((up,), down, channels, by_gradient), most, channels, (up,), down, _linear(silent, names.down))  # fmt: skip
    holder = _holder(layer, names.query)
    for name in HEADS:
        if getattr(holder, name, None) == heads:
            setattr(holder, name, count)
    for name in WIDTH:
        if hasattr(holder, name):
            setattr(holder, name, query.out_features)


def _linear(layer: nn.Module, name: str) -> nn.Linear:
    found = _part(layer, name)
    assert isinstance(found, nn.Linear)
    return found


def _rated(before: Sequence[nn.Linear], after: nn.Linear, groups: int, by_gradient: bool) -> torch.Tensor:
    """How much each of so many `groups` of channels counts [groups]: of what the layers `before` give, which the layer `after` takes."""
    weight = after.weight
    if by_gradient:
        assert weight.grad is not None
        return (weight * weight.grad).detach().reshape(len(weight), groups, -1).sum((0, 2)).abs()
    squares = weight.detach().square().reshape(len(weight), groups, -1).sum((0, 2))
    for layer in before:
        squares = squares + layer.weight.detach().square().reshape(groups, -1).sum(1)
    return squares.sqrt()


def _keep(
    rated: torch.Tensor,
    count: int,
    groups: int,
    before: Sequence[nn.Linear],
    after: nn.Linear,
    silent: nn.Linear,
) -> None:
    """Keeps the `count` best rated groups of channels, in their order; `silent`, the same layer as `after`, hears nothing of the others."""
    stay = torch.zeros(groups, dtype=torch.bool)
    stay[rated.topk(count).indices] = True
    channels = stay.repeat_interleave(after.in_features // groups)
    with torch.no_grad():
        silent.weight[:, ~channels] = 0
        for layer in before:
            layer.weight = nn.Parameter(layer.weight[channels])
            layer.out_features = len(layer.weight)
            if layer.bias is not None:
                layer.bias = nn.Parameter(layer.bias[channels])
        after.weight = nn.Parameter(after.weight[:, channels])
        after.in_features = after.weight.shape[1]
