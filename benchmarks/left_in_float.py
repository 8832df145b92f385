"""What int8 would gain for layers that edgecomp leaves in float: CPU time over the same network's in fp32, at batch 1, one thread.

    python benchmarks/left_in_float.py
    python benchmarks/avx2_only python benchmarks/left_in_float.py       # the same as a CPU without VNNI

- transposed convolutions of a UNet: no runtime has an integer kernel; as a 1×1 convolution and a pixel shuffle (the same function
  where the kernel is as wide as its stride) they are in integers;
- a segmentation head's last convolution, which ONNX Runtime runs in integers only if its output is rounded as well;
- an LSTM, whose weights are int8 in ONNX Runtime (DynamicQuantizeLSTM) and float in OpenVINO: what is not left in float.
Sessions of one process, by turns, medians of five rounds.
"""

import tempfile
import time
import warnings
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

ROUNDS, CALLS = 5, 15
FILES = {"onnxruntime-cpu": "model.onnx", "openvino-cpu": "model.xml"}


class UNet(nn.Module):
    """[N, 3, S, S] → [N, 4, S, S]. shuffled: transposed convolutions written as a convolution and a pixel shuffle; rounded: the output
    passes through a pooling of one pixel, before which it is put on a grid."""

    def __init__(self, width: int, *, shuffled: bool = False, rounded: bool = False) -> None:
        super().__init__()
        self.shuffled, self.rounded = shuffled, rounded
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.ModuleList([nn.Conv2d(k * width, 2 * k * width, 3, 2, 1) for k in (1, 2)])
        self.up = nn.ModuleList(
            nn.Conv2d(2 * k * width, 4 * k * width, 1) if shuffled else nn.ConvTranspose2d(2 * k * width, k * width, 2, 2)
            for k in (2, 1)
        )  # fmt: skip
        self.join = nn.ModuleList([nn.Conv2d(2 * k * width, k * width, 3, 1, 1) for k in (2, 1)])
        self.head = nn.Conv2d(width, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = [self.first(x).relu()]
        for layer in self.down:
            wide.append(layer(wide[-1]).relu())
        x = wide[-1]
        for up, join, beside in zip(self.up, self.join, wide[-2::-1], strict=True):
            x = up(x)
            x = F.pixel_shuffle(x, 2) if self.shuffled else x
            x = join(torch.cat([beside, x], 1)).relu()
        x = self.head(x)
        return F.max_pool2d(x, 1) if self.rounded else x


class Recurrent(nn.Module):
    """[N, 50, 128] → [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.LSTM(128, 256, batch_first=True), nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.layer(x)[0][:, -1])
        return logits


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(f"{cpu_model()}, {host_isa()}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for width in (16, 32):
            shape = (3, 64, 64)
            arms = {
                "fp32": exported(UNet(width), shape, folder / f"{width}-fp32", quantised=False),
                "int8": exported(UNet(width), shape, folder / f"{width}-int8"),
                "int8, shuffled": exported(UNet(width, shuffled=True), shape, folder / f"{width}-shuffled"),
                "int8, output rounded": exported(UNet(width, rounded=True), shape, folder / f"{width}-rounded"),
            }  # fmt: skip
            show(f"UNet of {width} channels", arms, shape)
        shape = (50, 128)
        arms = {
            "fp32": exported(Recurrent(), shape, folder / "lstm-fp32", quantised=False),
            "int8": exported(Recurrent(), shape, folder / "lstm-int8"),
        }
        show("LSTM", arms, shape)


def exported(network: nn.Module, shape: tuple[int, ...], folder: Path, quantised: bool = True) -> Path:
    folder.mkdir()
    torch.manual_seed(0)
    example = torch.randn(2, *shape)
    graph = capture(network.eval(), [example], [{0: "batch"}])
    if quantised:
        graph = place(graph, "cpu-u8-narrow")
        calibrate(graph, [{"input": torch.randn(8, *shape).numpy()}])
        graph = fold(graph)
    export_onnx(graph, [example], folder / "model.onnx")
    ir.convert(folder / "model.onnx", folder)
    return folder


def show(name: str, arms: dict[str, Path], shape: tuple[int, ...]) -> None:
    feed = {"input": np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)}
    for runtime, file in FILES.items():
        sessions = {
            arm: runtimes.adapter(runtime).load(folder / file, threads=1, options={})
            for arm, folder in arms.items()
            if (folder / file).is_file()
        }
        taken: dict[str, list[float]] = {arm: [] for arm in sessions}
        for _ in range(ROUNDS):
            for arm, session in sessions.items():
                times = []
                for _ in range(CALLS):
                    began = time.process_time_ns()
                    session.run(feed)
                    times.append(time.process_time_ns() - began)
                taken[arm].append(float(np.median(times)))
        fp32 = np.median(taken.pop("fp32"))
        told = ", ".join(f"{arm} {np.median(times) / fp32:.2f}" for arm, times in taken.items())
        print(f"{name}, {runtime}: {told or 'nothing to compare'}", flush=True)


if __name__ == "__main__":
    main()
