"""Where scales start: batch statistics re-estimated first, then the ranges of real activations."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from edgecomp.errors import DataError
from edgecomp.quantize.placement import fake_quants


@torch.no_grad()
def reestimate_batchnorm(network: nn.Module, batches: Sequence[npt.NDArray[np.float32]]) -> None:
    """Replaces the running statistics by the plain average over `batches`.

    Without it, quantisation-aware training from scratch never recovers: the scales fit statistics of the past.
    """
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    for batch in batches:
        network(torch.from_numpy(batch))
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def calibrate(network: nn.Module, batches: Sequence[npt.NDArray[np.float32]]) -> None:
    """Sets every fake-quant's scale and zero point from what flows through it. Raises DataError, CaptureError."""
    if not batches:
        raise DataError(
            "there is no calibration data: quantize.calibration_batches × batch size came to 0 examples"
        )
    quants = fake_quants(network)
    network.eval()
    for quant in quants.values():
        quant.state = "observe"
    for batch in batches:
        network(torch.from_numpy(batch))
    for name, quant in quants.items():
        quant.set_from_range(name)
