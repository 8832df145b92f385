"""Fake quantisation with a learned step size: LSQ (Esser et al. 2020, arXiv:1902.08153), on the log of the scale."""

import math
from typing import Any, Literal

import torch
from torch import nn

from edgecomp.errors import CaptureError
from edgecomp.quantize.schemes import Grid

State = Literal["observe", "quantise", "export"]


class _LearnedStep(torch.autograd.Function):
    """x → (clamp(round(x / s) + z, low, high) - z)·s with s = exp(log_scale); ONNX's definition, ties to even.

    The gradient of LSQ's equation 3 by log s is Σ g·(y - x) over what lies inside the range and Σ g·y over what
    is clipped, because there y / s is the bound itself. Nothing but x and y is kept for it.
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
        y = (x / scale).round_().add_(zero_point).clamp_(low, high).sub_(zero_point).mul_(scale)
        ctx.save_for_backward(x, y, scale, zero_point)
        ctx.range, ctx.factor = (low, high), factor
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        x, y, scale, zero_point = ctx.saved_tensors
        (gradient,) = gradients
        low, high = ((bound - zero_point) * scale for bound in (ctx.range[0] - 0.5, ctx.range[1] + 0.5))
        if scale.ndim:
            inside = gradient * ((x >= low) & (x <= high))
            by_log_scale = (inside * (y - x) + (gradient - inside) * y).sum_to_size(scale.shape)
        else:  # a comparison of large tensors costs more than all the rest
            inside = torch.ops.aten.hardtanh_backward(gradient, x, float(low), float(high))
            by_log_scale = _sum_of_products(inside, y - x) + _sum_of_products(gradient - inside, y)
        return inside, (by_log_scale * ctx.factor).to(scale.dtype), None, None, None, None


def _sum_of_products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Σ a·b; in fp32 without a temporary, in bfloat16 with one, because its dot product is slow on a CPU."""
    if a.dtype == torch.bfloat16:
        return (a * b).sum(dtype=torch.float32)
    if b.ndim == 4 and b.is_contiguous(memory_format=torch.channels_last):
        a, b = a.permute(0, 2, 3, 1), b.permute(0, 2, 3, 1)
    return torch.dot(a.reshape(-1), b.reshape(-1))


class FakeQuant(nn.Module):
    """Rounds a tensor to an integer grid and back.

    One scale for the tensor, or one of `shape` that broadcasts against it and varies along `axis`. `log_scale` is
    learned: the raw scale at usual learning rates lost 1.4 points. The zero point is set by calibration.
    `ceiling` is where the values end by construction (ReLU6): the grid never reaches beyond, so that the
    activation is the rounding itself. States: `observe` notes the range and passes on; `quantise` rounds;
    `export` emits ONNX Q/DQ.
    """

    log_scale: nn.Parameter
    zero_point: torch.Tensor

    def __init__(
        self,
        grid: Grid,
        shape: tuple[int, ...] = (),
        *,
        axis: int | None = None,
        ceiling: float | None = None,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.axis = axis
        self.state: State = "quantise"
        self.most = math.inf if ceiling is None else math.log(ceiling / grid.high)
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
        # LSQ's gradient scale: features of one example, or weights of one output channel.
        elements = x.numel() // (x.shape[0] if self.axis in (None, 0) else self.log_scale.numel())
        factor = (max(elements, 1) * self.grid.high) ** -0.5
        y: torch.Tensor = _LearnedStep.apply(  # type: ignore[no-untyped-call]
            x, self._bounded_log_scale(), self.zero_point, self.grid.low, self.grid.high, factor
        )
        return y

    def _bounded_log_scale(self) -> torch.Tensor:
        return self.log_scale if math.isinf(self.most) else self.log_scale.clamp(max=self.most)

    def _observe(self, x: torch.Tensor) -> None:
        low, high = x, x
        for axis in range(x.ndim):
            if self.axis is None or axis != self.axis % x.ndim:
                low, high = low.amin(axis, keepdim=True), high.amax(axis, keepdim=True)
        self._low = torch.minimum(self._low, low.reshape(self.log_scale.shape))
        self._high = torch.maximum(self._high, high.reshape(self.log_scale.shape))

    @torch.no_grad()
    def set_from_range(self, name: str) -> None:
        """Min-max calibration: the grid covers what was observed, and zero exactly."""
        if not (torch.isfinite(self._low).all() and torch.isfinite(self._high).all()):
            raise CaptureError(
                f"{name}: calibration saw {_kind(self._low, self._high)}; check the data and the network"
            )
        if self.axis is None and self._low == self._high:
            raise CaptureError(f"{name}: calibration saw nothing but {float(self._low):g}; a constant has no scale: "
                               "check the data, or a layer that is dead")  # fmt: skip
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
        scale, zero_point = self._bounded_log_scale().detach().exp(), self.zero_point.to(dtype)
        where: dict[str, Any] = {}
        if self.axis is not None:
            where = {"axis": self.axis % x.ndim}
            scale, zero_point = scale.flatten(), zero_point.flatten()
        onnx = torch.onnx.ops
        levels = onnx.symbolic("QuantizeLinear", (x, scale, zero_point), where, dtype=dtype, shape=x.shape)
        return onnx.symbolic(
            "DequantizeLinear", (levels, scale, zero_point), where, dtype=torch.float32, shape=x.shape
        )


def _kind(low: torch.Tensor, high: torch.Tensor) -> str:
    if torch.isnan(low).any() or torch.isnan(high).any():
        return "NaN"
    return "no values at all" if (low > high).any() else "infinite values"
