import itertools

import numpy as np
import pytest
import torch
from torch import nn

from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold
from edgecomp.quantization.placement import place
from edgecomp.quantization.saturation import HIGHEST, LOWEST, Saturation, audit


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.deep = nn.Conv2d(4, 4, 3, groups=4)
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.deep(torch.relu(self.conv(x))))
        return self.head(x.mean((2, 3)))


def audited(scheme: str, inputs: torch.Tensor) -> dict[str, Saturation]:
    torch.manual_seed(0)
    network = Net()
    with torch.no_grad():
        network.conv.weight[0] = 1.0  # neighbours of one sign and full size
    module = place(capture(network, [inputs[:2]], [{0: "batch"}]), scheme)
    calibrate(module, [{"input": inputs.numpy()}])
    return {one.layer: one for one in audit(fold(module), [inputs])}


def test_a_layer_of_full_size_neighbours_saturates_and_narrow_weights_never_do() -> None:
    inputs = torch.ones(2, 3, 8, 8)
    inputs[0] = -1
    ordinary, narrow = audited("cpu-u8", inputs), audited("cpu-u8-narrow", inputs)
    assert ordinary["conv"].worst == 255 * 254
    assert ordinary["conv"].saturating_sums_pct > 0
    assert ordinary["conv"].wrong_outputs_pct >= ordinary["conv"].saturating_sums_pct
    for one in narrow.values():
        assert LOWEST <= one.worst <= HIGHEST
        assert one.saturating_sums_pct == one.wrong_outputs_pct == 0


def test_depthwise_layers_are_not_computed_by_pairs() -> None:
    assert list(audited("cpu-u8", torch.randn(2, 3, 8, 8))) == ["conv", "head"]


def test_the_shares_are_those_of_counting_one_by_one() -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(7, 6))
    inputs = torch.rand(5, 7)
    module = place(capture(network, [inputs[:2]], [{0: "batch"}]), "cpu-u8")
    calibrate(module, [{"input": inputs.numpy()}])
    (found,) = audit(fold(module), [inputs])
    quants = {name.split("_")[0]: part for name, part in module.named_children() if "quant" in name}
    x = (
        quants["activation"](inputs) / quants["activation"].scale() + quants["activation"].zero_point
    ).detach()
    weight = module.get_parameter("0.weight").detach() / quants["weight"].scale()
    levels, rows = np.rint(x.numpy()), np.rint(weight.numpy())
    over = wrong = 0
    for example, row in itertools.product(levels, rows):
        sums = [sum(example[k] * row[k] for k in range(start, min(start + 2, 7))) for start in range(0, 7, 2)]
        broken = [not LOWEST <= value <= HIGHEST for value in sums]
        over, wrong = over + sum(broken), wrong + any(broken)
    assert over > 0
    assert found.saturating_sums_pct == pytest.approx(100 * over / (5 * 6 * 4))
    assert found.wrong_outputs_pct == pytest.approx(100 * wrong / (5 * 6))
