"""What quantisation costs a training step: distillation with and without fake-quant, interleaved in one process.

    python benchmarks/qad_step.py [--batch 256] [--steps 30] [--bf16] [--kernel fused]

Prints the median step of each, and the ratio to distillation's with the quartiles of the paired ratios; with
`--kernel fused` for fake-quant by PyTorch's operators and by the compiled kernel.
"""

import argparse
import time

import numpy as np
import torch

from edgecomp.distill.losses.soft_and_hard_labels import distillation_loss
from edgecomp.models.networks.resnet import ResNet
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.fake_quant import use_kernel
from edgecomp.quantization.placement import place


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="both under autocast")
    parser.add_argument(
        "--kernel", choices=("torch", "fused"), default="torch", help="fused: beside torch, not instead"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    inputs = torch.randn(arguments.batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels, teacher = torch.randint(0, 10, (arguments.batch,)), torch.randn(arguments.batch, 10)

    students: dict[str, torch.nn.Module] = {"KD": ResNet(3, 10, blocks=1)}
    for kernel in dict.fromkeys(("torch", arguments.kernel)):
        student = place(capture(ResNet(3, 10, blocks=1), [inputs[:2]], [{0: "batch"}]), "cpu-u8")
        calibrate(student, [{"input": inputs[:64].numpy()}])
        use_kernel(student, kernel)
        students[f"QAD {kernel}"] = student
    steps = {}
    for name, student in students.items():
        student.to(memory_format=torch.channels_last).train()
        optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4)

        def step(student: torch.nn.Module = student, optimizer: torch.optim.Optimizer = optimizer) -> float:
            begin = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bf16):
                logits = student(inputs)
            loss = distillation_loss(logits.float(), teacher, labels, temperature=4.0, hard_label_weight=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            return time.perf_counter() - begin

        steps[name] = step
    for _ in range(3):
        for step in steps.values():
            step()
    seconds = np.array([[step() for step in steps.values()] for _ in range(arguments.steps)])
    precision = "bf16 autocast" if arguments.bf16 else "fp32"
    print(f"ResNet-8, batch {arguments.batch}, {precision}, {arguments.threads} thread(s), "
          f"{arguments.steps} interleaved rounds")  # fmt: skip
    for name, column in zip(steps, seconds.T, strict=True):
        low, middle, high = np.percentile(column / seconds[:, 0], [25, 50, 75])
        ratio = "" if name == "KD" else f", {middle:.2f} × KD (quartiles {low:.2f} to {high:.2f})"
        print(f"  {name:<9} {1e3 * np.median(column):8.1f} ms a step{ratio}")


if __name__ == "__main__":
    main()
