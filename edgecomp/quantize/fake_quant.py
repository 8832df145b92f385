"""Fake quantisation with a learned step size: LSQ (Esser et al. 2020, arXiv:1902.08153), on the log of the scale."""

from typing import Any, Literal

import torch
from torch import nn

from edgecomp.errors import CaptureError
from edgecomp.quantize.schemes import Grid

State = Literal["observe", "quantise", "export"]


class _LearnedStep(torch.autograd.Function):
    """x → (clamp(round(x / s) + z, low, high) - z)·s with s = exp(log_scale); ONNX's definition, ties to even.

    The gradient of LSQ's equation 3 by log s is Σ g·(y - x) inside the range and Σ g·y outside, because
    there y / s is the bound itself: so it is g·y minus (g inside the range)·x, two dot products.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        log_scale: torch.Tensor,
        zero_point: torch.Tensor,
        low: int,
        high: int,
        factor: float,
    ) -> torch.Tensor:
        scale = log_scale.exp()
        levels = (x / scale).round_().add_(zero_point)
        inside = (levels >= low) & (levels <= high)
        y = levels.clamp_(low, high).sub_(zero_point).mul_(scale)
        ctx.save_for_backward(x, y, inside)
        ctx.factor = factor
        ctx.axis_sizes = log_scale.shape
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        x, y, inside = ctx.saved_tensors
        (gradient,) = gradients
        by_x = gradient * inside
        if len(ctx.axis_sizes) == 0:
            by_log_scale = _dot(gradient, y) - _dot(by_x, x)
        else:
            by_log_scale = (gradient * y - by_x * x).sum(dim=tuple(range(1, x.ndim)), keepdim=True)
        return by_x, (by_log_scale * ctx.factor).reshape(ctx.axis_sizes), None, None, None, None


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Σ a·b without a temporary: both are laid out as `b` is, then read as flat vectors."""
    if b.ndim == 4 and b.is_contiguous(memory_format=torch.channels_last):
        a, b = a.permute(0, 2, 3, 1), b.permute(0, 2, 3, 1)
    return torch.dot(a.reshape(-1), b.reshape(-1))


class FakeQuant(nn.Module):
    """Rounds a tensor to an integer grid and back.

    One scale for the tensor, or, with `channels`, one for each index of axis 0 (weights). `log_scale` is
    learned: the raw scale at usual learning rates lost 1.4 points. The zero point is set by calibration.
    States: `observe` notes the range and passes on; `quantise` rounds; `export` emits ONNX Q/DQ.
    """

    log_scale: nn.Parameter
    zero_point: torch.Tensor

    def __init__(self, grid: Grid, channels: int | None = None, dimensions: int = 0) -> None:
        super().__init__()
        shape = () if channels is None else (channels,) + (1,) * (dimensions - 1)
        self.grid = grid
        self.state: State = "quantise"
        self.log_scale = nn.Parameter(torch.zeros(shape))
        self.register_buffer("zero_point", torch.zeros(shape))
        self._low = torch.full(shape, torch.inf)
        self._high = torch.full(shape, -torch.inf)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.state == "observe":
            self._observe(x.detach())
            return x
        if self.state == "export":
            return self._as_onnx(x)
        elements = x.numel() // x.shape[0]  # features of one example, or weights of one output channel
        factor = (elements * self.grid.high) ** -0.5
        y: torch.Tensor = _LearnedStep.apply(  # type: ignore[no-untyped-call]
            x, self.log_scale, self.zero_point, self.grid.low, self.grid.high, factor
        )
        return y

    def _observe(self, x: torch.Tensor) -> None:
        axes = tuple(range(1, x.ndim)) if self.log_scale.ndim else tuple(range(x.ndim))
        keep = self.log_scale.ndim > 0
        self._low = torch.minimum(self._low, x.amin(axes, keepdim=keep))
        self._high = torch.maximum(self._high, x.amax(axes, keepdim=keep))

    @torch.no_grad()
    def set_from_range(self, name: str) -> None:
        """Min-max calibration: the grid covers what was observed, and zero exactly."""
        if not (torch.isfinite(self._low).all() and torch.isfinite(self._high).all()):
            raise CaptureError(
                f"{name}: calibration saw {_kind(self._low, self._high)}; check the data and the network"
            )
        low, high = self._low.clamp(max=0), self._high.clamp(min=0)
        tiny = torch.finfo(torch.float32).tiny * 1e6
        if self.grid.symmetric:
            scale = (torch.maximum(-low, high) / self.grid.high).clamp(min=tiny)
        else:
            scale = ((high - low) / (self.grid.high - self.grid.low)).clamp(min=tiny)
            self.zero_point.copy_((self.grid.low - low / scale).round().clamp(self.grid.low, self.grid.high))
        self.log_scale.copy_(scale.log())
        self.state = "quantise"

    def _as_onnx(self, x: torch.Tensor) -> torch.Tensor:
        dtype = torch.int8 if self.grid.low < 0 else torch.uint8
        axis: dict[str, Any] = {"axis": 0} if self.log_scale.ndim else {}
        scale = self.log_scale.detach().exp().flatten() if axis else self.log_scale.detach().exp()
        zero_point = (self.zero_point.flatten() if axis else self.zero_point).to(dtype)
        onnx = torch.onnx.ops
        levels = onnx.symbolic("QuantizeLinear", (x, scale, zero_point), axis, dtype=dtype, shape=x.shape)
        return onnx.symbolic(
            "DequantizeLinear", (levels, scale, zero_point), axis, dtype=torch.float32, shape=x.shape
        )


def _kind(low: torch.Tensor, high: torch.Tensor) -> str:
    if torch.isnan(low).any() or torch.isnan(high).any():
        return "NaN"
    return "no values at all" if (low > high).any() else "infinite values"
