"""The last resort of `edgecomp quantize`: the costliest layers in float, also where there is no time to train."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgecomp.api.quantize import PTQ, PTQ_IN_FLOAT, quantize
from edgecomp.pipeline.epoch_time import EpochTime

pytestmark = pytest.mark.slow


class Spread(nn.Module):
    """Rows of numbers that a first layer, of channels of very different sizes, makes hard for integers; the others are easy."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.third, self.head = (
            nn.Linear(6, 32),
            nn.Linear(32, 32),
            nn.Linear(32, 32),
            nn.Linear(32, 5),
        )
        with torch.no_grad():
            spread = torch.logspace(-4, 2, 32)
            self.second.weight *= spread[:, None]
            self.second.bias *= spread
            self.third.weight /= spread[None, :]

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        x = self.second(self.first(numbers).relu())
        out: torch.Tensor = self.head(self.third(x).relu())
        return out


def test_layers_go_to_float_where_training_has_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the layer that reads those channels, which integers cannot tell: the others stay in int8."""
    monkeypatch.setattr("edgecomp.api.quantize.measure", lambda run: EpochTime(1e6, 0.0, 4))
    batch = torch.export.Dim("batch")
    program = torch.export.export(Spread().eval(), (torch.randn(4, 6),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "model.pt2")
    numbers = np.random.default_rng(0).normal(size=(1600, 6)).astype(np.float32)
    np.savez(tmp_path / "inputs.npz", numbers=numbers)
    run = tmp_path / "run"
    quantize(
        tmp_path / "model.pt2",
        tmp_path / "inputs.npz",
        targets=["onnxruntime-cpu"],
        max_error="3 %",
        minutes=60,
        out=run,
        history=None,
    )
    record = json.loads((run / "quantize.json").read_text(encoding="utf-8"))
    tried = {one["name"]: one["scores"]["onnxruntime-cpu"] for one in record["tried"]}
    assert record["chosen"] == PTQ_IN_FLOAT
    assert tried[PTQ_IN_FLOAT] < 3 < tried[PTQ]
    precision = json.loads((run / "precision" / "precision.json").read_text(encoding="utf-8"))
    assert precision["reached"]
    assert 1 <= len(precision["float_layers"]) <= 2
    executed = json.loads((run / "parity" / "onnxruntime-cpu" / "parity.json").read_text(encoding="utf-8"))
    told = json.dumps(executed)
    assert all(name in told for name in precision["float_layers"])
    report = json.loads((run / "report" / "report.json").read_text(encoding="utf-8"))
    assert [one["layer"] for one in report["float_layers"]] == list(precision["float_layers"])
