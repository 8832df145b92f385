"""Structured pruning: whole channels of a trained network are taken out, with all that depends on them (DepGraph: Fang et al. 2023,
arXiv:2301.12900, as torch-pruning implements it)."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from edgecomp.errors import CaptureError, UsageError
from edgecomp.shrink.heads import narrowed

WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd)
# Products of what a network computes with what it computes: heads lie side by side in their channels.
ATTENTION = {
    F.scaled_dot_product_attention, F.multi_head_attention_forward, torch.matmul, torch.bmm,
    torch.Tensor.matmul, torch.Tensor.__matmul__, torch.Tensor.bmm,
}  # fmt: skip


def pruned(
    network: nn.Module,
    example: Sequence[torch.Tensor],
    keep: float,
    gradients: Callable[[nn.Module], None] | None = None,
) -> nn.Module:
    """A copy of `network` with a share `keep` of every layer's channels, the most important ones; its outputs are as many as before. Of a Transformer
    that share of its heads and of the channels inside its layers (`narrowed`).

    example: its inputs, by position, tensors [2, ...]. What counts is the norm of a channel's weights (Li et al. 2017, arXiv:1608.08710); with
    `gradients`, which leaves those of a loss in the network that it is given, the first term of the loss's Taylor series in them (Molchanov et al.
    2019, arXiv:1906.10771). Shapes depend on those of `network` and on `keep` alone; which channels stay, on its weights. Raises CaptureError where
    it cannot be pruned, UsageError where torch-pruning is not installed.
    """
    try:
        import torch_pruning
    except ModuleNotFoundError:
        raise UsageError(
            "student.prune needs torch-pruning, which is not installed: pip install 'edgecomp[search]'"
        ) from None
    before, last, attends = _looked_at(copy.deepcopy(network).eval(), example)
    if attends:
        smaller = narrowed(network, example, keep, gradients)
    else:
        rated = torch_pruning.importance
        importance = rated.GroupTaylorImportance() if gradients else rated.GroupMagnitudeImportance(p=2)
        prune = partial(torch_pruning.pruner.BasePruner, importance=importance, pruning_ratio=1 - keep)
        smaller = _with_fewer_channels(network, example, before, last, gradients, prune)
    if sum(one.numel() for one in smaller.parameters()) == sum(one.numel() for one in network.parameters()):
        raise CaptureError(f"student.prune: nothing can be taken out of this network at keep {100 * keep:g} %, whose layers are too narrow, or whose channels "
                           "are counted by hand: keep less, or take student.prune out")  # fmt: skip
    return smaller


def _with_fewer_channels(
    network: nn.Module,
    example: Sequence[torch.Tensor],
    before: torch.Tensor,
    last: str,
    gradients: Callable[[nn.Module], None] | None,
    prune: Callable[..., Any],
) -> nn.Module:
    """A copy of `network` of which `prune` has made one of torch-pruning's pruners; what it answered `before`, and its `last` layer, stay as wide."""
    smaller = copy.deepcopy(network).eval()
    for parameter in smaller.parameters():
        parameter.requires_grad_(True)
    if gradients is not None:
        gradients(smaller)
    try:
        prune(smaller, tuple(example), ignored_layers=[smaller.get_submodule(last)]).step()
        with torch.no_grad():
            after = smaller(*example)
    except Exception as error:  # of any kind: the library traces a network that it has never seen
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CaptureError(f"student.prune: channels of this network depend on each other in a way that cannot be followed ({reason}): take student.prune "
                           "out, or keep some of its layers (arguments: {layers: [0, 2]})") from error  # fmt: skip
    if not isinstance(after, torch.Tensor) or after.shape != before.shape:
        raise CaptureError(
            "student.prune: the outputs of this network would become fewer as well: take student.prune out"
        )
    smaller.zero_grad(set_to_none=True)
    return smaller.train(network.training)


def _looked_at(network: nn.Module, example: Sequence[torch.Tensor]) -> tuple[torch.Tensor, str, bool]:
    """What a network answers, the name of the last layer with weights on the way there, whose outputs are the answer's, and whether it holds attention, whose
    heads lie side by side in their channels: of fewer channels they would be mixed. Raises CaptureError."""
    order: list[str] = []
    handles = [
        layer.register_forward_hook(lambda *_, name=name: order.append(name))
        for name, layer in network.named_modules()
        if isinstance(layer, WEIGHTED)
    ]
    try:
        with torch.no_grad(), _Products() as products:
            answer = network(*example)
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(answer, torch.Tensor):
        raise CaptureError("student.prune: of a network of one output: take student.prune out")
    if not order:
        raise CaptureError("student.prune: this network has no layer with weights, such as torch.nn.Conv2d")
    return answer, order[-1], products.found


class _Products(TorchFunctionMode):
    """Notices products of two things that are computed, while a network runs."""

    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.found = self.found or func in ATTENTION
        return func(*args, **(kwargs or {}))
