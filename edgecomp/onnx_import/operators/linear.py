"""Products of matrices, and what normalises: linear algebra."""

import torch
import torch.nn.functional as F


def gemm(
    a: torch.Tensor, b: torch.Tensor, c: torch.Tensor | None = None, alpha: float = 1.0, beta: float = 1.0,
    transA: int = 0, transB: int = 0, broadcast: int = 1,  # noqa: N803 - ONNX's names
) -> torch.Tensor:  # fmt: skip
    """Gemm: alpha · A · B + beta · C. a: [M, K], or [K, M] with transA; b: [K, N], or [N, K] with transB; c:
    of a shape that fits [M, N] by broadcasting, None for none; broadcast: of old operator sets, not read."""
    x = a.transpose(0, 1) if transA else a
    weight = b if transB else b.transpose(0, 1)
    bias = c if c is not None and c.numel() == c.shape[-1:].numel() == weight.shape[0] else None
    if alpha == 1 and (c is None or (bias is not None and beta == 1)):
        return F.linear(x, weight, None if bias is None else bias.reshape(-1))
    found = F.linear(x, weight)
    found = found if alpha == 1 else found * alpha
    if c is None or beta == 0:
        return found
    return found + (c if beta == 1 else c * beta)


def product_and_bias(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """MatMul of `x`, [..., in], with a weight [in, out], and Add of a bias [out]."""
    return F.linear(x, weight.transpose(0, 1), bias)


def einsum(*inputs: torch.Tensor, equation: str) -> torch.Tensor:
    """Einsum of the inputs by an equation such as `ij,jk->ik`."""
    return torch.einsum(equation, *inputs)


def batch_normalization(
    x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor,
    epsilon: float = 1e-5, momentum: float = 0.9, spatial: int = 1, training_mode: int = 0, is_test: int = 1,
) -> torch.Tensor:  # fmt: skip
    """BatchNormalization of `x`, [N, channels, ...], at inference. scale, bias, mean, variance: [channels];
    epsilon: added to the variance; momentum, spatial, training_mode, is_test: not read."""
    return F.batch_norm(x, mean, variance, scale, bias, False, 0.0, epsilon)


class BatchNorm(torch.nn.modules.batchnorm._BatchNorm):
    """Of any number of axes."""

    def _check_input_dim(self, input: torch.Tensor) -> None:
        pass


def layer_normalization(
    x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None = None, axis: int = -1, epsilon: float = 1e-5,
    stash_type: int = 1,
) -> torch.Tensor:  # fmt: skip
    """LayerNormalization of `x` over its axes from `axis` on. scale, bias: of a shape that fits these axes by
    broadcasting; epsilon: added to the variance; stash_type: not read."""
    shape = x.shape[axis % x.ndim :]
    return F.layer_norm(x, shape, scale.expand(shape), None if bias is None else bias.expand(shape), epsilon)


def rms_normalization(
    x: torch.Tensor, scale: torch.Tensor, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> torch.Tensor:
    """RMSNormalization of `x` over its axes from `axis` on. scale: of a shape that fits by broadcasting;
    epsilon: added to the mean square; stash_type: not read."""
    axes = list(range(axis % x.ndim, x.ndim))
    return x * torch.rsqrt((x * x).mean(axes, keepdim=True) + epsilon) * scale


def instance_normalization(
    x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor, epsilon: float = 1e-5
) -> torch.Tensor:
    """InstanceNormalization of `x`, [N, channels, ...]. scale, bias: [channels]; epsilon: added to the
    variance."""
    return F.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


def group_normalization(
    x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor, num_groups: int, epsilon: float = 1e-5,
    stash_type: int = 1,
) -> torch.Tensor:  # fmt: skip
    """GroupNormalization of `x`, [N, channels, ...], in num_groups groups. scale, bias: [channels], or before
    operator set 21 [groups]; epsilon: added to the variance; stash_type: not read."""
    each = x.shape[1] // scale.shape[0]
    scale, bias = (one if each == 1 else one.repeat_interleave(each) for one in (scale, bias))
    return F.group_norm(x, num_groups, scale, bias, epsilon)


def local_response_normalization(
    x: torch.Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> torch.Tensor:
    """LRN of `x`, [N, channels, ...]: over (bias + alpha / size · Σx²)^beta, where the sum is of `size`
    channels."""
    return F.local_response_norm(x, size, alpha, beta, bias)
