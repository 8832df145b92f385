"""What an activation in parts costs: a small CNN whose GELU, or hard-swish, is one operator in its file or several, CPU time at batch 1 with one thread.

    python benchmarks/one_operator.py

The parts are those that exporters write for an older opset. Between integers ONNX Runtime does not join them again; `edgecomp` joins them as it reads a
file. Sessions of one process, by turns, medians of five rounds.
"""

import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from edgecomp import runtimes
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir
from edgecomp.machine import cpu_model, host_isa
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold
from edgecomp.quantization.placement import place

ROUNDS, CALLS, WIDTH, BLOCKS = 5, 20, 48, 5
FILES = {"onnxruntime-cpu": "model.onnx", "openvino-cpu": "model.xml"}
Activation = Callable[[torch.Tensor], torch.Tensor]


def gelu_in_parts(x: torch.Tensor) -> torch.Tensor:
    return x * (torch.erf(x / 2**0.5) + 1) * 0.5


def hard_swish_in_parts(x: torch.Tensor) -> torch.Tensor:
    return x * torch.clamp(x + 3, 0, 6) / 6


ACTIVATIONS: dict[str, tuple[Activation, Activation]] = {
    "GELU": (F.gelu, gelu_in_parts),
    "hard-swish": (F.hardswish, hard_swish_in_parts),
}


class Network(nn.Module):
    """Images [N, 3, S, S] → [N, 10]: depthwise and pointwise convolutions, an activation behind each."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.activation = activation
        blocks = [
            (nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH), nn.Conv2d(WIDTH, WIDTH, 1))
            for _ in range(BLOCKS)
        ]
        self.layers = nn.ModuleList(
            [nn.Conv2d(3, WIDTH, 3, 2, 1), *(layer for block in blocks for layer in block)]
        )
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = self.activation(layer(x))
        logits: torch.Tensor = self.head(x.mean((2, 3)))
        return logits


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(f"{cpu_model()}, {host_isa()}\n")
    print(
        "| activation | runtime | fp32, one operator | in parts | int8, one operator | in parts | int8: one over parts |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    x = torch.randn(2, 3, 96, 96)
    for name, ways in ACTIVATIONS.items():
        with tempfile.TemporaryDirectory() as folder:
            files = {}
            for way, activation in zip(("one", "parts"), ways, strict=True):
                network = Network(activation).eval()
                rounded = place(capture(network, [x], [{0: "batch"}]), "cpu-u8")
                calibrate(rounded, [{"input": x.numpy()}])
                for kind, made in (("fp32", network), ("int8", fold(rounded))):
                    files[kind, way] = to = Path(folder) / kind / way
                    to.mkdir(parents=True)
                    export_onnx(made, [x], to / "model.onnx")
                    ir.convert(to / "model.onnx", to)
            for runtime, file in FILES.items():
                took = timed({key: to / file for key, to in files.items()}, runtime, x[:1].numpy())
                row = [
                    f"{took[key]:.2f} ms"
                    for key in (("fp32", "one"), ("fp32", "parts"), ("int8", "one"), ("int8", "parts"))
                ]
                print(
                    f"| {name} | {runtime} | {' | '.join(row)} | {took['int8', 'one'] / took['int8', 'parts']:.2f} |"
                )


def timed(files: dict[tuple[str, str], Path], runtime: str, x: np.ndarray) -> dict[tuple[str, str], float]:  # type: ignore[type-arg]  # of any numbers
    """By file, CPU milliseconds of an inference."""
    adapter = runtimes.adapter(runtime)
    sessions = {key: adapter.load(file, threads=1, options={}) for key, file in files.items()}
    calls = {key: partial(one.run, {one.signature().inputs[0].name: x}) for key, one in sessions.items()}
    found: dict[tuple[str, str], list[float]] = {key: [] for key in files}
    for _ in range(ROUNDS):
        for key, call in calls.items():
            call()
            begin = time.process_time()
            for _ in range(CALLS):
                call()
            found[key].append((time.process_time() - begin) / CALLS)
    return {key: 1e3 * float(np.median(times)) for key, times in found.items()}


if __name__ == "__main__":
    main()
