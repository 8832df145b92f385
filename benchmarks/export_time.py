"""What an export costs: the CPU seconds of teacher, fp32 student and quantised student, transformers' MobileNetV2 each, in every format of a run
for ONNX Runtime and OpenVINO, conversions in processes of their own counted as well.

    python benchmarks/export_time.py [--seeds 3]
"""

import argparse
import resource
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

from edgecomp.export.stage import Interface, export_all
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.placement import place

AXES = ({0: "batch"},)


class Network(nn.Module):
    """[N, 3, 32, 32] → logits [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        config = MobileNetV2Config(depth_multiplier=0.35, image_size=32, num_labels=10)
        self.network = MobileNetV2ForImageClassification(config).eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(pixel_values=x).logits
        return logits


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    taken = [once(seed) for seed in range(arguments.seeds)]
    print(f"export: {np.median(taken):.1f} s of CPU (median of {len(taken)}: {', '.join(f'{one:.1f}' for one in taken)})")  # fmt: skip


def once(seed: int) -> float:
    torch.manual_seed(seed)
    images = torch.randn(64, 3, 32, 32)
    networks = {name: Network().eval() for name in ("teacher", "student_fp32")}
    student = place(capture(networks["student_fp32"], [images[:2]], AXES), "cpu-u8-narrow")
    calibrate(student, [{"input": images.numpy()}])
    with tempfile.TemporaryDirectory() as folder:
        before = cpu_s()
        export_all(
            networks={**networks, "student_int8": student},
            variants={},
            student="student_int8",
            post_training={},
            probes={"input": images.numpy()},
            interface=Interface(AXES, {"input": images[:2].numpy()}, {"input": images[:3].numpy()}),
            fp32=None,
            folder=Path(folder),
            track=lambda items, *_: iter(items),
        )
        return cpu_s() - before


def cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
