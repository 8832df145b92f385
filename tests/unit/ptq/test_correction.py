"""Bias correction: every layer's mean is the fp32 network's again, and nothing else is changed."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import fx, nn

from edgecomp.models.networks.resnet import ResNet
from edgecomp.ptq.correction import _biases, _means, correct_biases
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture, duplicate
from edgecomp.quantization.folding import fold
from edgecomp.quantization.placement import place


class Twice(nn.Module):
    """One linear layer, used twice on sequences of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.head = nn.Linear(8, 8, bias=False), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(torch.relu(self.shared(torch.relu(self.shared(x)))).mean(1))
        return logits


def images(seed: int = 0, count: int = 3) -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(seed)
    return [{"x": generator.normal(0.3, 1, (16, 2, 8, 8)).astype(np.float32)} for _ in range(count)]


def sequences(seed: int = 0) -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(seed)
    return [{"x": generator.normal(size=(8, length, 8)).astype(np.float32)} for length in (5, 9, 4)]


def disturbed(network: nn.Module) -> nn.Module:
    """With batch statistics and affine parameters as after training; one γ is zero, one negative."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            nn.init.normal_(part.running_mean, 0, 0.3)
            nn.init.uniform_(part.running_var, 0.3, 2)
            if part.affine:
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.uniform_(part.bias, -0.3, 0.5)
                part.weight.data[:2] *= torch.tensor([0.0, -1.0])
    return network.eval()


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], list[dict[str, np.ndarray]]]]] = {
    "residual, normalised": (lambda: ResNet(2, 4, blocks=1, width=4), images),
    "with biases": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=3), nn.Flatten(), nn.Linear(96, 3)
        ),
        images,
    ),
    "without, normalised without γ and β": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6, affine=False), nn.ReLU(), nn.Conv2d(6, 4, 3, bias=False),
            nn.Flatten(), nn.Linear(64, 3, bias=False),
        ),
        images,
    ),
    "one layer twice, lengths that differ": (Twice, sequences),
}  # fmt: skip


def quantised(name: str, seed: int, bits: int) -> tuple[fx.GraphModule, fx.GraphModule, list]:
    """The network's graph, a calibrated copy, and the batches."""
    build, batches_of = NETWORKS[name]
    torch.manual_seed(seed)
    batches = batches_of(seed)
    example = torch.from_numpy(batches[0]["x"][:2])
    axes = {0: "batch", 1: "length"} if example.ndim == 3 else {0: "batch"}
    captured = capture(disturbed(build()), [example], [axes])
    copy = place(duplicate(captured), "cpu-u8", (), bits, bits, edges_in_8_bits=False)
    calibrate(copy, batches)
    return captured, copy, batches


@torch.no_grad()
def shifts(captured: fx.GraphModule, student: fx.GraphModule, batches: list) -> list[float]:
    """The largest shift of a channel's mean, for every layer in order, in deviations of the layer's means."""
    axes = {node.name: axis for node, (_, axis) in _biases(duplicate(captured), adds=True).items()}
    wanted, found = (_means(module, axes, batches) for module in (captured, student))
    return [float((wanted[name] - found[name]).abs().max() / wanted[name].abs().mean()) for name in axes]


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), bits=st.sampled_from([8, 4]))
@example(seed=120, bits=8)
def test_no_layers_mean_is_shifted(name: str, seed: int, bits: int) -> None:
    captured, student, batches = quantised(name, seed, bits)
    captured, student = (
        captured.double(),
        student.double(),
    )  # in fp32 a value between two levels falls either way
    batches = [{key: value.astype(np.float64) for key, value in batch.items()} for batch in batches]
    before = shifts(captured, student, batches)
    correct_biases(student, captured, batches)
    after = shifts(captured, student, batches)
    assert max(before) > 1e-3
    assert max(after) < 1e-9


@pytest.mark.parametrize("name", NETWORKS)
def test_the_logits_of_other_data_are_no_further_from_those_in_fp32(name: str) -> None:
    plain = corrected = 0.0
    for seed in range(8):
        captured, student, batches = quantised(name, seed, 4)
        unseen = torch.from_numpy(NETWORKS[name][1](seed + 100)[0]["x"])
        with torch.no_grad():
            wanted = captured(unseen)
            plain += float(((student(unseen) - wanted) ** 2).mean() / wanted.var())
            correct_biases(student, captured, batches)
            corrected += float(((student(unseen) - wanted) ** 2).mean() / wanted.var())
    assert corrected < plain


@pytest.mark.parametrize("name", NETWORKS)
def test_where_no_bias_is_added_every_name_stays_and_the_means_of_layers_with_one_are_kept(name: str) -> None:
    captured, student, batches = quantised(name, 0, 4)
    captured, student = captured.double(), student.double()
    batches = [{key: value.astype(np.float64) for key, value in batch.items()} for batch in batches]
    names = list(student.state_dict())
    own = {node.name: axis for node, (_, axis) in _biases(duplicate(captured), adds=False).items()}
    assert bool(own) == (name != "without, normalised without γ and β")
    correct_biases(student, captured, batches, adds=False)
    assert list(student.state_dict()) == names
    wanted, found = (_means(module, own, batches) for module in (captured, student))
    assert all(float((wanted[one] - found[one]).detach().abs().max()) < 1e-9 for one in own)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_corrected_network_folds_into_the_same_function(name: str) -> None:
    captured, student, batches = quantised(name, 0, 8)
    correct_biases(student, captured, batches)
    x = torch.from_numpy(batches[1]["x"])
    with torch.no_grad():
        before = student(x)
        after = fold(duplicate(student))(x)
    assert (after - before).abs().mean() < 0.01 * before.std()


def test_the_fp32_network_and_all_weights_and_scales_stay_as_they_are() -> None:
    captured, student, batches = quantised("residual, normalised", 0, 4)
    before = {name: value.clone() for name, value in captured.state_dict().items()}
    placed = {name: value.clone() for name, value in student.state_dict().items()}
    correct_biases(student, captured, batches)
    assert all(torch.equal(value, before[name]) for name, value in captured.state_dict().items())
    changed = {name for name, value in placed.items() if not torch.equal(value, student.state_dict()[name])}
    assert changed
    assert all(name.endswith(("bn.bias", "bn1.bias", "bn2.bias", "shortcut.1.bias")) for name in changed)
    assert set(student.state_dict()) - set(placed) == {"corrected_bias_linear"}


def test_one_layer_used_twice_gets_a_bias_for_each_use() -> None:
    captured, student, batches = quantised("one layer twice, lengths that differ", 0, 4)
    correct_biases(student, captured, batches)
    own = [value for name, value in student.named_parameters() if name.startswith("corrected_bias")]
    assert len(own) == 3
    assert not torch.equal(own[0], own[1])


def test_a_normalisation_that_two_layers_share_stays_as_it_is() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.norm(self.conv(self.norm(self.conv(x))))
            return y

    torch.manual_seed(0)
    batches = images()
    captured = capture(Net(), [torch.from_numpy(batches[0]["x"][:2])], [{0: "batch"}])
    student = place(duplicate(captured), "cpu-u8", (), 4, 4, edges_in_8_bits=False)
    calibrate(student, batches)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    correct_biases(student, captured, batches)
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
