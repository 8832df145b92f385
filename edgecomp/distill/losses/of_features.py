"""Losses of hidden states: pure functions of a student's and a teacher's, a scalar each, zero where they are the same.

Features are [N, channels, ...] of a convolutional network, or [N, tokens, channels]; those that compare examples with one another take any
[N, ...]. The names of the arguments say which.
"""

import torch
import torch.nn.functional as F


def mean_squared(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """The mean squared difference, of the same shape (FitNets, Romero et al. 2015, arXiv:1412.6550). ours, theirs: [N, ...]."""
    return F.mse_loss(ours, theirs)


def cosine(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """1 - the cosine between each example's features, mean (Sanh et al. 2019, arXiv:1910.01108, of hidden states).

    ours, theirs: of the same shape, [N, channels, ...] or [N, tokens, channels]; of the latter by token.
    """
    dim = 2 if ours.ndim == 3 else 1
    return 1 - F.cosine_similarity(ours, theirs, dim=dim).mean()


def attention_transfer(ours: torch.Tensor, theirs: torch.Tensor, *, power: float = 2.0) -> torch.Tensor:
    """The mean squared difference of normalised maps of where features are large (Zagoruyko & Komodakis 2017, arXiv:1612.03928, equation 2, as their
    code has it). The number of channels may differ; where the resolution does, the larger is averaged down.

    ours, theirs: [N, channels, height, width]; power: of the absolute values, before their mean over channels.
    """
    if ours.shape[2:] != theirs.shape[2:]:
        smaller = (min(ours.shape[2], theirs.shape[2]), min(ours.shape[3], theirs.shape[3]))
        ours, theirs = (F.adaptive_avg_pool2d(one, smaller) for one in (ours, theirs))
    return F.mse_loss(_energy(ours, power), _energy(theirs, power))


def relational_distance(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Huber's loss of the distances between a batch's examples, each network's over its mean distance (relational knowledge distillation, Park et
    al. 2019, arXiv:1904.05068, equations 4 to 6). The widths may differ. ours, theirs: [N, ...], two examples at least."""
    return F.smooth_l1_loss(_relative_distances(ours.flatten(1)), _relative_distances(theirs.flatten(1)))


def relational_angle(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Huber's loss of the cosines of the angles that a batch's examples, three at a time, make (Park et al. 2019, arXiv:1904.05068, equations 7 and
    8). The widths may differ. ours, theirs: [N, ...]; N³ numbers are held."""
    return F.smooth_l1_loss(_angles(ours.flatten(1)), _angles(theirs.flatten(1)))


def similarity_preserving(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """The mean squared difference of the similarities between a batch's examples, normalised by row (Tung & Mori 2019, arXiv:1907.09682, equations 1
    to 4). The widths may differ. ours, theirs: [N, ...]."""
    return F.mse_loss(_similarities(ours.flatten(1)), _similarities(theirs.flatten(1)))


def contrastive(ours: torch.Tensor, theirs: torch.Tensor, *, temperature: float = 0.1) -> torch.Tensor:
    """-log of the probability that the student's features pick their own example among the teacher's of the batch, and the other way round, mean of
    both: InfoNCE (van den Oord et al. 2018, arXiv:1807.03748) with the batch as negatives, which is the bound that contrastive representation
    distillation (CRD, Tian et al. 2020, arXiv:1910.10699) approximates by a memory of negatives. It is not zero for equal features.

    ours, theirs: of the same width, [N, ...]; temperature: of the cosines.
    """
    cosines = F.normalize(ours.flatten(1)) @ F.normalize(theirs.flatten(1)).T / temperature
    own = torch.arange(len(cosines), device=cosines.device)
    return (F.cross_entropy(cosines, own) + F.cross_entropy(cosines.T, own)) / 2


def token_relations(
    ours: torch.Tensor,
    theirs: torch.Tensor,
    *,
    heads: int = 12,
    mask: torch.Tensor | None = None,
    token_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """The divergence KL(teacher ‖ student) of how tokens relate: the softmax of scaled products of queries with queries, of keys or of values
    (MiniLMv2, Wang et al. 2021, arXiv:2012.15828, equations 2 to 4), mean over examples, heads and tokens. The widths may differ.

    ours, theirs: queries, keys or values of all heads side by side, [N, tokens, width]; heads: of relations, by which both widths can be divided;
    mask: 1 where a token is one, [N, tokens]; padding relates to nothing and is not counted; token_weights: what each
    token's relations count, [N, tokens].
    """
    ours, theirs = (_relations(one, heads, mask) for one in (ours, theirs))
    found = (theirs.exp() * (theirs - ours)).nan_to_num().sum(dim=3)  # of what is masked: 0 · (-∞ + ∞)
    if mask is None and token_weights is None:
        return found.mean()
    kept = torch.ones_like(found)
    for counts in (mask, token_weights):
        if counts is not None:
            kept = kept * counts[:, None, :].to(found.dtype)
    return (found * kept).sum() / kept.sum()


def linear_cka(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """How alike two representations of the same examples are, from 0 to 1, whatever their width, rotation and scale: linear centred kernel alignment
    (Kornblith et al. 2019, arXiv:1905.00414, equation 3). It is watched, and no loss. ours, theirs: [N, ...]."""
    ours, theirs = (one.flatten(1) - one.flatten(1).mean(dim=0) for one in (ours, theirs))
    grams = [one @ one.T for one in (ours, theirs)]
    alike, most = (grams[0] * grams[1]).sum(), torch.linalg.norm(grams[0]) * torch.linalg.norm(grams[1])
    found: torch.Tensor = alike / most.clamp_min(torch.finfo(alike.dtype).tiny)
    return found


def pooled(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """[N, width]: the mean over places of `values` [N, channels, height, width], over tokens of [N, tokens, width]. mask: 1 where a token is one."""
    if values.ndim == 4:
        return values.mean(dim=(2, 3))
    if values.ndim == 3:
        if mask is None:
            return values.mean(dim=1)
        kept = mask[:, :, None].to(values.dtype)
        return (values * kept).sum(dim=1) / kept.sum(dim=1).clamp_min(1)
    return values


def _energy(features: torch.Tensor, power: float) -> torch.Tensor:
    """[N, height · width], of length 1."""
    return F.normalize(features.abs().pow(power).mean(dim=1).flatten(1))


def _similarities(points: torch.Tensor) -> torch.Tensor:
    """[N, N], rows of length 1."""
    return F.normalize(points @ points.T)


def _relative_distances(points: torch.Tensor) -> torch.Tensor:
    """[N, N], over the mean distance of different examples. The root has no gradient at 0, where an example meets itself."""
    squares = (points[:, None] - points[None]).square().sum(dim=2)
    apart = ~torch.eye(len(points), dtype=torch.bool, device=points.device)
    distances = torch.where(apart, squares, 1.0).clamp_min(1e-12).sqrt() * apart
    return distances / distances[apart].mean()


def _angles(points: torch.Tensor) -> torch.Tensor:
    """[N, N, N]: of the angle at the first example between the two others, the cosine; 0 where two are one."""
    towards = F.normalize(points[None] - points[:, None], dim=2)
    return torch.bmm(towards, towards.transpose(1, 2))


def _relations(values: torch.Tensor, heads: int, mask: torch.Tensor | None) -> torch.Tensor:
    """[N, heads, tokens, tokens], logarithms of probabilities."""
    count, tokens, width = values.shape
    if width % heads:
        raise ValueError(f"a width of {width} cannot be divided by {heads} heads")
    split = values.reshape(count, tokens, heads, width // heads).transpose(1, 2)
    products = split @ split.transpose(2, 3) / (width // heads) ** 0.5
    if mask is not None:
        products = products.masked_fill(mask[:, None, None, :] == 0, -torch.inf)
    return F.log_softmax(products, dim=3)
