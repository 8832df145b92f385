"""Fake quantisation with a learned step size: LSQ (Esser et al. 2020, arXiv:1902.08153), on the log of the scale."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

from edgecomp.errors import CaptureError
from edgecomp.quantization import fused
from edgecomp.quantization.schemes import Grid

State = Literal["observe", "count", "quantise"]
Form = Literal["plain", "onnx"]
Kernel = Literal["torch", "fused"]

BINS = 2048
TINY = torch.finfo(torch.float32).tiny * 1e6  # the smallest scale whose reciprocal is still a number


def grid_over(grid: Grid, low: torch.Tensor, high: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and zero point with which the grid covers low..high, and zero exactly."""
    low, high = low.clamp(max=0), high.clamp(min=0)
    if grid.symmetric:
        return (torch.maximum(-low, high) / grid.high).clamp(min=TINY), torch.zeros_like(low)
    scale = ((high - low) / (grid.high - grid.low)).clamp(min=TINY)
    return scale, (grid.low - low / scale).round().clamp(grid.low, grid.high)


class _LearnedStep(torch.autograd.Function):
    """x → (clamp(round(x / s) + z, low, high) - z)·s with s = exp(log_scale); ONNX's definition, ties to even.

    The gradient of LSQ's equation 3 by log s is Σ g·(y - x) over what lies inside the range and Σ g·y over what
    is clipped, because there y / s is the bound itself. Nothing but x and y is kept for it. Every pass over memory
    counts: this is a third of a training step in bfloat16, and `fused.FusedStep` takes two passes for eleven.
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
        least, most = (
            low - zero_point,
            high - zero_point,
        )  # in place of adding the zero point, and taking it off
        v = x.float().div_(scale) if x.dtype == torch.bfloat16 else x / scale  # so that it is rounded once
        v = v.round_().clamp_(least, most) if scale.ndim else v.round_().clamp_(float(least), float(most))
        y = v.mul_(scale).to(x.dtype)
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
            bounds = float(low), float(high)
            inside = torch.ops.aten.hardtanh_backward(gradient, x, *bounds)
            by_log_scale = torch.ops.aten.hardtanh_backward(x, x, *bounds)
            by_log_scale = _sum_of_products(torch.sub(y, by_log_scale, out=by_log_scale), gradient)
        return inside, (by_log_scale * ctx.factor).to(scale.dtype), None, None, None, None


def _sum_of_products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Σ a·b, which may write to a; in bfloat16 the products are, because its dot product is slow on a CPU."""
    if a.dtype == torch.bfloat16:
        return a.mul_(b).sum()  # added up in fp32
    if b.ndim == 4 and b.is_contiguous(memory_format=torch.channels_last):
        a, b = a.permute(0, 2, 3, 1), b.permute(0, 2, 3, 1)
    return torch.dot(a.reshape(-1), b.reshape(-1))


