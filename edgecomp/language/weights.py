"""Weights in 8 and in 4 bits by groups: `group` weights of an output channel, beside each other, share a scale that is kept in fp16; activations stay float.

These are the integers of llama.cpp's Q8_0 and Q4_0 and of ONNX Runtime's MatMulNBits, symmetric, so that a student that is trained through them is, to the
last bit of each weight, what these kernels multiply. Embeddings and the last layer, which share a table in small models, have 8 bits in either.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

from edgecomp.errors import UsageError
from edgecomp.language.models import Tied

GROUPS = (32, 64, 128)
"""Of weights that share a scale: what both runtimes' kernels take."""

RANGES = {4: (-8, 7), 8: (-127, 127)}
SHRUNK = torch.linspace(0.7, 1.0, 13)
"""Of the scale that reaches a group's largest weight: where a search for the least squared error looks."""
SMALLEST = 2.0**-24  # of fp16, so that no scale is 0
PACKED_BYTES = {4: 0.5, 8: 1.0}


@dataclass(frozen=True)
class Integers:
    """A layer's weights as they are stored. values: int8 [out, in]; scales: float16 [out, in / group]; bits: 4 or 8."""

    values: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float16]
    bits: int

    @property
    def group(self) -> int:
        """Weights that share a scale."""
        return int(self.values.shape[1] // self.scales.shape[1])

    def dequantised(self) -> npt.NDArray[np.float32]:
        """The weights that they stand for, [out, in]."""
        rows = self.values.reshape(len(self.values), -1, self.group).astype(np.float32)
        return (rows * self.scales.astype(np.float32)[:, :, None]).reshape(self.values.shape)

    @property
    def stored_bytes(self) -> int:
        """Of the integers and their scales."""
        return int(self.values.size * PACKED_BYTES[self.bits]) + 2 * self.scales.size


class Rounded(nn.Module):
    """A layer's weights [out, in] that are rounded whenever they are read: forward gives them. Their scales learn as logarithms (docs/decisions/002) by
    the gradient of LSQ (Esser et al. 2020, arXiv:1902.08153), and are rounded to fp16 where they are used."""

    def __init__(self, weight: torch.Tensor, bits: int, group: int) -> None:
        super().__init__()
        self.bits, self.group = bits, group
        self.weight = weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight)
        self.log_scale = nn.Parameter(least_squares(weight.detach(), bits, group).log())

    def scale(self) -> torch.Tensor:
        """As it is stored: float32 [out, in / group] of values that fp16 has."""
        exact = self.log_scale.exp()
        stored = exact.detach().half().float().clamp_min(SMALLEST)
        return exact + (stored - exact).detach()

    def forward(self, rows: torch.Tensor | None = None) -> torch.Tensor:
        """All weights, or those of some rows, int64 [...]: [..., in]."""
        weight: torch.Tensor = self.weight
        scale = self.scale()
        if rows is not None:
            weight, scale = weight[rows], scale[rows]
        grouped = _grouped(weight, self.group)
        found: torch.Tensor = _rounded(grouped, scale.unsqueeze(-1), self.bits).flatten(-2)
        return found

    @torch.no_grad()
    def integers(self) -> Integers:
        """What is stored of it."""
        scale = self.scale()
        low, high = RANGES[self.bits]
        grouped = _grouped(self.weight, self.group) / scale.unsqueeze(-1)
        values = grouped.round().clamp(low, high).flatten(1)
        return Integers(values.to(torch.int8).numpy(), scale.half().numpy(), self.bits)


def _grouped(weight: torch.Tensor, group: int) -> torch.Tensor:
    """[..., in] as [..., in / group, group]."""
    return weight.reshape(*weight.shape[:-1], -1, group)


def _rounded(weight: torch.Tensor, scale: torch.Tensor, bits: int) -> torch.Tensor:
    """weight: [..., group]; scale: [..., 1]."""
    low, high = RANGES[bits]
    steps = (weight / scale).clamp(low, high)
    found: torch.Tensor = (steps + (steps.round() - steps).detach()) * scale
    return found


