"""Placement and folding on captured graphs."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx, nn

from edgecomp.errors import CaptureError, DataError
from edgecomp.models.networks.resnet import ResNet
from edgecomp.quantization.calibration import calibrate, reestimate_batchnorm
from edgecomp.quantization.capture import capture
from edgecomp.quantization.fake_quant import FakeQuant
from edgecomp.quantization.folding import fold
from edgecomp.quantization.layers import layer_name
from edgecomp.quantization.placement import (
    fake_quants,
    left_in_float,
    place,
    quantised_parameters,
    weighted,
)

IMAGES = torch.zeros(2, 1, 16, 16)


def batches(channels: int = 1, count: int = 2) -> list:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(8, channels, 16, 16, generator=generator).numpy() for _ in range(count)]


def placed(network: nn.Module, example: torch.Tensor = IMAGES) -> fx.GraphModule:
    return place(capture(network, [example], [{0: "batch"}]), "cpu-u8")


def nodes_of(module: fx.GraphModule, target: object) -> list[fx.Node]:
    return [node for node in module.graph.nodes if node.target is target]


def is_quantised(node: fx.Node) -> bool:
    return "activation_quant" in str(node.target)


def test_a_captured_network_computes_the_same_and_shares_its_parameters() -> None:
    network = ResNet(1, 10, blocks=1, width=4).eval()
    module = capture(network, [IMAGES], [{0: "batch"}])
    x = torch.randn(5, 1, 16, 16)
    torch.testing.assert_close(module(x), network(x), rtol=0, atol=0)
    assert dict(module.named_parameters()).keys() == dict(network.named_parameters()).keys()
    for name, parameter in module.named_parameters():
        assert parameter is network.get_parameter(name)
    assert set(module.state_dict()) == set(network.state_dict())


def test_batch_normalisation_and_dropout_train_again_after_capture() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(588, 2)
    )
    module = capture(network, [IMAGES], [{0: "batch"}]).train()
    kinds = {type(part) for part in module.modules()}
    assert {nn.BatchNorm2d, nn.Dropout} <= kinds
    before = module.get_buffer("1.running_mean").clone()
    x = torch.randn(8, 1, 16, 16)
    assert not torch.equal(module(x), module(x))
    assert not torch.equal(before, module.get_buffer("1.running_mean"))
    module.eval()
    assert torch.equal(module(x), module(x))


def test_what_is_written_in_place_is_read_as_written() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x * 2
            z = torch.relu_(y)
            return y + z  # y has been rectified too

    x = torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(capture(Net(), [IMAGES], [{0: "batch"}])(x.clone()), Net()(x.clone()))


def test_every_convolution_and_linear_layer_gets_a_weight_scale() -> None:
    module = placed(ResNet(1, 10, blocks=2, width=8))
    layers = list(weighted(module))
    assert len(layers) == 16
    assert all(
        quant.log_scale.numel() == module.get_parameter(str(w.target)).shape[0] for _, w, quant in layers
    )
    assert left_in_float(module) == {}


def test_fake_quant_sits_on_both_inputs_and_the_output_of_a_residual_sum_of_images() -> None:
    module = placed(ResNet(1, 10, blocks=1, width=4))
    sums = nodes_of(module, torch.ops.aten.add.Tensor)
    assert len(sums) == 3
    for node in sums:
        assert all(is_quantised(source) for source in node.all_input_nodes)
        (relu,) = node.users
        (after,) = relu.users
        assert is_quantised(after)


def test_a_residual_sum_between_float_tensors_stays_in_float() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.up, self.down = nn.LayerNorm(16), nn.Linear(16, 32), nn.Linear(32, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = x + self.down(torch.nn.functional.gelu(self.up(self.norm(x))))
            return y

    module = placed(Block())
    (node,) = nodes_of(module, torch.ops.aten.add.Tensor)
    assert not any(is_quantised(source) for source in node.all_input_nodes)
    assert len([name for name in fake_quants(module) if "activation" in name]) == 2
    assert left_in_float(module) == {"gelu.default": 1, "layer_norm.default": 1}


def test_values_that_are_only_moved_share_their_scale() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(100, 2)
    )
    module = placed(network)
    (pool,) = nodes_of(module, torch.ops.aten.max_pool2d.default)
    (after,) = pool.users
    assert after.target == pool.all_input_nodes[0].target


def test_an_image_that_grows_by_nearest_neighbours_keeps_its_scale() -> None:
    module = placed(
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(1800, 2))
    )  # fmt: skip
    (grown,) = nodes_of(module, torch.ops.aten.upsample_nearest2d.vec)
    (after,) = grown.users
    assert after.target == grown.all_input_nodes[0].target


def test_a_shared_weight_has_one_scale() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(16, 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.layer(torch.tanh(self.layer(x)))
            return y

    module = placed(Twice())
    assert len(list(weighted(module))) == 2
    assert len([name for name in fake_quants(module) if "weight" in name]) == 1


def test_the_input_is_quantised_and_the_logits_are_not() -> None:
    module = placed(ResNet(1, 10, blocks=1, width=4))
    (first,) = next(node for node in module.graph.nodes if node.op == "placeholder").users
    assert is_quantised(first)
    (answer,) = list(module.graph.nodes)[-1].all_input_nodes
    assert answer.target is torch.ops.aten.linear.default


def test_control_flow_on_values_cannot_be_captured_and_the_line_is_named() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(
        CaptureError, match=r"Net cannot be captured .* at test_placement\.py:\d+ `return x if x\.sum\(\)"
    ):
        capture(Net(), [IMAGES], [{0: "batch"}])


def test_a_size_that_the_network_fixes_is_refused() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(2, -1)

    with pytest.raises(CaptureError, match="Net cannot be captured"):
        capture(Net(), [IMAGES], [{0: "batch"}])


def test_no_calibration_data_is_refused() -> None:
    with pytest.raises(DataError, match="no calibration data"):
        calibrate(placed(ResNet(1, 10, blocks=1, width=4)), [])


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
    module = placed(network, torch.zeros(2, 2, 6, 6))
    for quant in fake_quants(module).values():
        if quant.axis is None:
            quant.state = "observe"  # the weights' grid alone is under test
    ((_, source, quant),) = weighted(module)
    quant.log_scale.data.fill_(-4.0)
    module.eval()
    x = torch.randn(3, 2, 6, 6)
    before, levels = module(x), integers(module, source, quant)
    fold(module)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in module.modules())
    after, folded = module(x), integers(module, source, quant)
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(levels.abs(), folded.abs(), rtol=0, atol=1e-3)
    negative = network.norm.weight < 0
    torch.testing.assert_close(levels[negative], -folded[negative], rtol=0, atol=1e-3)


def test_a_bias_lies_on_the_grid_of_the_accumulator_and_fits_into_32_bits() -> None:
    torch.manual_seed(0)
    network = OneLayer(True)
    network.norm.weight.data = torch.tensor([1.5, -0.7, 0.0, 1e-9, 40.0])
    network.norm.bias.data = torch.tensor([0.3, -0.2, 0.5, -2.0, 0.1])
    module = placed(network, torch.zeros(2, 2, 6, 6))
    x = torch.randn(3, 2, 6, 6)
    calibrate(module, [{"input": x.numpy()}])
    before = module(x)
    ((node, _, quant),) = weighted(fold(module))
    grid = module.get_submodule(str(node.args[0].target))  # type: ignore[union-attr]
    assert isinstance(grid, FakeQuant)
    steps = module.get_parameter(str(node.args[2].target)) / (grid.scale() * quant.scale().flatten())  # type: ignore[union-attr]
    torch.testing.assert_close(steps.round(), steps, rtol=1e-6, atol=1e-3)
    assert steps.abs().max() < 2**30 * 1.001
    torch.testing.assert_close(module(x), before, rtol=0, atol=0.2)


def integers(module: fx.GraphModule, source: fx.Node, quant: FakeQuant) -> torch.Tensor:
    return quant(module.get_parameter(str(source.target))) / quant.log_scale.exp()


def test_reestimated_statistics_are_the_plain_average() -> None:
    norm = nn.BatchNorm2d(1, momentum=0.1)
    data = batches(count=3)
    reestimate_batchnorm(norm, [{"input": batch} for batch in data])
    means = [float(batch.mean()) for batch in data]
    assert norm.running_mean is not None
    assert float(norm.running_mean) == pytest.approx(sum(means) / 3, abs=1e-6)
    assert norm.momentum == 0.1
    assert not norm.training


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 4)
        self.up = nn.Parameter(torch.randn(4, 6))
        self.bias = nn.Parameter(torch.randn(6))
        self.down = nn.Parameter(torch.randn(6, 4))


def text_of(network: nn.Module) -> fx.GraphModule:
    return place(capture(network, [torch.zeros(2, 5, dtype=torch.long)], [{0: "batch"}]), "cpu-u8")


def calibrated(module: fx.GraphModule, *inputs: torch.Tensor) -> fx.GraphModule:
    calibrate(module, [{str(index): tensor.numpy() for index, tensor in enumerate(inputs)}])
    return module.eval()


IDS = torch.arange(10).reshape(2, 5)


@pytest.mark.parametrize("way", ["addmm", "matmul", "einsum"])
def test_a_product_with_a_constant_matrix_is_a_linear_layer(way: str) -> None:
    class Net(Words):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            x = self.table(ids)
            if way == "addmm":
                x = torch.addmm(self.bias, x.reshape(-1, 4), self.up).reshape(-1, 5, 6)
            else:
                x = x @ self.up if way == "matmul" else torch.einsum("bsi,io->bso", x, self.up)
            y: torch.Tensor = x @ self.down
            return y

    network = Net()
    module = capture(network, [IDS], [{0: "batch"}])
    torch.testing.assert_close(module(IDS), network(IDS))
    calibrated(place(module, "cpu-u8"), IDS)
    assert [tuple(quant.log_scale.shape) for _, _, quant in weighted(module)] == [(6, 1), (4, 1)]
    before = module(IDS)
    torch.testing.assert_close(fold(module)(IDS), before, rtol=1e-4, atol=1e-5)


def test_a_product_of_two_activations_is_left_in_float_and_listed() -> None:
    class Net(Words):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            x = self.table(ids)
            y: torch.Tensor = x @ x.transpose(1, 2)
            return y

    module = text_of(Net())
    assert left_in_float(module) == {"matmul.default": 1}
    assert not [name for name in fake_quants(module) if "activation" in name]


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm", "standardised"])
def test_a_computed_weight_is_quantised_and_stored_as_its_value(norm: str) -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return torch.nn.functional.conv2d(x, weight, self.bias)

    layer = Standardised(1, 4, 3)
    if norm != "standardised":
        layer = getattr(nn.utils.parametrizations, norm)(nn.Conv2d(1, 4, 3))
    network = nn.Sequential(layer, nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(784, 2))
    x = torch.randn(4, 1, 16, 16)
    module = calibrated(placed(network), x)
    assert len(list(weighted(module))) == 2
    before = module(x)
    names = [layer_name(node) for node, _, _ in weighted(module)]
    fold(module)
    assert all(source.op == "get_attr" for _, source, _ in weighted(module))
    assert names == [layer_name(node) for node, _, _ in weighted(module)] == ["0", "4"]
    torch.testing.assert_close(module(x), before, rtol=1e-3, atol=1e-3)


def test_layers_of_constants_are_computed_once() -> None:
    """Relative positions projected by a layer: no runtime has such a layer, and its weight may serve another."""

    class Net(Words):
        def __init__(self) -> None:
            super().__init__()
            self.positions, self.layer = nn.Parameter(torch.randn(5, 4)), nn.Linear(4, 4)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.layer(self.table(ids)) + self.layer(self.positions)
            return y

    module = calibrated(text_of(Net()), IDS)
    assert len(list(weighted(module))) == 1
    before = module(IDS)
    fold(module)
    assert len(nodes_of(module, torch.ops.aten.linear.default)) == 1
    torch.testing.assert_close(module(IDS), before)


def test_a_table_that_is_also_a_weight_keeps_its_rows_and_one_looked_up_twice_has_one_scale() -> None:
    class Net(Words):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            x = self.table(ids) + self.table(ids.flip(1))
            return torch.nn.functional.linear(torch.tanh(x), self.table.weight)

    module = calibrated(text_of(Net()), IDS)
    assert len([name for name in fake_quants(module) if name.startswith("table_quant")]) == 1
    before = module(IDS)
    torch.testing.assert_close(fold(module)(IDS), before)


def test_a_shared_layer_is_folded_with_the_normalisation_of_each_of_its_uses() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norms = (
                nn.Conv2d(1, 1, 3, padding=1),
                nn.ModuleList(nn.BatchNorm2d(1) for _ in range(2)),
            )
            for index, norm in enumerate(self.norms):
                nn.init.constant_(norm.weight, index + 0.5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for norm in self.norms:
                x = torch.relu(norm(self.conv(x)))
            return x.mean((2, 3))

    x = torch.randn(4, 1, 16, 16)
    module = calibrated(placed(Net()), x)
    before = module(x)
    fold(module)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in module.modules())
    torch.testing.assert_close(module(x), before, rtol=1e-3, atol=1e-3)


def test_a_clip_below_zero_is_no_part_of_a_convolution_and_has_no_ceiling() -> None:
    module = placed(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Hardtanh(), nn.Conv2d(4, 2, 3)))
    assert left_in_float(module) == {"hardtanh.default": 1}
    assert all(quant.most > 10 for quant in fake_quants(module).values())


@pytest.mark.parametrize(
    "clip",
    [
        lambda x: x.clamp(0, 6),
        lambda x: x.clamp(min=0),
        lambda x: x.clamp_min(0),
        lambda x: x.clamp(max=6, min=0),
    ],
)
def test_a_clip_at_zero_is_a_relu(clip: Callable[[torch.Tensor], torch.Tensor]) -> None:
    class Net(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self[1](clip(self[0](x)))
            return y

    network = Net(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3))
    module = placed(network)
    assert left_in_float(module) == {}
    assert len([name for name in fake_quants(module) if "activation" in name]) == 2
    x = torch.randn(2, 1, 16, 16) * 20
    torch.testing.assert_close(capture(network, [x], [{0: "batch"}])(x), network(x))


def test_channels_are_shuffled_in_integers() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            left, right = self.first(x).chunk(2, 1)
            x = torch.stack([left, right], 2).flatten(1, 2)
            y: torch.Tensor = self.second(torch.cat([x[:, :2], x[:, 2:]], 1))
            return y

    module = placed(Net())
    assert left_in_float(module) == {"stack.default": 1}
    (parts,) = nodes_of(module, torch.ops.aten.chunk.default)
    taken = {quant.target for part in parts.users for quant in part.users}
    assert taken == {parts.all_input_nodes[0].target}


def test_an_axis_whose_size_the_code_fixes_is_named_as_the_cause() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(2, -1)

    with pytest.raises(
        CaptureError, match=r"x\.shape in place of numbers, or the axis must be declared fixed"
    ):
        capture(Net(), [IMAGES], [{0: "batch"}])


def test_a_pooling_window_larger_than_its_image_is_the_average_of_all() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AvgPool2d(64, ceil_mode=True))
    module = capture(network, [IMAGES], [{0: "batch"}])
    assert nodes_of(module, torch.ops.aten.adaptive_avg_pool2d.default)
    x = torch.randn(3, 1, 16, 16)
    torch.testing.assert_close(module(x), network(x))


def test_a_weight_that_is_a_buffer_is_a_weight() -> None:
    class Blur(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self[0](torch.nn.functional.conv2d(x, self.kernel))
            return y

    network = Blur(nn.Conv2d(1, 2, 3))
    network.register_buffer("kernel", torch.ones(1, 1, 3, 3) / 9)
    module = placed(network)
    calibrate(module, [{"input": torch.randn(4, 1, 16, 16).numpy()}])
    assert [layer_name(node) for node, _, _ in weighted(fold(module))] == ["kernel", "0"]


class OverTime(nn.Module):
    """[N, steps, 4] → a linear layer's outputs lie on the last axis, and its normalisation is of the steps."""

    def __init__(self, steps: int, width: int) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, width), nn.BatchNorm1d(steps), nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.norm(self.first(x))).mean(1))


