"""What a student takes, foretold from others: what is counted of a network, what is learnt of figures, and when a foretold figure is believed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgecomp.metrics.registry import FILE_SIZE, LATENCY_P50
from edgecomp.quantization.capture import capture
from edgecomp.shrink.budget import Limit
from edgecomp.shrink.candidates import Cost, Work
from edgecomp.shrink.cost_model import FEWEST, LANES, Foresight, fitted, work_of

TARGET = "device"


def work(random: np.random.Generator) -> Work:
    kinds = random.permutation(["convolution", "linear", "other"])[: random.integers(1, 4)]
    return {
        str(kind): [
            float(random.integers(1, 9)),
            float(random.integers(1, 10**6)),
            float(random.integers(1, 10**5)),
        ]
        for kind in kinds
    }


def taken(of: Work) -> float:
    each = {"convolution": (5.0, 2e-5, 1e-4), "linear": (3.0, 1e-5, 2e-4), "other": (1.0, 0.0, 3e-4)}
    return 20.0 + sum(
        known * more for kind, all_of in of.items() for known, more in zip(each[kind], all_of, strict=True)
    )


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.each = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.mixed = nn.Conv2d(8, 32, 1)
        self.head = nn.Linear(32, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        found = torch.sigmoid(self.mixed(self.each(self.first(pixels).relu())))
        return self.head(found.mean((2, 3)))


def test_operators_are_counted_by_kind_with_their_multiply_accumulates() -> None:
    pixels = torch.zeros(1, 3, 6, 6)
    found = work_of(capture(Small().eval(), [pixels.repeat(2, 1, 1, 1)], [{0: "batch"}]), [pixels])
    macs = {kind: values[1] for kind, values in found.items() if values[1]}
    assert macs == {
        "convolution, uneven": 36
        * 8
        * 27
        * LANES
        / 8,  # eight of sixteen lanes are computed in vain, and three channels come by fours
        "depthwise": 36 * 8 * 9,
        "pointwise": 36 * 32 * 8,
        "linear, uneven": 32 * 10 * LANES / 10,
    }
    assert found["convolution, uneven"][2] == 3 * 36 + 8 * 36 + 8 * 27 + 8
    assert [values[0] for values in found.values()] == [1.0] * len(found)
    assert "fused" not in found


def test_the_products_of_attention_are_counted() -> None:
    class Attention(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.scaled_dot_product_attention(x, x, x)

    x = torch.zeros(1, 2, 5, 8)
    found = work_of(capture(Attention(), [x.repeat(2, 1, 1, 1)], [{0: "batch"}]), [x])
    assert found["product"][1] == 2 * (2 * 5 * 5 * 8)  # heads, queries, keys, channels; there and back


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_what_is_a_sum_over_operators_is_foretold_exactly(seed: int) -> None:
    random = np.random.default_rng(seed)
    works = [work(random) for _ in range(40)]
    model = fitted(works[:30], [taken(one) for one in works[:30]])
    assert model is not None
    assert max(abs(model.foretold(one) / taken(one) - 1) for one in works[30:]) < 1e-3
    assert all(value >= 0 for each in model.each.values() for value in each)


def test_the_error_is_that_of_students_which_were_left_out() -> None:
    """Figures that have nothing to do with the work are foretold badly, however many weights there are to fit them with."""
    random = np.random.default_rng(0)
    works = [work(random) for _ in range(12)]
    model = fitted(works, [float(random.uniform(1, 100)) for _ in works])
    assert model is not None
    assert model.error > 0.3
    assert model.margin >= model.error
    assert fitted(works[: FEWEST - 1], [1.0] * (FEWEST - 1)) is None


def test_a_point_is_held_to_be_over_only_where_the_error_leaves_no_doubt() -> None:
    random = np.random.default_rng(1)
    works = [work(random) for _ in range(30)]
    noisy = [taken(one) * float(np.exp(random.normal(0, 0.1))) for one in works]
    limit = Limit(TARGET, LATENCY_P50, "max", 30.0, "≤ 30 ms")
    size = Limit(TARGET, FILE_SIZE, "max", 1.0, "≤ 1 B")  # which is known before anything is measured
    costs = [
        Cost(1, {TARGET: {LATENCY_P50: figure, FILE_SIZE: 2.0}}, work=one)
        for one, figure in zip(works, noisy, strict=True)
    ]
    foresight = Foresight([limit, size], costs)
    [(name, errors)] = foresight.errors().items()
    assert name == f"{TARGET}/{LATENCY_P50}"
    assert errors["students"] == 30
    margin = errors["nine_in_ten_pct"] / 100
    assert 0.05 < margin < 0.6
    model = fitted(works, noisy)
    assert model is not None
    for asked in np.geomspace(1e3, 1e6, 40):
        just = {"other": [0.0, 0.0, float(asked)]}
        foretold = model.foretold(just)
        assert foresight.over(just) == (
            {name: pytest.approx(foretold / 30 - 1)} if foretold > 30 * (1 + margin) else {}
        )
    assert foretold > 60
    assert foresight.over({}) == {}
    assert not Foresight([limit], costs[: FEWEST - 1])
    assert not Foresight(
        [limit], [Cost(1, one.figures) for one in costs]
    )  # of an earlier search, whose work was not kept


@pytest.mark.parametrize("figure", [0.0, float("nan")])
def test_a_figure_that_is_none_is_not_learnt_from(figure: float) -> None:
    random = np.random.default_rng(2)
    works = [work(random) for _ in range(FEWEST)]
    costs = [Cost(1, {TARGET: {LATENCY_P50: taken(one)}}, work=one) for one in works[1:]]
    costs.append(Cost(1, {TARGET: {LATENCY_P50: figure}}, work=works[0]))
    assert not Foresight([Limit(TARGET, LATENCY_P50, "max", 1.0, "")], costs)
