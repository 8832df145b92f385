"""Small networks that OpenVINO's CPU plugin computes as something else where they are exported as they are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgecomp import runtimes
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold
from edgecomp.quantization.placement import place

FILES = (("onnxruntime-cpu", "model.onnx"), ("openvino-cpu", "model.onnx"), ("openvino-cpu", "model.xml"))


def errors_in_pct(network: nn.Module, x: torch.Tensor, folder: Path) -> dict[str, float]:
    """File → mean absolute error of the quantised network's outputs in its runtime, in per cent of their deviation."""
    module = place(capture(network.eval(), [x[:2]], [{0: "batch"}]), "cpu-u8-narrow")
    calibrate(module, [{"input": x.numpy()}])
    with torch.no_grad():
        wanted = fold(module)(x).numpy()
    export_onnx(module, [x[:2]], folder / "model.onnx")
    ir.convert(folder / "model.onnx", folder)
    found = {}
    for runtime, file in FILES:
        session = runtimes.adapter(runtime).load(folder / file, threads=1, options={})
        (values,) = session.run({"input": x.numpy()}).values()
        found[f"{runtime}, {file}"] = 100 * float(np.abs(values - wanted).mean() / wanted.std())
    return found


class Positions(nn.Module):
    """A linear layer, and a batch normalisation of all positions of all examples as one batch: LeViT's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(16, channels, bias=False), nn.BatchNorm1d(channels)
        nn.init.uniform_(self.norm.weight, 0.2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.linear(x)
        return self.norm(x.flatten(0, 1)).view(x.shape)


class FlatPositions(nn.Module):
    """A linear layer over all positions of all examples as one batch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(16, channels, bias=False)
        with torch.no_grad():
            self.linear.weight *= torch.linspace(0.1, 2, channels)[:, None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(0, 1)).unflatten(0, x.shape[:2])


@pytest.mark.parametrize("kind", [Positions, FlatPositions])
@pytest.mark.parametrize("length", [16, 40])
def test_scales_of_channels_do_not_become_scales_of_positions(
    kind: type[nn.Module], length: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    x = torch.randn(32, length, 16)
    errors = errors_in_pct(kind(16), x, tmp_path)
    assert max(errors.values()) < 0.5, errors


class Normed(nn.Module):
    """A normalisation of a convolution's ReLU, or of its sum with a float tensor, small beside ε."""

    def __init__(self, norm: nn.Module, with_float: bool) -> None:
        super().__init__()
        self.conv, self.norm, self.with_float = nn.Conv1d(8, 8, 1), norm, with_float
        with torch.no_grad():
            self.conv.weight *= 0.003
            self.conv.bias *= 0.003

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        small = self.conv(x)
        return self.norm(small + 0.003 * torch.sigmoid(x) if self.with_float else small.relu())


@pytest.mark.parametrize("with_float", [False, True])
@pytest.mark.parametrize("norm", [nn.GroupNorm(2, 8), nn.LayerNorm(16)], ids=["groups", "layer"])
def test_a_normalisation_keeps_its_epsilon(norm: nn.Module, with_float: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    errors = errors_in_pct(Normed(norm, with_float), torch.randn(64, 8, 16), tmp_path)
    assert max(errors.values()) < 0.5, errors


class RelativePositions(nn.Module):
    """Scores of each head's positions, which are looked up in a table: Funnel's."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(64, 4, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        index = torch.arange(47, 15, -1)[:, None, None].expand(-1, 4, 16)
        return torch.einsum("binh,tnh->bnit", x, self.table.gather(0, index))


def test_each_head_is_multiplied_by_its_own_positions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, x = RelativePositions().eval(), torch.randn(8, 12, 4, 16)
    export_onnx(network, [x[:2]], tmp_path / "model.onnx")
    ir.convert(tmp_path / "model.onnx", tmp_path)
    with torch.no_grad():
        wanted = network(x).numpy()
    for runtime, file in FILES:
        session = runtimes.adapter(runtime).load(tmp_path / file, threads=1, options={})
        (values,) = session.run({"input": x.numpy()}).values()
        np.testing.assert_allclose(values, wanted, atol=1e-4, err_msg=f"{runtime}, {file}")
