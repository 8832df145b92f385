import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgecomp.errors import CaptureError, DataError
from edgecomp.quantization.calibration import calibrate, reestimate_batchnorm, search_ranges, squared_error
from edgecomp.quantization.fake_quant import FakeQuant
from edgecomp.quantization.schemes import SCHEMES

SCHEME = SCHEMES["cpu-u8"]


class Rounded(nn.Module):
    def __init__(self, quant: FakeQuant) -> None:
        super().__init__()
        self.quant = quant

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.quant(x)


def calibrated(
    values: np.ndarray, method: str, percentile: float = 99.0, per_channel: bool = False
) -> FakeQuant:
    quant = (
        FakeQuant(SCHEME.weight, (len(values), 1), axis=0) if per_channel else FakeQuant(SCHEME.activation)
    )
    calibrate(Rounded(quant), [{"input": values.astype(np.float32)}], method, percentile)  # type: ignore[arg-type]
    return quant


def error(quant: FakeQuant, values: np.ndarray) -> float:
    x = torch.from_numpy(values.astype(np.float32))
    return float(((quant(x).detach() - x) ** 2).sum())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(1.0, 30.0))
def test_the_least_squared_error_is_no_more_than_that_of_the_whole_range(seed: int, outlier: float) -> None:
    values = np.random.default_rng(seed).normal(size=(4, 500))
    values[0, 0] = outlier
    for per_channel in (False, True):
        least = error(calibrated(values, "mse", per_channel=per_channel), values)
        whole = error(calibrated(values, "min-max", per_channel=per_channel), values)
        assert least <= whole * 1.02 + 1e-6  # the histogram's bins are as wide as 1/8 of a step


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(90.0, 99.9))
def test_a_percentile_leaves_out_that_share_and_no_more(seed: int, percentile: float) -> None:
    values = np.random.default_rng(seed).normal(size=(1, 20_000))
    quant = calibrated(values, "percentile", percentile)
    step = float(quant.scale())
    low = (SCHEME.activation.low - float(quant.zero_point)) * step
    high = (SCHEME.activation.high - float(quant.zero_point)) * step
    out = float(((values < low - step) | (values > high + step)).mean() * 100)
    assert out <= (100 - percentile) * 1.05 + 0.05


def test_a_percentile_clips_activations_and_never_weights() -> None:
    values = np.random.default_rng(0).normal(size=(2, 5_000))
    values[:, 0] = 100
    assert float(calibrated(values, "percentile").scale()) < 0.1 * float(
        calibrated(values, "min-max").scale()
    )
    weights = calibrated(values, "percentile", per_channel=True)
    torch.testing.assert_close(weights.scale().flatten(), torch.full((2,), 100 / 127))


def test_the_squared_error_is_that_of_the_rounding_itself() -> None:
    values = np.random.default_rng(0).normal(size=(3, 4_000))
    quant = calibrated(values, "mse", per_channel=True)
    found = squared_error(quant, quant.low, quant.high)
    by_hand = calibrated(values, "min-max", per_channel=True)
    x = torch.from_numpy(values.astype(np.float32))
    wanted = ((by_hand(x).detach() - x) ** 2).sum(1, keepdim=True)
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=0)


@pytest.mark.parametrize("method", ["min-max", "percentile", "mse"])
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(method: str, broken: float) -> None:
    values = np.ones((2, 3))
    values[1, 1] = broken
    with pytest.raises(CaptureError, match="quant"):
        calibrated(values, method)


def test_calibrating_again_forgets_what_was_seen_before() -> None:
    quant = calibrated(np.full((2, 3), 100.0) * np.arange(3), "percentile")
    small = np.random.default_rng(0).normal(size=(2, 500)).astype(np.float32)
    calibrate(Rounded(quant), [{"x": small}], "percentile", 99.0)
    assert torch.equal(quant.scale(), calibrated(small, "percentile", 99.0).scale())


def test_batch_statistics_are_those_of_inference_without_dropout() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3))
    values = np.random.default_rng(0).normal(2, 1, (2, 200, 3)).astype(np.float32)
    reestimate_batchnorm(network, [{"x": one} for one in values])
    assert not any(part.training for part in network.modules())
    np.testing.assert_allclose(network[1].running_mean, values.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(network[1].running_var, values.var(1, ddof=1).mean(0), rtol=1e-5)


def test_there_must_be_something_to_calibrate_on() -> None:
    with pytest.raises(DataError, match="no calibration data"):
        calibrate(Rounded(FakeQuant(SCHEME.activation)), [])


class Gated(nn.Module):
    """A GELU reads what is rounded: what lies far below 0 comes to nothing, and makes the range wide."""

    def __init__(self) -> None:
        super().__init__()
        self.quant = FakeQuant(SCHEME.activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.gelu(self.quant(x))


def test_a_search_by_the_outputs_leaves_out_what_they_do_not_depend_on() -> None:
    values = np.random.default_rng(0).uniform(-160, 3, (64, 32)).astype(np.float32)
    values[0, 0], values[1, 0] = -160, 3
    batches = [{"x": values[:32]}, {"x": values[32:]}]
    wanted = nn.functional.gelu(torch.from_numpy(values))

    def lowest_and_error(method: str) -> tuple[float, float]:
        network = Gated()
        calibrate(network, batches, method)  # type: ignore[arg-type]
        with torch.no_grad():
            error = float((network(torch.from_numpy(values)) - wanted).square().mean())
        quant = network.quant
        return (SCHEME.activation.low - float(quant.zero_point)) * float(quant.scale()), error

    searched, whole, by_values = (lowest_and_error(one) for one in ("output-mse", "min-max", "mse"))
    assert whole[0] < -150
    assert -11 < searched[0] < -3
    assert searched[1] < whole[1] / 50
    assert searched[1] < by_values[1] / 50, "the least error of the values themselves does not see it"


def test_a_search_never_ends_farther_from_the_outputs_and_is_the_same_again() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        Rounded(FakeQuant(SCHEME.activation)),
        nn.Linear(8, 4),
        nn.SiLU(),
        Rounded(FakeQuant(SCHEME.activation)),
    )
    batches = [{"x": np.random.default_rng(1).normal(0, 3, (32, 8)).astype(np.float32)}]
    x = torch.from_numpy(batches[0]["x"])
    with torch.no_grad():
        wanted = network[2](network[1](x))
        calibrate(network, batches)
        before = float((network(x) - wanted).square().sum())
        search_ranges(network, batches)
        after = float((network(x) - wanted).square().sum())
        found = {name: value.clone() for name, value in network.state_dict().items()}
        calibrate(network, batches, "output-mse")
    assert after <= before
    assert all(torch.equal(value, found[name]) for name, value in network.state_dict().items())
