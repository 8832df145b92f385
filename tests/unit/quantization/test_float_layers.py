"""Layers in float: what they read, hold and give, and which ranges the others keep."""

import pytest
import torch
from torch import fx, nn

from edgecomp.quantization.capture import capture
from edgecomp.quantization.layers import layer_name, layer_names, rule_of
from edgecomp.quantization.placement import fake_quants, place

EXAMPLE = torch.randn(2, 3, 16, 16)


class Images(nn.Module):
    """A residual sum, a maximum, a gate of an average, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.inside = nn.Conv2d(8, 8, 3, padding=1)
        self.gate = nn.Conv2d(8, 8, 1)
        self.after = nn.Conv2d(8, 8, 3)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x).relu()
        x = nn.functional.max_pool2d(x + self.inside(x), 2)
        x = x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()
        return self.head(self.after(x).mean((2, 3)))


def captured() -> fx.GraphModule:
    torch.manual_seed(0)
    return capture(Images().eval(), [EXAMPLE], [{0: "batch"}])


LAYERS = ["first", "inside", "gate", "after", "head"]


def test_with_every_layer_in_float_nothing_is_rounded() -> None:
    assert layer_names(captured()) == LAYERS
    assert fake_quants(place(captured(), "cpu-u8", LAYERS)) == {}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_in_float_gives_what_it_computes(layer: str) -> None:
    module = place(captured(), "cpu-u8", [layer])
    [node] = [node for node in module.graph.nodes if layer_name(node) == layer]
    assert node.args[1].op == "get_attr"  # its weight as it is
    while len(node.users) == 1 and rule_of(next(iter(node.users))) == "fused":
        node = next(iter(node.users))
    readers = [user for user in node.users if user.op == "call_module"]
    assert all(
        layer_name(user) in LAYERS for quant in readers for user in quant.users
    )  # rounded for layers that read integers, and for no sum


@pytest.mark.parametrize("layer", LAYERS)
def test_the_others_keep_the_ranges_that_they_had(layer: str) -> None:
    whole = place(captured(), "cpu-u8")
    for place_, quant in enumerate(fake_quants(whole).values()):
        quant.log_scale.data.fill_(float(place_))
    module = place(captured(), "cpu-u8", [layer])
    module.load_state_dict({name: whole.state_dict()[name] for name in module.state_dict()})
    known = {name: quant.log_scale for name, quant in fake_quants(whole).items()}
    for name, quant in fake_quants(module).items():
        assert torch.equal(quant.log_scale, known[name])