@torch.no_grad()
def least_squares(weight: torch.Tensor, bits: int, group: int) -> torch.Tensor:
    """Scales [out, in / group] that fp16 has, with which rounding `weight` [out, in] to `bits` by groups of `group` makes the least squared error among those
    that reach the largest, and some that cut it."""
    grouped = _grouped(weight, group)
    most = grouped.abs().amax(dim=2) / RANGES[bits][1]
    best = torch.full_like(most, float("inf"))
    found = most.clone()
    for shrunk in SHRUNK:
        scale = (most * shrunk).half().float().clamp_min(SMALLEST)
        error = (_rounded(grouped, scale.unsqueeze(2), bits) - grouped).square().sum(dim=2)
        better = error < best
        best, found = torch.where(better, error, best), torch.where(better, scale, found)
    return found


class RoundedLinear(nn.Module):
    """A linear layer by rounded weights."""

    def __init__(self, rounded: Rounded, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.rounded, self.bias = rounded, bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.rounded(), self.bias)


class RoundedEmbedding(nn.Module):
    """A table of rounded rows."""

    def __init__(self, rounded: Rounded) -> None:
        super().__init__()
        self.rounded = rounded

    @property
    def weight(self) -> torch.Tensor:
        """The whole table."""
        found: torch.Tensor = self.rounded()
        return found

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.rounded(ids)
        return found


def rounded(network: nn.Module, bits: int, group: int) -> nn.Module:
    """A copy of `network` whose linear layers have weights in `bits` by groups of `group`, and whose embeddings and last layer have them in 8.
    Raises UsageError where a layer has a number of inputs that is no multiple of the group."""
    check_group(network, group)
    student = copy.deepcopy(network)
    for parent in list(student.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Embedding):
                setattr(parent, name, RoundedEmbedding(Rounded(layer.weight, 8, group)))
            elif isinstance(layer, nn.Linear):
                own = 8 if name == "lm_head" else bits
                setattr(parent, name, RoundedLinear(Rounded(layer.weight, own, group), layer.bias))
    for layer in student.modules():
        if isinstance(layer, Tied):
            layer.follow(student)
    return student


def check_group(network: nn.Module, group: int) -> None:
    """Raises UsageError where a layer of `network` has a number of inputs that is no multiple of `group`, and names the groups that divide all."""
    inputs = {name: layer.weight.shape[1] for name, layer in _layers(network)}
    if wrong := [name for name, channels in inputs.items() if channels % group]:
        fit = [str(one) for one in GROUPS if not any(channels % one for channels in inputs.values())]
        instead = (
            f"take {' or '.join(fit)}"
            if fit
            else "none of them does: another width of the student, or quantize.method=none"
        )
        raise UsageError(
            f"language.group_size: {group} does not divide the {inputs[wrong[0]]} inputs of {wrong[0]}; of {', '.join(map(str, GROUPS))} {instead}"
        )


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Linear | nn.Embedding]]:
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear | nn.Embedding):
            yield name, layer


def integers_of(network: nn.Module) -> dict[str, Integers]:
    """What is stored of each rounded layer of `network`, by the name that its weights have in the model before: `model.layers.0.mlp.up_proj.weight`."""
    return {
        f"{name.removesuffix('.rounded')}.weight": part.integers()
        for name, part in network.named_modules()
        if isinstance(part, Rounded)
    }


def plain_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """The state of `network` as its model has it before it is rounded: rounded weights are what they stand for."""
    stored = integers_of(network)
    own = {name: tensor for name, tensor in network.state_dict().items() if ".rounded." not in name}
    return own | {name: torch.from_numpy(one.dequantised()) for name, one in stored.items()}


def stored_bytes(weights: Mapping[str, torch.Tensor], stored: Mapping[str, Integers]) -> int:
    """Of parameters, `weights` by name: those in integers as these are `stored`, others in their own type."""
    return sum(
        stored[name].stored_bytes if name in stored else tensor.nbytes for name, tensor in weights.items()
    )
