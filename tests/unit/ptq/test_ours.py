"""Our own post-training quantisation, on a small network trained for seconds on real digits."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import fx

from edgecomp.models.networks.resnet import ResNet
from edgecomp.ptq.ours import PostTraining
from edgecomp.quantization.calibration import reestimate_batchnorm
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold
from edgecomp.quantization.placement import fake_quants, weighted

Digits = tuple[fx.GraphModule, list[dict[str, np.ndarray]], torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def digits() -> Digits:
    """The captured network, calibration batches, and images and labels that it has not seen."""
    torch.manual_seed(0)
    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32)[:, None] / 16 - 0.3
    labels = torch.tensor(found.target)
    network = ResNet(1, 10, blocks=1, width=8)
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(3):
        for chosen in torch.randperm(1000).split(50):
            optimiser.zero_grad()
            F.cross_entropy(network(images[chosen]), labels[chosen]).backward()
            optimiser.step()
    batches = [{"input": images[start : start + 64].numpy()} for start in range(0, 512, 64)]
    reestimate_batchnorm(network, batches)
    captured = capture(network.eval(), [images[:2]], [{0: "batch"}])
    return captured, batches, images[1000:], labels[1000:]


@torch.no_grad()
def error(digits: Digits, module: fx.GraphModule) -> float:
    """The mean squared difference of the logits from those in fp32, over their variance."""
    captured, _, images, _ = digits
    wanted = captured(images)
    return float(((module(images) - wanted) ** 2).mean() / wanted.var())


@torch.no_grad()
def accuracy(digits: Digits, module: fx.GraphModule) -> float:
    _, _, images, labels = digits
    return float((module(images).argmax(1) == labels).float().mean() * 100)


def ours(digits: Digits, weights: int = 8, activations: int = 8, **settings: object) -> fx.GraphModule:
    bits = {"weight_bits": weights, "activation_bits": activations}
    how = {
        name: settings.pop(name)
        for name in ("calibration", "batchnorm", "bias_correction")
        if name in settings
    }
    made = PostTraining(digits[0], digits[1], **({"scheme": "cpu-u8"} | bits | settings))  # type: ignore[arg-type]
    return made.student(**how)  # type: ignore[arg-type]


@pytest.mark.parametrize("calibration", ["min-max", "percentile", "mse"])
@pytest.mark.parametrize("bits", [(4, 8), (4, 4), (2, 8)], ids=str)
def test_each_correction_brings_the_logits_nearer_to_fp32(
    digits: Digits, bits: tuple[int, int], calibration: str
) -> None:
    plain = error(digits, ours(digits, *bits, calibration=calibration))
    for corrections in (
        {"batchnorm": True},
        {"bias_correction": True},
        {"batchnorm": True, "bias_correction": True},
    ):
        assert error(digits, ours(digits, *bits, calibration=calibration, **corrections)) < 0.9 * plain, (
            corrections
        )


def test_ternary_weights_gain_accuracy_by_new_statistics(digits: Digits) -> None:
    plain, corrected = ours(digits, 2, calibration="mse"), ours(digits, 2, calibration="mse", batchnorm=True)
    assert accuracy(digits, corrected) > accuracy(digits, plain) + 4


def test_eight_bits_lose_nothing_to_speak_of_and_folded_are_the_same_function(digits: Digits) -> None:
    student = ours(digits, batchnorm=True, bias_correction=True)
    assert abs(accuracy(digits, student) - accuracy(digits, digits[0])) <= 1
    before = error(digits, student)
    assert abs(error(digits, fold(student)) - before) < 1e-4


def test_the_network_that_is_quantised_stays_as_it_is(digits: Digits) -> None:
    before = {name: value.clone() for name, value in digits[0].state_dict().items()}
    ours(digits, 4, 4, batchnorm=True, bias_correction=True)
    after = digits[0].state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(value, before[name]) for name, value in after.items())


def test_a_layer_in_float_has_no_integers(digits: Digits) -> None:
    student = ours(digits, float_layers=["head"], bias_correction=True)
    assert "weight_quant_head_weight" not in fake_quants(student)
    assert len(list(weighted(student))) == 9


@pytest.mark.parametrize(("batchnorm", "bias"), [(False, False), (True, False), (False, True), (True, True)])
def test_for_a_tool_the_weights_are_in_fp32_and_only_statistics_and_biases_are_corrected(
    digits: Digits, batchnorm: bool, bias: bool
) -> None:
    captured, batches, *_ = digits
    found = PostTraining(captured, batches, scheme="cpu-u8").corrected_fp32(
        batchnorm=batchnorm, bias_correction=bias
    )
    assert not fake_quants(found)
    before = captured.state_dict()
    changed = {
        name
        for name, value in found.state_dict().items()
        if not torch.equal(value, before.get(name, value[..., None]))
    }
    kinds = {name.rpartition(".")[2] for name in changed}
    statistics = {"running_mean", "running_var"} if batchnorm else set()
    assert kinds - {"num_batches_tracked"} == statistics | (
        {"bias", "corrected_bias_linear"} if bias else set()
    )
    assert error(digits, found) < 0.01