@pytest.mark.parametrize(("steps", "width"), [(8, 8), (6, 8)])
def test_a_norm_over_another_axis_than_a_linear_layers_outputs_is_not_folded(steps: int, width: int) -> None:
    torch.manual_seed(0)
    network, x = OverTime(steps, width), torch.randn(64, steps, 4)
    nn.init.uniform_(network.norm.weight, -2, 2)
    network.norm.running_mean.uniform_(-1, 1)
    module = placed(network, x[:2])
    calibrate(module, [{"input": x.numpy()}])
    trained = module.eval()(x)
    torch.testing.assert_close(fold(module)(x), trained, rtol=0, atol=0.05)


class Twice(nn.Module):
    def __init__(self, *, tied: bool = False) -> None:
        super().__init__()
        self.first, self.shared, self.last = nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 5)
        self.tied = tied

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.shared(torch.relu(self.shared(torch.relu(self.first(x))))))
        return self.last(x) + (self.shared.weight.sum() if self.tied else 0)


@pytest.mark.parametrize("tied", [False, True], ids=["by layers alone", "and as it is"])
def test_the_weight_of_a_layer_used_twice_lies_on_its_grid(tied: bool) -> None:
    """Beyond it a narrow grid's weights would saturate on a CPU without VNNI."""
    torch.manual_seed(0)
    network, x = Twice(tied=tied), torch.randn(64, 16)
    module = place(capture(network, [x[:2]], [{0: "batch"}]), "cpu-u8-narrow")
    calibrate(module, [{"input": x.numpy()}])
    with torch.no_grad():
        for _, _, quant in weighted(module):
            quant.log_scale -= 0.5  # as training leaves it: the largest weights are clipped
    original = network.shared.weight.detach().clone()
    trained = module.eval()(x)
    torch.testing.assert_close(fold(module)(x), trained, rtol=0, atol=0.05)
    for _, source, quant in weighted(module):
        weight = module.get_parameter(str(source.target))
        levels = weight / quant.log_scale.exp()
        torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-3)
        assert levels.abs().max() <= 63.001
    if tied:
        torch.testing.assert_close(network.shared.weight, original)  # whoever reads it in float still does


