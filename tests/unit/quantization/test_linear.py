"""Products with constant weights become linear layers, whatever they were written as."""

import pytest
import torch
from torch import nn

from edgecomp.quantization.capture import capture
from edgecomp.quantization.layers import layer_names
from edgecomp.quantization.linear import contraction
from edgecomp.quantization.placement import place, weighted

aten = torch.ops.aten


class Sum(nn.Module):
    def __init__(self, equation: str, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.equation, self.weight = equation, nn.Parameter(torch.randn(*shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum(self.equation, x, self.weight)


@pytest.mark.parametrize(
    ("equation", "x", "weight"),
    [
        ("bti,hio->btho", (2, 5, 8), (3, 8, 4)),
        ("bti,ihd->bhtd", (2, 5, 8), (8, 3, 4)),
        ("bhtd,hdo->bto", (2, 3, 5, 4), (3, 4, 8)),
        ("bcl,hcd->bhld", (2, 8, 5), (3, 8, 4)),
        ("bti,io->bto", (2, 5, 8), (8, 4)),
    ],
)
def test_an_einsum_with_weights_of_any_rank_is_a_linear_layer(
    equation: str, x: tuple[int, ...], weight: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    network, example = Sum(equation, weight), torch.randn(*x)
    graph = capture(network, [example], [{0: "batch"}])
    kinds = [node.target for node in graph.graph.nodes]
    assert aten.linear.default in kinds
    assert aten.einsum.default not in kinds
    assert layer_names(graph) == ["weight"]
    for batch in (2, 7):
        given = torch.randn(batch, *x[1:])
        torch.testing.assert_close(graph(given), network(given), rtol=1e-5, atol=1e-5)
    assert len(list(weighted(place(graph, "cpu-u8-narrow")))) == 1


@pytest.mark.parametrize(
    ("equation", "x", "weight"),
    [
        ("bti,tio->bto", (2, 5, 8), (5, 8, 4)),  # a matrix for each place
        ("bti,hi->bt", (2, 5, 8), (3, 8)),  # the weights are added up
        ("bti,i->bt", (2, 5, 8), (8,)),
    ],
)
def test_what_is_no_product_with_a_matrix_stays(
    equation: str, x: tuple[int, ...], weight: tuple[int, ...]
) -> None:
    assert contraction(equation) is None
    network, example = Sum(equation, weight), torch.randn(*x)
    graph = capture(network, [example], [{0: "batch"}])
    torch.testing.assert_close(graph(example), network(example), rtol=1e-5, atol=1e-5)
    assert layer_names(graph) == []
