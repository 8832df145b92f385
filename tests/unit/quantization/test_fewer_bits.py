"""Fewer bits than eight: which tensors and weights have them, and which keep theirs."""

import pytest
import torch
from torch import fx, nn

from edgecomp.models.networks.resnet import ResNet
from edgecomp.quantization.capture import capture
from edgecomp.quantization.layers import edge_layers, layer_name
from edgecomp.quantization.placement import fake_quants, place, remove_fake_quant
from edgecomp.quantization.schemes import SCHEMES, Grid, scheme

IMAGES = torch.zeros(2, 1, 16, 16)
AXES = [{0: "batch"}]


class Text(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.norm = nn.Embedding(20, 8), nn.LayerNorm(8)
        self.first, self.second, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.words(ids))
        logits: torch.Tensor = self.head(self.second(torch.relu(self.first(x))).mean(1))
        return logits


def placed(network: nn.Module, example: torch.Tensor = IMAGES, **settings: object) -> fx.GraphModule:
    return place(capture(network, [example], AXES), **({"scheme_name": "cpu-u8"} | settings))  # type: ignore[arg-type]


def levels(module: fx.GraphModule) -> dict[str, int]:
    return {name: quant.grid.high for name, quant in fake_quants(module).items()}


def test_the_grids_of_fewer_bits() -> None:
    assert scheme("cpu-u8", 4, 4).activation == Grid(0, 15, symmetric=False)
    assert scheme("gpu-s8", 4, 4).activation == Grid(-8, 7, symmetric=True)
    assert scheme("cpu-u8", 4).weight == scheme("cpu-u8-narrow", 4).weight == Grid(-7, 7, symmetric=True)
    assert all(scheme(name) == found for name, found in SCHEMES.items())


def test_inputs_of_inner_layers_have_fewer_bits_and_the_image_sums_and_the_average_keep_theirs() -> None:
    found = levels(placed(ResNet(1, 4, blocks=1, width=4), weight_bits=4, activation_bits=4))
    activations = {name: high for name, high in found.items() if name.startswith("activation")}
    assert {high for high in activations.values()} == {15, 255}
    kept = {name for name, high in activations.items() if high == 255}
    assert kept == {
        f"activation_quant_{name}"
        for name in ("x", "layers_0_bn2", "layers_1_bn2", "layers_1_shortcut_1", "layers_2_bn2", "layers_2_shortcut_1",
                     "relu_6", "adaptive_avg_pool2d")
    }  # fmt: skip
    weights = {name: high for name, high in found.items() if name.startswith("weight")}
    assert {name for name, high in weights.items() if high == 127} == {
        "weight_quant_conv_weight",
        "weight_quant_head_weight",
    }
    assert set(weights.values()) == {7, 127}


def test_without_the_exception_first_and_last_layers_have_fewer_bits_too() -> None:
    found = levels(
        placed(ResNet(1, 4, blocks=1, width=4), weight_bits=4, activation_bits=4, edges_in_8_bits=False)
    )
    assert {high for name, high in found.items() if name.startswith("weight")} == {7}
    assert found["activation_quant_x"] == found["activation_quant_adaptive_avg_pool2d"] == 15
    assert found["activation_quant_layers_0_bn2"] == 255


@pytest.mark.parametrize("edges", [True, False])
def test_eight_bits_are_eight_bits_everywhere(edges: bool) -> None:
    found = levels(placed(ResNet(1, 4, blocks=1, width=4), edges_in_8_bits=edges))
    assert set(found.values()) == {127, 255}


def test_the_first_layer_of_a_text_network_is_its_table() -> None:
    ids = torch.zeros(2, 5, dtype=torch.long)
    graph = capture(Text(), [ids], AXES)
    assert {layer_name(node) for node in edge_layers(graph)} == {None, "head"}
    found = levels(placed(Text(), ids, weight_bits=2, activation_bits=4))
    assert found["table_quant_words_weight"] == found["weight_quant_head_weight"] == 127
    assert found["weight_quant_first_weight"] == found["weight_quant_second_weight"] == 1
    assert found["activation_quant_layer_norm"] == found["activation_quant_relu"] == 15
    everywhere = levels(placed(Text(), ids, weight_bits=2, edges_in_8_bits=False))
    assert everywhere["table_quant_words_weight"] == 1


def test_a_layer_in_float_changes_no_other_grid() -> None:
    whole = levels(placed(ResNet(1, 4, blocks=1, width=4), weight_bits=4, activation_bits=4))
    for layer in ("conv", "layers.1.conv1", "head"):
        network = ResNet(1, 4, blocks=1, width=4)
        some = levels(placed(network, float_layers=[layer], weight_bits=4, activation_bits=4))
        assert some.items() < whole.items(), layer


def test_a_weight_that_the_last_layer_shares_keeps_its_bits() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.shared = nn.Linear(16, 16), nn.Linear(16, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.shared(torch.relu(self.shared(torch.relu(self.first(x)))))
            return y

    assert levels(placed(Net(), weight_bits=4))["weight_quant_shared_weight"] == 127


def test_taken_out_again_it_is_the_network_it_was_placed_in() -> None:
    network = ResNet(1, 4, blocks=1, width=4).eval()
    module = remove_fake_quant(placed(network))
    assert not fake_quants(module)
    assert set(module.state_dict()) == set(network.state_dict())
    x = torch.randn(3, 1, 16, 16)
    assert torch.equal(module(x), network(x))
