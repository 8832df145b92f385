"""How alike a student's hidden states and its teacher's are, by epoch: figures that are watched, and learnt from by nobody."""

from collections.abc import Iterable
from typing import NamedTuple

import torch

MOST_ROWS = 4096  # places or tokens that are looked at
ROWS_A_COLUMN = 3  # at least, for a map that says anything


class Compared(NamedTuple):
    """Two hidden states of a batch as rows, [rows, width] each. layer: of the student; projected: what a term compares with the teacher's, where that is
    a squared difference."""

    layer: str
    ours: torch.Tensor
    theirs: torch.Tensor
    projected: torch.Tensor | None = None


@torch.no_grad()
def likeness(pairs: Iterable[Compared]) -> dict[str, float]:
    """Of hidden states, `pairs`: `cka: LAYER`, from 0 to 1; `explained: LAYER`, the share of the teacher's variance that the projection explains; and
    `explainable: LAYER`, that of the linear map whose squared error is least."""
    found = {}
    for pair in pairs:
        every = max(1, len(pair.ours) // MOST_ROWS)
        ours, theirs = pair.ours[::every].double(), pair.theirs[::every].double()
        found[f"cka: {pair.layer}"] = linear_cka(ours, theirs).item()
        if pair.projected is not None:
            found[f"explained: {pair.layer}"] = explained(pair.projected[::every].double(), theirs).item()
        if len(ours) >= ROWS_A_COLUMN * (ours.shape[1] + 1):
            rows = torch.cat([ours, torch.ones_like(ours[:, :1])], dim=1)
            best = torch.linalg.lstsq(rows, theirs, driver="gelsd").solution
            found[f"explainable: {pair.layer}"] = explained(rows @ best, theirs).item()
    return found


def linear_cka(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Centred kernel alignment with linear kernels: 1 where one is the other turned and scaled, 0 where they share nothing
    (Kornblith et al. 2019, arXiv:1905.00414). ours, theirs: of the same examples, [rows, width] each."""
    a, b = ours - ours.mean(dim=0), theirs - theirs.mean(dim=0)
    norm = (a.T @ a).norm() * (b.T @ b).norm()
    return torch.where(norm > 0, (a.T @ b).square().sum() / norm, 0.0)


def explained(guess: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The share of the variance of `values` that `guess` explains, R²; both [rows, width]."""
    total = (values - values.mean(dim=0)).square().sum()
    return torch.where(total > 0, 1 - (guess - values).square().sum() / total, 0.0)