class FakeQuant(nn.Module):
    """Rounds a tensor to an integer grid and back.

    One scale for the tensor, or one of `shape` that broadcasts against it and varies along `axis`. `log_scale` is
    learned, and not the scale (docs/decisions/002). The zero point is set by calibration.
    `ceiling` is where the values end by construction (ReLU6): the grid never reaches beyond, so that the
    activation is the rounding itself. `packed`: a weight that its operator takes in integers, without Q and DQ. States: `observe` notes the range and passes on, `count` the distribution
    within it; `quantise` rounds.
    """

    log_scale: nn.Parameter
    zero_point: torch.Tensor
    kernel: Kernel = "torch"

    def __init__(
        self,
        grid: Grid,
        shape: tuple[int, ...] = (),
        *,
        axis: int | None = None,
        ceiling: float | None = None,
        packed: bool = False,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.packed = packed
        self.axis = axis
        self.state: State = "quantise"
        self.most = math.inf if ceiling is None else math.log(ceiling / grid.high)
        self.log_scale = nn.Parameter(torch.zeros(shape))
        self.register_buffer("zero_point", torch.zeros(shape))
        self.forget()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.state in ("observe", "count"):
            (self._observe if self.state == "observe" else self._count)(x.detach().float())
            return x
        # LSQ's gradient scale: features of one example, or weights of one output channel.
        elements = x.numel() // (x.shape[0] if self.axis in (None, 0) else self.log_scale.numel())
        factor = (max(elements, 1) * self.grid.high) ** -0.5
        is_fused = self.kernel == "fused" and fused.covers(x, self.log_scale)
        step = fused.FusedStep if is_fused else _LearnedStep
        y: torch.Tensor = step.apply(  # type: ignore[no-untyped-call]
            x, self._bounded_log_scale(), self.zero_point, self.grid.low, self.grid.high, factor
        )
        return y

    def scale(self) -> torch.Tensor:
        """The step between two integers' values, without gradient."""
        return self._bounded_log_scale().detach().exp()

    def _bounded_log_scale(self) -> torch.Tensor:
        return self.log_scale if math.isinf(self.most) else self.log_scale.clamp(max=self.most)

    def forget(self) -> None:
        """Drops what has been observed and counted."""
        self.low = torch.full(self.log_scale.shape, torch.inf)
        self.high = torch.full(self.log_scale.shape, -torch.inf)
        self.counts = torch.zeros(BINS)

    def _observe(self, x: torch.Tensor) -> None:
        low, high = x, x
        for axis in range(x.ndim):
            if self.axis is None or axis != self.axis % x.ndim:
                low, high = low.amin(axis, keepdim=True), high.amax(axis, keepdim=True)
        self.low = torch.minimum(self.low, low.reshape(self.low.shape))
        self.high = torch.maximum(self.high, high.reshape(self.high.shape))

    def _count(self, x: torch.Tensor) -> None:
        """Adds to the histogram of values in equal bins from low to high: one, or one a slice along the axis."""
        rows = x.reshape(1, -1) if self.axis is None else x.movedim(self.axis, 0).flatten(1)
        low, high = self.low.reshape(-1, 1), self.high.reshape(-1, 1)
        place = ((rows - low) / (high - low).clamp(min=TINY) * BINS).long().clamp(0, BINS - 1)
        place += BINS * torch.arange(len(rows))[:, None]
        counts = torch.bincount(place.flatten(), minlength=len(rows) * BINS).reshape(-1, BINS).float()
        self.counts = self.counts + (counts[0] if self.axis is None else counts)

    def check_observed(self, name: str) -> None:
        """Raises CaptureError where what was observed has no scale. name: what the message calls it."""
        if not (torch.isfinite(self.low).all() and torch.isfinite(self.high).all()):
            raise CaptureError(
                f"{name}: calibration saw {_kind(self.low, self.high)}; check the data and the network"
            )
        if self.axis is None and self.low == self.high:
            raise CaptureError(f"{name}: calibration saw nothing but {float(self.low):g}; a constant has no scale: "
                               "check the data, or a layer that is dead")  # fmt: skip

    @torch.no_grad()
    def set_range(self, low: torch.Tensor, high: torch.Tensor) -> None:
        """Scale and zero point so that the grid covers low..high, and zero exactly; from now on it rounds."""
        scale, zero_point = grid_over(self.grid, low, high)
        self.zero_point.copy_(zero_point)
        self.log_scale.copy_(scale.log())
        self.state = "quantise"


class Frozen(nn.Module):
    """What a fake-quant computes, for an exporter: `plain` in operators that any exporter knows, `onnx` as ONNX's Q/DQ.

    Scale and bounds are constants here: computed in the graph, they were half of an export's time.
    """

    scale: torch.Tensor
    zero_point: torch.Tensor
    least: torch.Tensor
    most: torch.Tensor

    def __init__(self, quant: FakeQuant, form: Form) -> None:
        super().__init__()
        self.grid, self.axis, self.form, self.packed = quant.grid, quant.axis, form, quant.packed
        scale, zero_point = quant.scale(), quant.zero_point
        self.clips = False
        if form == "onnx":
            self.dtype = torch.int8 if self.grid.low < 0 else torch.uint8
            limits = torch.iinfo(self.dtype)
            # What lies beyond a grid narrower than its type is clipped before: the weights, in their folding.
            if self.axis != 0 and (self.grid.low > limits.min or self.grid.high < limits.max):
                self.clips = True
                self.register_buffer("least", (self.grid.low - zero_point) * scale)
                self.register_buffer("most", (self.grid.high - zero_point) * scale)
            zero_point = zero_point.to(self.dtype)
            if self.axis is not None:
                scale, zero_point = scale.flatten(), zero_point.flatten()
        self.register_buffer("scale", scale.contiguous())
        self.register_buffer("zero_point", zero_point.contiguous())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.form == "plain":
            levels = ((x / self.scale).round() + self.zero_point).clamp(self.grid.low, self.grid.high)
            return (levels - self.zero_point) * self.scale
        if self.packed:
            return x
        if self.clips:
            x = torch.minimum(torch.maximum(x, self.least), self.most)
        where: dict[str, Any] = {} if self.axis is None else {"axis": self.axis % x.ndim}
        onnx, grid = torch.onnx.ops, (self.scale, self.zero_point)
        levels = onnx.symbolic("QuantizeLinear", (x, *grid), where, dtype=self.dtype, shape=x.shape)
        return onnx.symbolic("DequantizeLinear", (levels, *grid), where, dtype=torch.float32, shape=x.shape)


@contextmanager
def frozen(network: nn.Module, form: Form) -> Iterator[None]:
    """While it lasts, every fake-quant of the network is what an exporter can read. form: as in Frozen."""
    quants = {name: part for name, part in network.named_modules() if isinstance(part, FakeQuant)}
    for name, quant in quants.items():
        network.set_submodule(name, Frozen(quant, form))
    try:
        yield
    finally:
        for name, quant in quants.items():
            network.set_submodule(name, quant)


def use_kernel(module: nn.Module, kernel: Kernel) -> None:
    """Lets PyTorch's operators, or the compiled kernel on the CPU, compute every fake-quant of `module`.

    kernel: `torch`, or `fused`, which takes fp32 and bfloat16; other types and devices stay with `torch`.
    Raises UsageError where it cannot be compiled.
    """
    if kernel == "fused":
        fused.load()
    for part in module.modules():
        if isinstance(part, FakeQuant):
            part.kernel = kernel


def _kind(low: torch.Tensor, high: torch.Tensor) -> str:
    if torch.isnan(low).any() or torch.isnan(high).any():
        return "NaN"
    return "no values at all" if (low > high).any() else "infinite values"


def bin_centres(quant: FakeQuant) -> torch.Tensor:
    """The values that the bins of a quant's `counts` stand for: [bins], or [slices, bins].

    quant: observed.
    """
    low, high = quant.low.flatten().unsqueeze(-1), quant.high.flatten().unsqueeze(-1)
    centres = low + (high - low) * (torch.arange(BINS) + 0.5) / BINS
    return centres[0] if quant.axis is None else centres
