"""What a student that was not measured will take, foretold from those of its space that were.

A figure is taken as a sum over the kinds of operators of a network: so much for each operator, for each multiply-accumulate, and for each number that
is read or written, none of them negative (Lawson & Hanson 1974, non-negative least squares), of relative errors. It proposes; the measurement decides.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import fx

from edgecomp.quantization.layers import is_depthwise, rule_of
from edgecomp.shrink.budget import SIZES, Limit
from edgecomp.shrink.candidates import Cost, Work

Values = npt.NDArray[np.float64]
PRODUCTS = ("matmul", "bmm", "einsum", "scaled_dot_product_attention")
MOVES = (
    "same",
    "fused",
)  # rules of what is a name for numbers that are there, or part of the operator before
LANES = 16  # outputs that a kernel computes together: channels beside them are computed in vain
FOUR = 4  # channels that a product of integers takes together: kernels take others another, slower way
UNEVEN = ", uneven"  # kinds of such layers
FEWEST = 8  # students that a figure is foretold from
SHARE = 0.9  # of the errors, within which a foretold figure is held to be right


class _Counting(fx.Interpreter):
    """Executes a graph, and counts what each of its operators does."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.work: Work = {}

    def run_node(self, n: fx.Node) -> Any:
        made = super().run_node(n)
        if n.op == "call_function" and isinstance(made, torch.Tensor):
            read = [self.env[one] for one in n.all_input_nodes if isinstance(self.env.get(one), torch.Tensor)]
            kind, macs = _kind(n, [self.env[one] for one in n.args if isinstance(one, fx.Node)], made)
            if kind:
                moved = float(sum(one.numel() for one in read) + made.numel())
                self.work[kind] = [
                    known + more
                    for known, more in zip(self.work.get(kind, [0.0] * 3), (1.0, macs, moved), strict=True)
                ]
        return made


def work_of(graph: fx.GraphModule, example: Sequence[torch.Tensor]) -> Work:
    """What the captured network of a `graph` does for an `example`, its inputs in order."""
    counting = _Counting(graph)
    with torch.no_grad():
        counting.run(*example)
    return counting.work


def _kind(node: fx.Node, given: Sequence[torch.Tensor], made: torch.Tensor) -> tuple[str, float]:
    """What kind of operator it is, and its multiply-accumulates; no kind where it takes no time of its own. given, made: what it reads, in order, and writes."""
    rule, name = rule_of(node), str(node.target).split(".")[1] if "." in str(node.target) else ""
    if rule in ("convolution", "linear"):
        weight = given[1]
        macs = made.numel() / made.shape[1 if rule == "convolution" else -1] * weight.numel()
        uneven = UNEVEN if any(channels % FOUR for channels in weight.shape[:2]) else ""
        if rule == "linear":
            return f"linear{uneven}", macs * _in_lanes(weight.shape[0])
        if is_depthwise(node):
            return "depthwise", macs
        kind = "pointwise" if math.prod(weight.shape[2:]) == 1 else "convolution"
        return f"{kind}{uneven}", macs * _in_lanes(weight.shape[0])
    if name in PRODUCTS:
        return "product", made.numel() * float(
            given[0].shape[-1] if len(given) < 3 else 2 * given[1].shape[-2]
        )
    if rule in MOVES:
        return "", 0.0
    return rule or "other", 0.0


def _in_lanes(channels: int) -> float:
    """How many times as many outputs are computed as are wanted."""
    return math.ceil(channels / LANES) * LANES / channels


class CostModel(NamedTuple):
    """Of one figure. each: by kind of operator what one of them takes, each multiply-accumulate, and each number read or written; always: whatever the
    network; errors: relative, of each student foretold from the others."""

    each: Mapping[str, Sequence[float]]
    always: float
    errors: Sequence[float]

    def foretold(self, work: Work) -> float:
        """The figure of a student that does so much `work`, in its metric's base unit."""
        parts = (
            known * more
            for kind, all_of in work.items()
            for known, more in zip(self.each.get(kind, ()), all_of, strict=False)
        )
        return self.always + sum(parts)

    @property
    def error(self) -> float:
        """The median error, relative."""
        return float(np.median(np.abs(self.errors)))

    @property
    def margin(self) -> float:
        """The error, relative, that nine in ten keep within."""
        return float(np.quantile(np.abs(self.errors), SHARE, method="higher"))


def fitted(works: Sequence[Work], taken: Sequence[float]) -> CostModel | None:
    """The model of a figure; None of fewer students than FEWEST. works, taken: of each student, what it does and the figure it was measured to have, > 0."""
    if len(works) < FEWEST:
        return None
    kinds = sorted({kind for work in works for kind in work})
    rows = np.array(
        [[1.0, *(value for kind in kinds for value in work.get(kind, [0.0] * 3))] for work in works]
    )
    figures = np.asarray(taken, np.float64)
    errors = []
    for left_out in range(len(works)):
        kept = np.arange(len(works)) != left_out
        errors.append(float(rows[left_out] @ _solved(rows[kept], figures[kept]) / figures[left_out]) - 1)
    always, *each = map(float, _solved(rows, figures))
    return CostModel(
        {kind: each[3 * place : 3 * place + 3] for place, kind in enumerate(kinds)}, always, errors
    )


class Foresight:
    """What the students that were measured tell of one that was not, of every limit on time and memory."""

    def __init__(self, limits: Sequence[Limit], costs: Sequence[Cost]) -> None:
        """limits: that candidates are held to; costs: of those that were measured."""
        self._models: list[tuple[Limit, CostModel]] = []
        for limit in limits:
            if limit.kind == "min" or limit.metric in SIZES:
                continue
            known = [
                (one.work, figure)
                for one in costs
                if one.work and (figure := one.figures.get(limit.target, {}).get(limit.metric, 0.0)) > 0
            ]
            model = fitted([work for work, _ in known], [figure for _, figure in known])
            if model is not None:
                self._models.append((limit, model))

    def __bool__(self) -> bool:
        return bool(self._models)

    def over(self, work: Work) -> dict[str, float]:
        """By target and metric, how far over its limit, as a share of it, a student that does so much `work` is foretold to be, of those that it is over
        even if the figure is foretold as much too high as nine in ten are not."""
        return {
            f"{limit.target}/{limit.metric}": limit.excess(foretold)
            for limit, model in self._models
            if limit.excess((foretold := model.foretold(work)) / (1 + model.margin)) > 0
        }

    def errors(self) -> dict[str, dict[str, float]]:
        """By target and metric, of how many students, and by how much each is foretold wrongly from the others, in per cent: the median, and what nine in ten
        keep within."""
        return {
            f"{limit.target}/{limit.metric}": {
                "students": len(model.errors),
                "median_error_pct": 100 * model.error,
                "nine_in_ten_pct": 100 * model.margin,
            }
            for limit, model in self._models
        }


def _solved(rows: Values, figures: Values) -> Values:
    """What each column takes, none negative, so that relative errors are least."""
    from scipy.optimize import nnls

    relative = rows / figures[:, None]
    scale = np.maximum(np.linalg.norm(relative, axis=0), np.finfo(np.float64).tiny)
    found, _ = nnls(relative / scale, np.ones(len(figures)), maxiter=100 * rows.shape[1])
    return np.asarray(found / scale)
