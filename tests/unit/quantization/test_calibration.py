import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgecomp.errors import CaptureError, DataError
from edgecomp.quantization.calibration import calibrate, reestimate_batchnorm, squared_error
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
