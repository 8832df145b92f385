"""Who looks at whom: attention maps of a student and a teacher, of as many heads as each has."""

from collections.abc import Callable

import torch
from torch import nn

from edgecomp.distill.losses.taps import tap
from edgecomp.errors import CaptureError

NAMES = (("query", "key"), ("q_proj", "k_proj"), ("q_lin", "k_lin"))
"""What the modules that give queries and keys are called, in edgecomp's networks and in transformers'."""


def attention_tap(network: nn.Module, path: str, heads: int) -> Callable[[], torch.Tensor]:
    """What reads the attention scores of the module at `path` of `network`, which has queries and keys: [N, heads, tokens, tokens], before the softmax.

    heads: that it splits them into. Raises CaptureError.
    """
    said = ""
    for query, key in NAMES:
        try:
            queries, keys = (tap(network, f"{path}.{name}") for name in (query, key))
        except CaptureError as error:
            said = said or str(error)
            continue
        return lambda: attention_scores(queries(), keys(), heads)
    pairs = ", ".join(f"{query} and {key}" for query, key in NAMES)
    raise CaptureError(
        f"distill: attention-maps: {path!r} has no queries and keys ({pairs}): name the module that holds them; {said}"
    )


def attention_scores(queries: torch.Tensor, keys: torch.Tensor, heads: int) -> torch.Tensor:
    """[N, heads, tokens, tokens]: scaled products of queries and keys, before the softmax. queries, keys: of all heads side by side, [N, tokens, width];
    heads: that divide the width. Raises ValueError."""
    if queries.ndim != 3 or queries.shape[2] % heads:
        raise ValueError(f"queries of shape {list(queries.shape)} cannot be split into {heads} heads")
    size = queries.shape[2] // heads
    ours, theirs = (one.reshape(*one.shape[:2], heads, size).transpose(1, 2) for one in (queries, keys))
    found: torch.Tensor = ours @ theirs.transpose(2, 3) / size**0.5
    return found


def attention_maps(
    ours: torch.Tensor,
    theirs: torch.Tensor,
    *,
    heads: int,
    teacher_heads: int,
    mask: torch.Tensor | None = None,
    token_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """The mean squared difference of attention scores, before the softmax (TinyBERT, Jiao et al. 2020, arXiv:1909.10351, equation 7). Where the teacher has
    other heads, a linear map of heads, learnt or of least squares, stands between, as between widths.

    ours, theirs: [N, heads, tokens, tokens], of as many heads; heads, teacher_heads: of each network, by which its queries and keys are split; mask: 1
    where a token is one, [N, tokens]; pairs with padding are not counted; token_weights: what each token counts, as the one that looks, [N, tokens].
    """
    squares = (ours - theirs).square()
    if mask is None and token_weights is None:
        return squares.mean()
    kept = torch.ones_like(squares)
    if mask is not None:
        kept = kept * (mask[:, None, :, None] * mask[:, None, None, :]).to(squares.dtype)
    if token_weights is not None:
        kept = kept * token_weights[:, None, :, None].to(squares.dtype)
    return (squares * kept).sum() / kept.sum()