def test_a_cumulative_norm_moves_its_statistics_again() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, momentum=None), nn.Flatten(), nn.Linear(392, 2)
    )
    module = placed(network).train()
    before = module.get_buffer("1.running_mean").clone()
    module(torch.randn(8, 1, 16, 16) + 1)
    assert not torch.equal(before, module.get_buffer("1.running_mean"))


class Depthwise(nn.Module):
    """A depthwise convolution, one of two outputs a group, an ordinary one, and a weight that a depthwise and an ordinary one share."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(4, 4, 3, groups=4)
        self.twice = nn.Conv2d(4, 8, 3, groups=4)
        self.ordinary = nn.Conv2d(4, 4, 3)
        self.line = nn.Conv1d(4, 4, 3, groups=4)
        self.shared = nn.Parameter(torch.randn(4, 1, 3, 3))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        both = nn.functional.conv2d(x, self.shared, groups=4), nn.functional.conv2d(x[:, :1], self.shared)
        return self.depthwise(x), self.twice(x), self.ordinary(x), self.line(x.flatten(2)), *both


@pytest.mark.parametrize(("bits", "wide", "narrow"), [(8, 127, 63), (4, 7, 7)])
def test_narrow_weights_are_of_what_is_added_in_16_bits(bits: int, wide: int, narrow: int) -> None:
    """A depthwise convolution's products are added one by one; what another layer reads too is not its own."""
    module = place(
        capture(Depthwise(), [torch.zeros(2, 4, 16, 16)], [{0: "batch"}]),
        "cpu-u8-narrow",
        weight_bits=bits,
        edges_in_8_bits=False,
    )
    highest = {
        name.removeprefix("weight_quant_"): part.grid.high
        for name, part in module.named_modules()
        if isinstance(part, FakeQuant) and name.startswith("weight_quant")
    }
    assert highest == {
        "depthwise_weight": wide,
        "line_weight": wide,
        "twice_weight": narrow,
        "ordinary_weight": narrow,
        "shared": narrow,
    }


def test_a_weight_that_is_turned_is_stored_as_integers_too() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(16, 5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(x.flatten(1)[:, :16], self.weight.transpose(0, 1))

    module = place(capture(Turned(), [IMAGES], [{0: "batch"}]), "cpu-u8")
    assert quantised_parameters(module) == {"weight"}
