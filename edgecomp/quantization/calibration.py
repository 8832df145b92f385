"""Where scales start: batch statistics re-estimated first, then the ranges of real activations."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import nn

from edgecomp.errors import DataError
from edgecomp.inputs import Inputs
from edgecomp.quantization.fake_quant import FakeQuant, State, bin_centres, grid_over
from edgecomp.quantization.placement import fake_quants
from edgecomp.training.loop import network_inputs

Batches = Sequence[Inputs]

Method = Literal["min-max", "percentile", "mse"]

SHARES = torch.linspace(
    0.2, 1.0, 81
)  # of the observed range: what the search for the least squared error tries


@torch.no_grad()
def reestimate_batchnorm(network: nn.Module, batches: Batches) -> None:
    """Replaces the running statistics of `network` by the plain average over `batches`.

    Without it, quantisation-aware training from scratch never recovers: the scales fit statistics of the past. Nothing
    else is as in training: dropout would widen the variances (Li et al. 2018, arXiv:1801.05134).
    """
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    network.eval()
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for batch in batches:
        network(*network_inputs(batch))
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def calibrate(
    network: nn.Module,
    batches: Batches,
    method: Method = "min-max",
    percentile: float = 99.99,
) -> None:
    """Sets every fake-quant's scale and zero point from what flows through it. Raises DataError, CaptureError.

    network: with fake-quant placed; batches: of its inputs; method: `min-max` covers all that was seen,
    `percentile` that share of an activation's values (a weight's are all covered), `mse` takes the range of
    the least squared rounding error.
    """
    observe(network, batches)
    if method != "min-max":
        count(network, batches)
    set_ranges(network, method, percentile)


@torch.no_grad()
def observe(network: nn.Module, batches: Batches) -> None:
    """Lets every fake-quant of `network` note the range of what flows through it, of all `batches`; what was noted before is forgotten. Raises DataError."""
    if not batches:
        raise DataError(
            "there is no calibration data: quantize.calibration_batches × batch size came to 0 examples"
        )
    for quant in fake_quants(network).values():
        quant.forget()
    _through(network, batches, "observe")


@torch.no_grad()
def count(network: nn.Module, batches: Batches) -> None:
    """Lets every fake-quant of `network` count the same `batches`' values within the ranges that it has noted."""
    _through(network, batches, "count")


def _through(network: nn.Module, batches: Batches, state: State) -> None:
    network.eval()
    for quant in fake_quants(network).values():
        quant.state = state
    for batch in batches:
        network(*network_inputs(batch))


def set_ranges(network: nn.Module, method: Method, percentile: float) -> None:
    """Sets every fake-quant's scale and zero point from what it has noted, and for another method than `min-max` counted. Raises CaptureError.

    network, method, percentile: as in `calibrate`.
    """
    for name, quant in fake_quants(network).items():
        quant.check_observed(name)
        low, high = CLIPPING[method](quant, percentile)
        quant.set_range(low, high)


def _all(quant: FakeQuant, percentile: float) -> tuple[torch.Tensor, torch.Tensor]:
    return quant.low, quant.high


def _percentile(quant: FakeQuant, percentile: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The range that leaves (100 - percentile) / 2 per cent of the values out at either end."""
    if quant.axis is not None:
        return quant.low, quant.high
    counts, centres = quant.counts, bin_centres(quant)
    below = counts.cumsum(0) / counts.sum()
    out = (1 - percentile / 100) / 2
    low = centres[(below <= out).sum().clamp(max=len(centres) - 1)]
    high = centres[(below < 1 - out).sum().clamp(max=len(centres) - 1)]
    return torch.maximum(low, quant.low), torch.minimum(high, quant.high)


def _least_squares(quant: FakeQuant, percentile: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The share of the observed range whose rounding error, over the values counted, is least."""
    low, high = quant.low, quant.high
    best = torch.full_like(quant.low, torch.inf)
    share = torch.ones_like(quant.low)
    for candidate in SHARES:
        error = squared_error(quant, low * candidate, high * candidate)
        share = torch.where(error < best, candidate, share)
        best = torch.minimum(error, best)
    return low * share, high * share


CLIPPING: dict[Method, Callable[[FakeQuant, float], tuple[torch.Tensor, torch.Tensor]]] = {
    "min-max": _all,
    "percentile": _percentile,
    "mse": _least_squares,
}


def squared_error(quant: FakeQuant, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Σ count · (rounded - value)² over what `quant` has counted, if its grid covered low..high.

    low, high: of the scales' shape, as the result is.
    """
    scale, zero_point = grid_over(quant.grid, low, high)
    values, counts = bin_centres(quant), quant.counts
    if scale.ndim:
        scale, zero_point = scale.reshape(-1, 1), zero_point.reshape(-1, 1)
    levels = ((values / scale).round() + zero_point).clamp(quant.grid.low, quant.grid.high)
    error: torch.Tensor = (counts * ((levels - zero_point) * scale - values) ** 2).sum(-1)
    return error.reshape(low.shape)
