import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgecomp.errors import CaptureError, DataError
from edgecomp.models.resnet import ResNet
from edgecomp.quantize.calibration import calibrate, reestimate_batchnorm
from edgecomp.quantize.folding import fold
from edgecomp.quantize.placement import QuantLayer, fake_quants, left_in_float, with_fake_quant


def batches(channels: int = 1, count: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(8, channels, 16, 16, generator=generator).numpy() for _ in range(count)]


def quantised(network: nn.Module) -> nn.Module:
    module = with_fake_quant(network, "cpu-u8")
    calibrate(module, batches())
    return module


def test_every_convolution_and_linear_layer_gets_a_weight_scale() -> None:
    module = quantised(ResNet(1, 10, blocks=2, width=8))
    layers = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    wrapped = [part.layer for part in module.modules() if isinstance(part, QuantLayer)]
    assert len(layers) == len(wrapped) == 16
    assert left_in_float(module) == []


def test_fake_quant_sits_on_both_inputs_and_the_output_of_a_residual_add() -> None:
    module = with_fake_quant(ResNet(1, 10, blocks=1, width=4), "cpu-u8")
    adds = [node for node in module.graph.nodes if "add" in node.name]
    assert len(adds) == 3
    for add in adds:
        for source in add.all_input_nodes:
            if "shortcut" in str(source.target):  # an Identity: its values lie on its input's grid
                (source,) = source.all_input_nodes
            assert "activation_quant" in str(source.target)
        (relu,) = add.users
        (after,) = relu.users
        assert "activation_quant" in str(after.target)


def test_the_input_is_quantised_and_the_logits_are_not() -> None:
    module = with_fake_quant(ResNet(1, 10, blocks=1, width=4), "cpu-u8")
    nodes = list(module.graph.nodes)
    (first,) = nodes[0].users
    assert "activation_quant" in str(first.target)
    assert str(nodes[-1].all_input_nodes[0].target) == "head"


def test_an_operator_without_a_rule_is_listed_and_left_in_float() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)
            self.act = nn.Softplus()
            self.head = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.act(self.conv(x))
            return self.head(y.mean((2, 3)))

    module = with_fake_quant(Net(), "cpu-u8")
    assert left_in_float(module) == ["act", "mean"]
    calibrate(module, batches())
    assert torch.isfinite(module(torch.randn(2, 1, 16, 16))).all()


def test_control_flow_on_values_cannot_be_captured() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(CaptureError, match=r"Net cannot be captured by torch\.fx"):
        with_fake_quant(Net(), "cpu-u8")


def test_no_calibration_data_is_refused() -> None:
    with pytest.raises(DataError, match="no calibration data"):
        calibrate(with_fake_quant(ResNet(1, 10, blocks=1, width=4), "cpu-u8"), [])


class OneLayer(nn.Module):
    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 5, 3, bias=bias)
        self.norm = nn.BatchNorm2d(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.norm(self.conv(x))
        return y


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_the_fold_is_exact_for_any_batch_normalisation(seed: int, bias: bool) -> None:
    """γ of either sign and zero; the integers stay, up to their sign."""
    torch.manual_seed(seed)
    network = OneLayer(bias)
    network.norm.weight.data = torch.tensor([1.5, -0.7, 0.0, 1e-3, -3.0])
    network.norm.bias.data.normal_()
    assert network.norm.running_mean is not None
    assert network.norm.running_var is not None
    network.norm.running_mean.normal_()
    network.norm.running_var.uniform_(0.01, 4)
    module = with_fake_quant(network, "cpu-u8")
    for quant in fake_quants(module).values():
        if quant.log_scale.ndim == 0:
            quant.state = "observe"  # the weights' grid alone is under test
    layer = module.conv
    assert isinstance(layer, QuantLayer)
    layer.weight_quant.log_scale.data.fill_(-4.0)
    module.eval()
    x = torch.randn(3, 2, 6, 6)
    before = module(x)
    levels = layer.weight_quant(layer.layer.weight) / layer.weight_quant.log_scale.exp()
    fold(module)
    after = module(x)
    folded = layer.weight_quant(layer.layer.weight) / layer.weight_quant.log_scale.exp()
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(levels.abs(), folded.abs(), rtol=0, atol=1e-3)
    negative = network.norm.weight < 0
    torch.testing.assert_close(levels[negative], -folded[negative], rtol=0, atol=1e-3)


def test_reestimated_statistics_are_the_plain_average() -> None:
    norm = nn.BatchNorm2d(1, momentum=0.1)
    data = batches(count=3)
    reestimate_batchnorm(norm, data)
    means = [float(batch.mean()) for batch in data]
    assert norm.running_mean is not None
    assert float(norm.running_mean) == pytest.approx(sum(means) / 3, abs=1e-6)
    assert norm.momentum == 0.1
    assert not norm.training
